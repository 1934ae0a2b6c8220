"""A model that a server of ours holds, and one talks to."""

from __future__ import annotations

import base64
import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub.engines.contract import Chunk, FinishReason, Usage
from gemmahub.engines.prompt_length import check_count, too_long
from gemmahub.engines.prompt_tokens import encode, encode_with_images
from gemmahub.engines.server_session import ServerSession
from gemmahub.engines.template_process import TemplateRenderer
from gemmahub.engines.tool_calls import with_calls
from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    Cancelled,
    FormRefused,
    GenerationFailed,
)
from gemmahub.http.limits import ExchangeError
from gemmahub.http.values import NotJson
from gemmahub.text import one_line
from gemmahub_llamaserver.answer import limited, read_answer, sampling_values
from gemmahub_llamaserver.arguments import PING_SECONDS
from gemmahub_llamaserver.servers import release
from gemmahub_llamaserver.vectors import vector_of
from gemmahub_llamaserver.vocabulary import ServerVocabulary, TextVocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Message, OnProgress, Prompt, Sampling, SessionInfo
    from gemmahub_llamaserver.servers import RunningServer

_TOO_LONG: Final = re.compile(r'"n_prompt_tokens": ?(\d+)')
_END_SECONDS: Final = 1.0
_MEDIA_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class LoadedServer:
    """A server with its model, and what it says of itself (``/props``)."""

    server: RunningServer
    props: dict[str, Any]
    info: SessionInfo


class LlamaServerSession(ServerSession):
    """One model. With ``parallel`` 1, beginning an answer ends the one before, which then gives its
    last chunk as cancelled.

    Prompts are rendered and become tokens here, so that a model gets its own template or none, and
    no message can write control tokens.
    """

    silence_seconds: ClassVar[float] = 12.0 * PING_SECONDS

    def __init__(
        self,
        loaded: LoadedServer,
        chat_template: str | None,
        load_again: Callable[[bool, OnProgress], LoadedServer] | None = None,
        reference: str = "",
    ) -> None:
        """Takes over the server. ``load_again`` loads the same model with its image projector, or
        without; None where there is no projector, or it is loaded already. ``reference`` is what
        fetches the model with its projector."""
        self._template = chat_template
        self._reference = reference
        self._use(loaded)
        super().__init__(self.info, self._web)
        self._load_again = load_again
        self._cancelled = threading.Event()
        self._encoding = threading.Lock()
        self._media: list[str] = []
        self._renderer = TemplateRenderer(self._cancelled)
        if chat_template is not None:
            self._renderer.prepare()

    def _use(self, loaded: LoadedServer) -> None:
        self._server, self._props, self.info = loaded.server, loaded.props, loaded.info
        self._web = loaded.server.client()
        self._vocabulary = ServerVocabulary(self._web, loaded.props, self._template)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._server.program.pid

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; the prompt is rendered at once, and sent with the first chunk.

        Raises: ContextExceeded, TemplateError, GenerationFailed, BackendCrashed.
        """
        if self.info.settings.parallel == 1:
            self._stop_answers()
        try:
            with self._encoding:
                self._cancelled.clear()
                self._renderer.asked = sampling
                chunks = super().generate(prompt, sampling)
        except Cancelled:
            return iter([Chunk("", Usage(FinishReason.CANCELLED, context=self.info.context))])
        except (ExchangeError, NotJson) as error:
            raise self.broken(f"failed before it answered: {error}") from None
        if sampling.max_tokens == 0:  # the server takes it for 1
            return iter(
                [Chunk("", Usage(FinishReason.LENGTH, tokens=0, context=self.info.context))]
            )
        thinking = sampling.thinking
        chunks = limited(chunks, thinking) if type(thinking) is int else chunks
        return with_calls(chunks) if sampling.tools else chunks

    def request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """A text prompt, or a rendered conversation, as tokens; with images as text."""
        body = {"stream": True, "return_progress": True, "cache_prompt": True}
        body |= sampling_values(sampling)
        if isinstance(prompt, str) or not any(turn.images or turn.audio for turn in prompt):
            tokens = encode(self._vocabulary, prompt, self._renderer)
            check_count(len(tokens), self.info)
            return "/completion", {**body, "prompt": tokens}
        return "/completion", {**body, "prompt": self._with_media(prompt)}

    def answer(self, lines: Iterator[bytes]) -> Iterator[Chunk]:
        """The chunks of an answer, the last one with the server's own counts and times."""
        return read_answer(lines, self._context)

    def refused(self, status: int, said: str) -> BackendError:
        """A prompt that is too long, or something else, in the server's words."""
        if "exceed_context" in said:
            count = _TOO_LONG.search(said)
            least = int(count[1]) if count else self._context + 1
            return too_long(self.info, f"{least:,} tokens" if count else "more tokens", least)
        if "Failed to load image or audio" in said:
            return GenerationFailed(
                f"it cannot be decoded as an image or a sound: {', '.join(self._media)}",
                "leave it out, or choose another file",
            )
        if "grammar" in said or "schema" in said:
            return FormRefused(
                f"llama-server cannot constrain an answer to this schema or grammar: {said}",
                "simplify it",
            )
        return GenerationFailed(
            f"llama-server refuses (HTTP {status}): {said}", "change the message"
        )

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """A vector of length 1 for each text: no control tokens are read in it.

        Raises: ContextExceeded, GenerationFailed, BackendCrashed.
        """
        if self._closed:
            raise GenerationFailed("the session is closed", "load the model again")
        try:
            return [self._vector(text) for text in texts]
        except (ExchangeError, NotJson) as error:
            raise self.broken(f"failed while embedding: {error}") from None

    def _vector(self, text: str) -> tuple[float, ...]:
        tokens = self._vocabulary.tokenize(text, special=False, start=True)
        check_count(len(tokens), self.info)
        return vector_of(self._web, tokens)

    def broken(self, what: str) -> BackendError:
        """Why no answer comes; the server is ended where it lives on, because it makes no sense."""
        program = self._server.program
        if program.wait(_END_SECONDS):
            return program.crash("in the middle of an answer")
        program.kill()
        return BackendCrashed(one_line(f"llama-server {what}", 300), "load the model again")

    def cancel(self) -> None:
        """Stop the running answers, also while a prompt is rendered or computed."""
        self._cancelled.set()
        self._renderer.stop()
        self._stop_answers()

    def close(self) -> None:
        """Stop what runs, and the server where no other session uses it; twice is fine."""
        if self._closed:
            return
        self._cancelled.set()
        super().close()
        self._renderer.close()
        release(self._server)

    def _stop_answers(self) -> None:
        for stream in list(self._running):
            stream.stop()

    @property
    def _context(self) -> int:
        assert self.info.context is not None
        return self.info.context

    # --- images and sounds ---------------------------------------------------------------------

    def _with_media(self, prompt: Sequence[Message]) -> dict[str, Any]:
        """A conversation with images or sounds, as text with marks and the files' content."""
        if not self.info.images and any(turn.images for turn in prompt):
            raise self._no_images()
        if not self.info.audio and any(turn.audio for turn in prompt):
            raise GenerationFailed("this model does not support audio", "leave out the audio")
        self._load_projector()
        reader = _Media(str(self._props.get("media_marker") or ""))
        turns = [replace(turn, images=(*turn.images, *turn.audio), audio=()) for turn in prompt]
        self._media = [one_line(path.name) for turn in turns for path in turn.images]
        texts = encode_with_images(TextVocabulary(self._vocabulary), turns, reader, self._renderer)
        return {"prompt_string": "".join(texts), "multimodal_data": reader.contents}

    def _no_images(self) -> GenerationFailed:
        if self.info.settings.options["images"] == "never":
            return GenerationFailed(
                "no image projector is loaded: the option images is never", "leave out the images"
            )
        name, reference = (one_line(x, 80) for x in (self._server.wanted.name, self._reference))
        fetch = (
            f"`gemmahub pull {reference}` fetches it"
            if reference
            else "put this model's projector into the same folder"
        )
        return GenerationFailed(
            f"no image projector (mmproj-*.gguf) is beside {name}",
            f"{fetch}; a text-only model has none",
        )

    def _load_projector(self) -> None:
        """Load the model again, with its projector, unless it has that.

        Raises: GenerationFailed; then the model is there as before. Cancelled.
        """
        if self._load_again is None:
            return
        self._web.close()
        release(self._server)
        self._closed = True  # until there is a server again
        try:
            self._use(self._load_again(True, self._go_on))
        except BackendError as error:
            self._use(self._load_again(False, lambda _: None))
            self._closed = False
            raise GenerationFailed(error.message, error.hint) from None
        except Cancelled:
            self._use(self._load_again(False, lambda _: None))
            self._closed = False
            raise
        self._closed = False
        self._load_again = None

    def _go_on(self, _: float) -> None:
        if self._cancelled.is_set():
            raise Cancelled("loading the image projector was cancelled", "ask again")


class _Media:
    """Reads files for the server, which decodes them; in the text each leaves its mark."""

    before = after = ""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self.contents: list[str] = []

    def read(self, path: Path) -> list[str]:
        """The mark of a file. Raises: GenerationFailed for one that cannot be read."""
        try:
            with path.open("rb") as file:
                content = file.read(_MEDIA_BYTES + 1)
        except OSError as error:
            raise GenerationFailed(
                f"{one_line(str(path))} cannot be read: {error.strerror}", "choose another file"
            ) from None
        if len(content) > _MEDIA_BYTES:
            raise GenerationFailed(
                f"{one_line(str(path))} has more than {_MEDIA_BYTES >> 20} MiB",
                "choose another file",
            )
        self.contents.append(base64.b64encode(content).decode())
        return [self._mark]
