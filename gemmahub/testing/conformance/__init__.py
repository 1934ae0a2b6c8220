"""The tests that every backend passes, for plugins to inherit. Needs pytest.

::

    from gemmahub.testing.conformance import BackendConformance

    class TestConformance(BackendConformance):
        plugin = "demo"                                # the name of the plugin's entry point

        def make_artifact(self, folder):               # a model that the backend can load
            return Artifact("gguf", folder / "model.gguf", ...)

pytest finds the inherited tests. What a backend does not offer is skipped, and the reason of the
skip names it. An inherited test may be replaced only by one that is marked
``pytest.mark.xfail(reason=...)``: anything else is refused when the class is made, so that a
plugin that passes does pass.
"""

from __future__ import annotations

import pytest

# Failures then show the values that were compared, as in a test file.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "kit",
            "answering",
            "images",
            "loading",
            "offering",
            "plugin",
            "speaking",
            "stopping",
        )
    )
)

from gemmahub.testing.conformance.answering import AnsweringTests  # noqa: E402
from gemmahub.testing.conformance.images import ImageTests  # noqa: E402
from gemmahub.testing.conformance.kit import Kit, refuse_overrides  # noqa: E402
from gemmahub.testing.conformance.loading import LoadingTests  # noqa: E402
from gemmahub.testing.conformance.offering import OfferingTests  # noqa: E402
from gemmahub.testing.conformance.plugin import PluginTests  # noqa: E402
from gemmahub.testing.conformance.speaking import SpeakingTests  # noqa: E402
from gemmahub.testing.conformance.stopping import StoppingTests  # noqa: E402

__all__ = ["BackendConformance"]


class BackendConformance(
    PluginTests, LoadingTests, AnsweringTests, ImageTests, SpeakingTests, OfferingTests,
    StoppingTests, Kit,
):  # fmt: skip
    """Subclass it, set ``plugin`` and write ``make_artifact``; see :class:`Kit` for the rest."""

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        refuse_overrides(cls, BackendConformance)
