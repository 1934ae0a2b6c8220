"""An image projector, loaded by llama.cpp's ``mtmd``: from a picture to embeddings and the cache.

``mtmd`` calls itself experimental: all that is used of it is here.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GenerationFailed
from gemmahub.text import one_line
from gemmahub_llamacpp.engine import assign, library, log, mtmd
from gemmahub_llamacpp.model import bytes_of
from gemmahub_llamacpp.picture import damaged
from gemmahub_llamacpp.report import device_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gemmahub_llamacpp.model import LlamaModel
    from gemmahub_llamacpp.picture import Picture

MIB: Final = 1 << 20
_TEXT, _IMAGE = 0, 1  # enum mtmd_input_chunk_type
_SMALLEST_LIMIT: Final = 70  # tokens; below that llama.cpp's own minimum would be the larger

_BUFFER: Final = re.compile(r"reserve_compute_meta: +(\S+) compute buffer size = +([\d.]+) MiB")
_RESERVED: Final = re.compile(r"reserve_compute_meta: graph splits")
_WARMED: Final = re.compile(r"warmup: flash attention is")


class ImageStopped(Exception):
    """The answer was cancelled while an image was worked on."""


@dataclass(slots=True)
class PreparedImage:
    """A picture as ``mtmd`` prepared it.

    ``before`` and ``after`` are the tokens around it, ``count`` the positions that it takes,
    ``chunk`` is mtmd's own, to be freed with :meth:`LoadedProjector.free`. ``embedding`` holds
    ``count`` rows of the model's width, in 32-bit floats, once it is computed.
    """

    before: list[int]
    count: int
    after: list[int]
    chunk: Any
    embedding: Any = None

    @property
    def embedding_bytes(self) -> int:
        """What the embedding holds."""
        return 0 if self.embedding is None else ctypes.sizeof(self.embedding)


class LoadedProjector:
    """A loaded projector. One thread at a time; ``stopped`` is asked whether to give up.

    ``buffers`` are the bytes of compute buffers by device, as llama.cpp reserved them; those for a
    Gemma 4 image of more than 256 tokens grow when it comes.
    """

    def __init__(
        self,
        path: Path,
        model: LlamaModel,
        *,
        threads: int,
        gpu: bool,
        most_tokens: int,
        stopped: Callable[[], bool],
    ) -> None:
        """Load it. ``most_tokens`` is what an image may take where the model leaves that open.

        Raises: GenerationFailed; BackendMissing; Stopped.
        """
        self._mtmd = mtmd()
        self._model = model
        self._stop = _Stop(stopped)
        # Kept here, because llama.cpp calls them as long as the projector lives.
        self._progress = self._mtmd.mtmd_progress_callback(lambda *_: self._stop.go_on())
        self._look = library().ggml_backend_sched_eval_callback(self._stop.after_node)
        params = self._mtmd.mtmd_context_params_default()
        assign(
            params,
            use_gpu=gpu,
            print_timings=False,
            n_threads=threads,
            warmup=True,  # reserves the buffers now, and finds out about flash attention
            progress_callback=self._progress,
        )
        if most_tokens >= _SMALLEST_LIMIT:
            assign(params, image_max_tokens=most_tokens)
        if not gpu:
            # A GPU takes a second at most, and being asked after each node would slow it down.
            assign(params, cb_eval=self._look)
        log.clear()
        self._stop.begin()
        with log.keep_all() as messages:
            self.handle: Any = self._mtmd.mtmd_init_from_file(bytes_of(path), model.handle, params)
        if not self.handle:
            self._stop.check()
            raise GenerationFailed(
                f"llama.cpp cannot load the image projector {path.name}: "
                f"{one_line(log.errors(), 300) or 'it gave no reason'}",
                "download this model's projector again; text works without it",
            )
        self.buffers = read_buffers(text.decode("utf-8", "replace") for text in messages)

    def close(self) -> None:
        """Free its memory; twice is fine. Chunks are freed before."""
        handle, self.handle = self.handle, None
        if handle:
            self._mtmd.mtmd_free(handle)

    def prepare(self, picture: Picture) -> PreparedImage:
        """Decode the picture, scale it, and find what stands around it and how many tokens it is.

        Raises: GenerationFailed.
        """
        log.clear()
        data = ctypes.cast(ctypes.c_char_p(picture.data), ctypes.POINTER(ctypes.c_uint8))
        # What is no picture would be given to ffprobe as a video: there is none to be found.
        options = self._mtmd.mtmd_helper_init_opt_default()
        options.video_params.ffmpeg_bin_dir = os.fsencode(os.devnull)
        bitmap = self._mtmd.mtmd_helper_bitmap_init_from_buf(
            self.handle, data, len(picture.data), False, options
        )
        if not bitmap:
            raise damaged(picture.name)
        chunks = self._mtmd.mtmd_input_chunks_init()
        try:
            marker = self._mtmd.mtmd_get_marker(self.handle)
            text = self._mtmd.mtmd_input_text(
                text=marker, text_len=len(marker), add_special=False, parse_special=True
            )
            bitmaps = (ctypes.c_void_p * 1)(bitmap)
            result = self._mtmd.mtmd_tokenize(
                self.handle, chunks, ctypes.byref(text), bitmaps, len(bitmaps)
            )
            if result:
                raise GenerationFailed(
                    f"llama.cpp cannot prepare the image {picture.name}: "
                    f"{log.errors() or f'code {result}'}",
                    "save it again, as PNG or JPEG of another size",
                )
            return self._seen(chunks)
        finally:
            self._mtmd.mtmd_input_chunks_free(chunks)
            self._mtmd.mtmd_bitmap_free(bitmap)

    def _seen(self, chunks: Any) -> PreparedImage:
        """Text tokens, an image, text tokens; Gemma's images are never cut into several."""
        around: tuple[list[int], list[int]] = ([], [])
        images: list[Any] = []
        for index in range(self._mtmd.mtmd_input_chunks_size(chunks)):
            chunk = self._mtmd.mtmd_input_chunks_get(chunks, index)
            if self._mtmd.mtmd_input_chunk_get_type(chunk) == _TEXT:
                size = ctypes.c_size_t()
                tokens = self._mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(size))
                around[bool(images)].extend(tokens[: size.value])
            else:
                images.append(chunk)
        count = self._mtmd.mtmd_input_chunk_get_n_tokens(images[0]) if len(images) == 1 else 0
        if not count or self._mtmd.mtmd_input_chunk_get_type(images[0]) != _IMAGE:
            raise GenerationFailed(
                "this projector cuts images into parts, which this backend does not support",
                "use another backend for this model",
            )
        return PreparedImage(
            around[0], count, around[1], self._mtmd.mtmd_input_chunk_copy(images[0])
        )

    def free(self, seen: PreparedImage) -> None:
        """Free what mtmd holds of a picture; twice is fine."""
        chunk, seen.chunk = seen.chunk, None
        if chunk:
            self._mtmd.mtmd_input_chunk_free(chunk)

    def whole(self, seen: PreparedImage) -> bool:
        """Whether all its tokens must be computed in one step: they all see each other."""
        return bool(self._mtmd.mtmd_decode_use_non_causal(self.handle, seen.chunk))

    def encode(self, seen: PreparedImage) -> None:
        """Compute the embedding; the pixels are freed then.

        Raises: Stopped; GenerationFailed.
        """
        log.clear()
        self._stop.begin()
        result = self._mtmd.mtmd_encode_chunk(self.handle, seen.chunk)
        self._stop.check()  # a stopped graph is no failure to mtmd, but its result is none either
        if result:
            raise GenerationFailed(
                f"llama.cpp cannot compute the image: {log.errors() or f'code {result}'}",
                "memory may be short: see `gemmahub plan --image`",
            )
        embedding = (ctypes.c_float * (seen.count * self._model.width))()
        ctypes.memmove(
            embedding, self._mtmd.mtmd_get_output_embd(self.handle), ctypes.sizeof(embedding)
        )
        pixels, seen.chunk = seen.chunk, self._mtmd.mtmd_input_chunk_get_placeholder(seen.chunk)
        self._mtmd.mtmd_input_chunk_free(pixels)
        seen.embedding = embedding

    def decode(self, context: Any, seen: PreparedImage, position: int, batch: int) -> int:
        """Put the image into the cache of a llama.cpp context, at ``position``.

        What ``llama_decode`` returns comes back.
        """
        position_after = ctypes.c_int32()
        return int(
            self._mtmd.mtmd_helper_decode_image_chunk(
                self.handle,
                context,
                seen.chunk,
                seen.embedding,
                position,
                0,
                batch,
                ctypes.byref(position_after),
                self._mtmd.mtmd_helper_post_decode_callback(),
                None,
            )
        )


class _Stop:
    """Asks whether to stop on behalf of C, which can carry no exception."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._halted = False
        self._error: BaseException | None = None

    def begin(self) -> None:
        self._halted, self._error = False, None

    def go_on(self) -> bool:
        try:
            self._halted = self._halted or self._stopped()
        except BaseException as error:  # noqa: BLE001 - raised again by check
            self._error, self._halted = error, True
        return not self._halted

    def after_node(self, _tensor: Any, ask: bool, _data: Any) -> bool:
        """ggml asks which nodes it should stop after (all), and after each whether to go on."""
        return ask or self.go_on()

    def check(self) -> None:
        """Raises: Stopped, or what the question raised."""
        if self._error is not None:
            raise self._error
        if self._halted:
            raise ImageStopped


def read_buffers(lines: Iterable[str]) -> Counter[str]:
    """Bytes of compute buffers by device, from the log of a load.

    Vision and audio reserve one after the other; each may try several arrangements, of which the
    last one counts.
    """
    total, last, current = Counter[str](), Counter[str](), Counter[str]()
    for line in lines:
        if found := _BUFFER.search(line):
            current[device_of(found[1])] += round(float(found[2]) * MIB)
        elif _RESERVED.search(line):
            last, current = current, Counter()
        elif _WARMED.search(line):
            total, last = total + last, Counter()
    return total
