"""A session that runs in this process, with what its engine must not do kept from the caller.

An engine outside of Python, such as a server, needs no worker process. What the worker does for the
others, turning foreign exceptions into backend errors that name the engine, is done here.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.engines.contract import Chunk, PromptRead, ScoredText, ToolCall
from gemmahub.engines.declared import check_capability, check_request, check_settings
from gemmahub.engines.handed_on_scores import HandsOnScores
from gemmahub.engines.thoughts import told_apart
from gemmahub.errors import BackendError, GenerationFailed, LoadFailed, UsageError
from gemmahub.text import one_line
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from gemmahub.engines.contract import (
        Artifact,
        Backend,
        OnProgress,
        Prompt,
        Sampling,
        ServedModel,
        Session,
        SessionInfo,
        Settings,
    )
    from gemmahub.engines.manager import BackendOffer


T = TypeVar("T")

_END: Final = object()


class GuardedSession(HandsOnScores):
    """A session from which only backend errors come, and nothing that it prints."""

    def __init__(self, session: Session, backend: Backend) -> None:
        self._session = session
        self._backend = backend
        self._engine = backend.name

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        return self._session.info

    @property
    def pid(self) -> int | None:
        """The engine's process, where it has one of its own and the session says so."""
        found = getattr(self._session, "pid", None)
        return found if type(found) is int else None

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer, in whole characters."""
        check_request(self._backend, prompt, sampling)
        with self._guarded("while answering"):
            chunks = closable(self._session.generate(prompt, sampling))
        return told_apart(self._each(chunks, "while answering", whole))

    def _scored(self, method: str, arguments: tuple[Any, ...]) -> Iterator[ScoredText]:
        check_capability(self._backend, method)
        with self._guarded("while scoring"):
            scored = closable(getattr(self._session, method)(*arguments))
        check = partial(checked_answer, kind=ScoredText, engine=self._engine)
        yield from self._each(scored, "while scoring", check)

    def embed(self, texts: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """As the engine's."""
        check_capability(self._backend, "embed")
        with self._guarded("while embedding"):
            return [tuple(map(float, vector)) for vector in self._session.embed(texts)]

    def _each(self, found: Any, when: str, check: Callable[[Any], T]) -> Generator[T, None, None]:
        """One after the other; the engine's code runs quietly, the caller's does not."""
        try:
            while True:
                with self._guarded(when):
                    one = next(found, _END)
                    if one is _END:
                        return
                    checked = check(one)
                yield checked
        finally:
            with self._guarded(when):
                found.close()

    @contextmanager
    def _guarded(self, when: str) -> Iterator[None]:
        with kept_quiet(), foreign_errors(GenerationFailed, f"{self._engine} failed {when}"):
            yield

    def cancel(self) -> None:
        """Stop the running answer."""
        with self._guarded("during cancel"):
            self._session.cancel()

    def close(self) -> None:
        """Give back all memory."""
        with kept_quiet(), foreign_errors(BackendError, f"{self._engine} failed while closing"):
            self._session.close()


def load_guarded(
    offer: BackendOffer,
    model: Artifact | ServedModel,
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> GuardedSession:
    """Load a model in this process.

    Raises: BackendError, and whatever ``on_progress`` raises.
    """
    name = offer.backend.name
    check_settings(offer.backend, settings)
    heard: list[Exception] = []

    def report(fraction: float) -> None:
        try:
            if on_progress is not None:
                on_progress(fraction)
        except Exception as error:
            heard.append(error)
            raise

    try:
        with kept_quiet(), foreign_errors(LoadFailed, f"{name} failed while loading"):
            session = offer.backend.load(model, settings, report)
            session.info  # noqa: B018 - one that has none fails here
            return GuardedSession(session, offer.backend)
    except BackendError:
        if heard:
            raise heard[0] from None
        raise


@contextmanager
def foreign_errors(kind: type[BackendError], what: str) -> Iterator[None]:
    """What is no BackendError becomes one of that kind, which says ``what`` failed."""
    try:
        yield
    except BackendError:
        raise
    except Exception as error:
        raise foreign_error(kind, what, error) from error


def foreign_error(kind: type[BackendError], what: str, error: Exception) -> BackendError:
    """The backend error for an exception that a backend should not have raised.

    A UsageError comes from :func:`gemmahub.engines.plugin_settings.settings_of`: what the user has
    to change is no defect of the backend.
    """
    if isinstance(error, UsageError):
        return kind(error.message, error.hint)
    return kind(
        one_line(f"{what}: {type(error).__name__}: {error}"),
        "this is a bug in the backend: report it; GEMMAHUB_DEBUG=1 shows more",
    )


def checked_answer(record: object, kind: type[T], engine: str) -> T:
    """What an engine gave, as the contract has it. Raises: GenerationFailed."""
    from gemmahub.records.parsing import Unfit, checked

    try:
        return checked(record, kind)
    except Unfit as error:
        raise foreign_error(
            GenerationFailed, f"{engine} returned an invalid value", error
        ) from error


def closable(chunks: Any) -> Any:
    """An iterator with ``close``, whatever the backend returned."""
    return chunks if hasattr(chunks, "close") else (chunk for chunk in chunks)


def whole(chunk: Chunk) -> Chunk:
    """The chunk without halves of characters, which no text may hold.

    Raises: TypeError for what is no chunk; Unfit for a call of a tool that is none.
    """
    if not isinstance(chunk, Chunk) or not isinstance(chunk.text, str):
        raise TypeError(f"an answer consists of Chunks, this is a {type(chunk).__name__}")
    if chunk.prompt_read is not None:
        from gemmahub.records.parsing import checked

        chunk = replace(chunk, prompt_read=checked(chunk.prompt_read, PromptRead))
    if chunk.tool_call is not None:
        from gemmahub.records.parsing import checked

        call = checked(chunk.tool_call, ToolCall)
        texts = (call.id, call.name, call.arguments)
        whole_texts = (text.encode("utf-8", "replace").decode() for text in texts)
        chunk = replace(chunk, tool_call=ToolCall(*whole_texts))
    if chunk.text.isascii():
        return chunk
    return replace(chunk, text=chunk.text.encode("utf-8", "replace").decode())
