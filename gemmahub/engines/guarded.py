"""A session that runs in this process, with what its engine must not do kept from the caller.

An engine outside of Python, such as a server, needs no worker process. What the worker does for the
others, turning foreign exceptions into backend errors that name the engine, is done here.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import Chunk, SessionBase
from gemmahub.errors import BackendError, GenerationFailed, LoadFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import (
        Artifact,
        OnProgress,
        Prompt,
        Sampling,
        ServedModel,
        Session,
        SessionInfo,
        Settings,
    )
    from gemmahub.engines.manager import BackendOffer


class GuardedSession(SessionBase):
    """A session from which only backend errors come."""

    def __init__(self, session: Session, engine: str) -> None:
        self._session = session
        self._engine = engine

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        return self._session.info

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer, in whole characters."""
        with foreign_errors(GenerationFailed, f"{self._engine} failed while answering"):
            chunks = closable(self._session.generate(prompt, sampling))
        return self._stream(chunks)

    def _stream(self, chunks: Any) -> Iterator[Chunk]:
        with (
            foreign_errors(GenerationFailed, f"{self._engine} failed while answering"),
            closing(chunks),
        ):
            for chunk in chunks:
                yield whole(chunk)

    def cancel(self) -> None:
        """Stop the running answer."""
        with foreign_errors(GenerationFailed, f"{self._engine} failed at a cancel"):
            self._session.cancel()

    def close(self) -> None:
        """Give back all memory."""
        with foreign_errors(BackendError, f"{self._engine} failed while closing"):
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
    heard: list[Exception] = []

    def report(fraction: float) -> None:
        try:
            if on_progress is not None:
                on_progress(fraction)
        except Exception as error:
            heard.append(error)
            raise

    try:
        with foreign_errors(LoadFailed, f"{name} failed while loading"):
            session = offer.backend.load(model, settings, report)
            session.info  # noqa: B018 - one that has none fails here
            return GuardedSession(session, name)
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
    """The backend error for an exception that a backend should not have raised."""
    return kind(
        one_line(f"{what}: {type(error).__name__}: {error}"),
        "this is a defect of the backend: report it; GEMMAHUB_DEBUG=1 shows more",
    )


def closable(chunks: Any) -> Any:
    """An iterator with ``close``, whatever the backend returned."""
    return chunks if hasattr(chunks, "close") else (chunk for chunk in chunks)


def whole(chunk: Chunk) -> Chunk:
    """The chunk without halves of characters, which no text may hold.

    Raises: TypeError for what is no chunk.
    """
    if not isinstance(chunk, Chunk) or not isinstance(chunk.text, str):
        raise TypeError(f"an answer consists of Chunks, this is a {type(chunk).__name__}")
    if chunk.text.isascii():
        return chunk
    return Chunk(chunk.text.encode("utf-8", "replace").decode(), chunk.usage)
