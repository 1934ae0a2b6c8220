"""A conversation with a loaded model: keeps what was said, so that the next answer knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.engines.contract import Chunk, Message, Prompt, Sampling, Session

if TYPE_CHECKING:
    from collections.abc import Generator

# A model without a chat template rarely ends by itself.
COMPLETION_TOKENS = 256


class Conversation:
    """Messages and answers over one session.

    With ``raw``, or when the model has no chat template, each prompt is completed as plain text and
    nothing is remembered.
    """

    def __init__(self, session: Session, *, system: str | None = None, raw: bool = False) -> None:
        self._session = session
        self._system = system
        self.plain = raw or not session.info.chat_template
        self.messages: list[Message] = []
        self.clear()

    def clear(self) -> None:
        """Forget what was said."""
        self.messages = [Message("system", self._system)] if self._system else []

    def ask(self, text: str, sampling: Sampling) -> Generator[Chunk, None, None]:
        """Stream the answer. An answer that was cut short is remembered as far as it went.

        Raises: BackendError; what was asked is then forgotten.
        """
        if self.plain:
            yield from self._session.generate(self._plain_prompt(text), sampling)
            return
        before = list(self.messages)
        self.messages.append(Message("user", text))
        said: list[str] = []
        try:
            for chunk in self._session.generate(tuple(self.messages), sampling):
                said.append(chunk.text)
                yield chunk
        except Exception:
            self.messages = before
            raise
        self.messages.append(Message("assistant", "".join(said)))

    def cancel(self) -> None:
        """Stop the running answer; its last chunk still comes."""
        self._session.cancel()

    def _plain_prompt(self, text: str) -> Prompt:
        return f"{self._system}\n\n{text}" if self._system else text
