"""Tests of images, for backends that declare the capability and a model that takes them.

Give :meth:`Kit.make_artifact` a projector: :mod:`gemmahub.testing.projector_writer` writes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Message
from gemmahub.testing.conformance.kit import Kit, demand, only_backend_errors, told
from gemmahub.testing.projector_writer import write_png

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Backend, Session


class ImageTests(Kit):
    """Tests of messages with images."""

    def test_an_image_is_part_of_the_prompt(
        self, backend: Backend, session: Session, tmp_path: Path
    ) -> None:
        """It takes tokens of the context, and the same one gives the same text."""
        self._demand_images(backend, session)
        image = tmp_path / "image.png"
        write_png(image, 40, 30, lambda x, y: (6 * x, 8 * y, 0))
        plain = self.ask(session, [Message("user", self.prompt)]).usage
        asked = [Message("user", self.prompt, (image,))]
        first, again = self.ask(session, asked), self.ask(session, asked)
        assert first.text == again.text
        for count in ("prompt_tokens", "context_used"):
            with_it, without = (getattr(usage, count) for usage in (first.usage, plain))
            assert told(with_it, count) > told(without, count), "the image uses no context"

    def test_what_is_no_image_is_refused(
        self, backend: Backend, session: Session, tmp_path: Path
    ) -> None:
        """With a BackendError; the session is usable afterwards."""
        self._demand_images(backend, session)
        image = tmp_path / "image.png"
        write_png(image, 40, 30, lambda x, y: (x, y, 0))
        wrong = {"text": b"no image", "empty": b"", "half": image.read_bytes()[:60]}
        expected = self.ask(session).text
        for what, content in wrong.items():
            image.write_bytes(content)
            with only_backend_errors(f"an image file that is {what}") as caught:
                self.ask(session, [Message("user", self.prompt, (image,))])
            assert caught, f"an image file that is {what} was accepted silently"
        assert self.ask(session).text == expected

    def _demand_images(self, backend: Backend, session: Session) -> None:
        demand(backend, "images")
        if session.info.images is not True:
            pytest.skip("this model takes no images (info.images); give it a projector")
