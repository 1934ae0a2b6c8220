"""A loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract.conversation import Chunk, Prompt, Sampling
    from gemmahub.engines.contract.memory import DeviceUse
    from gemmahub.engines.contract.settings import Settings


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What was loaded, as the engine has it: shown before the first answer.

    ``context`` is what the engine gave, None where it does not say; ``context_trained`` what the
    model was trained for. ``chat_template`` says whether conversations are formatted by the file's
    own template; without one a conversation is completed as plain text. ``memory`` is what the
    engine says it allocated, device by device; None where it does not say. ``precision`` is the
    label by which the engine itself knows the weights, written as in file names (``Q4_K_M``); empty
    where it does not say. ``images`` says whether messages may have images, ``audio`` whether they
    may have audio; None where the engine does not say.

    A session's info may grow later: an engine that loads its image projector with the first image
    adds that to ``memory`` then.
    """

    engine: str
    context: int | None
    context_trained: int | None
    chat_template: bool
    device: str
    settings: Settings
    load_seconds: float = 0.0
    memory: tuple[DeviceUse, ...] | None = None
    precision: str = ""
    images: bool | None = None
    audio: bool | None = None


@dataclass(frozen=True, slots=True)
class ScoredText:
    """One window of a text, and how probable its tokens were to the model.

    ``tokens`` are all of the window by the engine's own numbers, with what the engine puts before a
    text (``<bos>``). ``log_probabilities`` are natural logarithms, one for each token but the first
    ``unscored``, each given all tokens before it in this window. Where they were asked for,
    ``top_tokens`` and ``top_log_probabilities`` have as many rows, each with the most probable
    tokens at that place, the best first; and ``at_log_probabilities`` has as many rows as well,
    each with those of the tokens that were named for that place. ``windows`` is how many windows
    the whole text has, 0 where the engine does not say it.
    """

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    unscored: int = 1
    top_tokens: tuple[tuple[int, ...], ...] = ()
    top_log_probabilities: tuple[tuple[float, ...], ...] = ()
    at_log_probabilities: tuple[tuple[float, ...], ...] = ()
    windows: int = 0


@runtime_checkable
class Session(Protocol):
    """A loaded model one can talk to. ``close()`` frees its memory and may be called twice.

    One answer at a time, unless the backend has the capability ``parallel``.
    """

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        ...

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; closing the iterator cancels it and leaves the session usable.

        The last chunk carries the usage, also when the answer was cut short.

        Raises: ContextExceeded, TemplateError, GenerationFailed.
        """
        ...

    def cancel(self) -> None:
        """Stop the running answers within 200 ms; called from another thread than generate."""
        ...

    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        """How probable each token of a text is, window by window of that many tokens; the rest that
        fills no window is left out. ``top`` asks for that many of the most probable tokens, too.

        Optional (``score``). Raises: ContextExceeded for a window larger than the context;
        GenerationFailed.
        """
        ...

    def score_at(
        self,
        text: str,
        first: int = 0,
        at: Sequence[Sequence[Sequence[int]]] = (),
        window: int = 512,
        top: int = 0,
    ) -> Iterator[ScoredText]:
        """As ``score``, from window number ``first`` on. ``at`` has a table for each of them, no
        window after its last is computed; each table has a row for each token of the window, with
        the tokens whose log probabilities are wanted in its place. Rows of tokens that are not
        scored are not looked at. Without ``at``, all of them are computed.

        Optional (``score_at``). Raises: as ``score``.
        """
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """A vector for each text, all of one length.

        Optional (``embed``). Raises: ContextExceeded, GenerationFailed.
        """
        ...

    def close(self) -> None:
        """Give back all memory."""
        ...

    def __enter__(self) -> Session: ...

    def __exit__(self, *exc_info: object) -> None: ...


class SessionBase:
    """The part of a session that is the same for all: context manager, harmless cancel, and an
    error for what is optional."""

    def cancel(self) -> None:
        """Stop the running answer; the default leaves that to closing the iterator."""

    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        """Raises: GenerationFailed."""
        raise _lacks("score a text")

    def score_at(
        self,
        text: str,
        first: int = 0,
        at: Sequence[Sequence[Sequence[int]]] = (),
        window: int = 512,
        top: int = 0,
    ) -> Iterator[ScoredText]:
        """Raises: GenerationFailed."""
        raise _lacks("score the tokens of a place")

    def embed(self, texts: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """Raises: GenerationFailed."""
        raise _lacks("embed texts")

    def close(self) -> None:
        """Give back all memory."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _lacks(what: str) -> Exception:
    from gemmahub.errors import GenerationFailed

    return GenerationFailed(f"this engine cannot {what}", "choose another backend with --backend")
