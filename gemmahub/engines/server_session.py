"""A session for servers that answer over HTTP line by line: the part that is the same for all.

Closing, cancelling, several answers at once, and what is said of a server that fails are here; the
engine's own two methods make a request of a prompt, and chunks of the answer's lines.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakSet

from gemmahub.engines.contract import Chunk, FinishReason, SessionBase, Usage
from gemmahub.engines.prompt_length import check_text
from gemmahub.engines.sampling import check_sampling
from gemmahub.errors import BackendCrashed, GenerationFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo
    from gemmahub.errors import BackendError
    from gemmahub.http.client import WebClient
    from gemmahub.http.line_stream import LineStream

SILENCE_SECONDS: Final = 600.0
"""How long a server may say nothing: a long prompt on a slow machine takes minutes."""

_SAID: Final = 300


class ServerSession(SessionBase, ABC):
    """Write :meth:`request` and :meth:`answer`; override :meth:`refused` and :meth:`broken` for
    better words, and ``silence_seconds`` where the server gives signs of life.

    ``web`` knows the server's address and the key; it is closed with the session.
    """

    silence_seconds: ClassVar[float] = SILENCE_SECONDS

    def __init__(self, info: SessionInfo, web: WebClient) -> None:
        self.info = info
        self._web = web
        self._closed = False
        self._running: WeakSet[LineStream] = WeakSet()  # one that is never read goes by itself

    @abstractmethod
    def request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """The path and the JSON body of a request; keys whose value is None are left out.

        Raises: GenerationFailed for what the server does not take.
        """

    @abstractmethod
    def answer(self, lines: Iterator[bytes]) -> Iterator[Chunk]:
        """The chunks of an answer, from its lines; the last one carries the usage. The lines of an
        answer that was cancelled end before its end; its last chunk may say so, with counts.

        Raises: BackendError; gemmahub.http.values.NotJson counts as a server that failed.
        """

    def reading(
        self, prompt: Prompt, sampling: Sampling
    ) -> Callable[[Iterator[bytes]], Iterator[Chunk]]:
        """What reads the lines of one answer: :meth:`answer`, or what also knows the request."""
        return self.answer

    def refused(self, status: int, said: str) -> BackendError:
        """The error for an answer with a status of 400 or more, and what its body says."""
        return GenerationFailed(
            f"the server refused the request (HTTP {status}): {said}", "change the message"
        )

    def broken(self, what: str) -> BackendError:
        """The error for a server that failed in the middle of an answer; ``what`` it did."""
        said = one_line(f"{self.info.engine} {what}", _SAID)
        return BackendCrashed(said, "see the server's log, then try again")

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; the request is sent when the first chunk is asked for.

        Raises: GenerationFailed; while it is read what :meth:`refused` and :meth:`broken` give.
        """
        from gemmahub.http.limits import Limits
        from gemmahub.http.line_stream import LineStream

        check_sampling(sampling)
        if self._closed:
            raise GenerationFailed("the session is closed", "load the model again")
        if not prompt:
            raise GenerationFailed("there is nothing to answer", "write a message")
        check_text(prompt, self.info)
        path, body = self.request(prompt, sampling)
        content = json.dumps({name: value for name, value in body.items() if value is not None})
        limits = Limits(silence=self.silence_seconds, total=self.silence_seconds)
        stream = LineStream(self._web, "POST", path, content.encode(), limits)
        self._running.add(stream)
        return self._stream(stream, self.reading(prompt, sampling))

    def _stream(
        self, stream: LineStream, answer: Callable[[Iterator[bytes]], Iterator[Chunk]]
    ) -> Iterator[Chunk]:
        from gemmahub.http.limits import ExchangeError
        from gemmahub.http.line_stream import ErrorStatus
        from gemmahub.http.values import NotJson

        last = Chunk("", Usage(FinishReason.CANCELLED, context=self.info.context))
        try:
            with closing(stream.lines()) as lines:
                for chunk in answer(lines):
                    if chunk.usage and chunk.usage.finish_reason is FinishReason.CANCELLED:
                        last = chunk
                        break
                    yield chunk
                    if chunk.usage is not None:
                        return
            if self._closed:
                raise _closed_meanwhile()
            if not stream.stopped:
                raise self.broken("stopped in the middle of the answer")
        except ErrorStatus as error:
            said = one_line(error.body.decode(errors="replace"), _SAID)
            raise self.refused(error.status, said) from None
        except (ExchangeError, NotJson) as error:
            if self._closed:
                raise _closed_meanwhile() from None
            raise self.broken(f"failed while answering: {error}") from None
        finally:
            stream.stop()
            self._running.discard(stream)
        yield last

    def cancel(self) -> None:
        """Stop the running answers, also while a prompt is computed; from any thread."""
        for stream in list(self._running):
            stream.stop()

    def close(self) -> None:
        """Stop what runs; twice is fine."""
        self._closed = True
        self.cancel()
        self._web.close()


def _closed_meanwhile() -> GenerationFailed:
    return GenerationFailed("the session was closed", "load the model again")
