"""The images of a conversation. Their projector is checked at load, and loaded with the first."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.engines.contract import PromptRead
from gemmahub.errors import BackendError, GemmahubError, GenerationFailed
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.text import one_line
from gemmahub_llamacpp.context import Context, Status
from gemmahub_llamacpp.engine import mtmd
from gemmahub_llamacpp.picture import read_picture
from gemmahub_llamacpp.projector import ImageStopped, LoadedProjector, PreparedImage
from gemmahub_llamacpp.projector_numbers import problem_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Artifact
    from gemmahub.formats.gguf import GgufFile
    from gemmahub_llamacpp.model import LlamaModel

KEPT_BYTES: Final = 32 << 20
"""Embeddings of images that are kept, so that an answer can be asked for again without computing
them anew. An image of Gemma 3 4B has 2.6 MB."""

_FETCH: Final = "download this model's projector again; text works without it"


class _Kind(NamedTuple):
    """A kind of projector: the text models that it belongs to (tools/mtmd/clip-impl.h of
    llama.cpp), what the publishers' processors write around an image (``full_image_sequence`` in
    processing_*.py of transformers 5.23), which dimension of its last tensor the text model has.
    """

    model: str
    around: str = ""
    width_at: int = 1


_KINDS: Final = {
    "gemma3": _Kind("gemma3", "\n\n", width_at=0),
    "gemma3nv": _Kind("gemma3n", "\n\n", width_at=0),
    "gemma4v": _Kind("gemma4"),
    "gemma4uv": _Kind("gemma4"),
}


class ImageCell(NamedTuple):
    """One position of an image in a prompt; equal where the same picture stands."""

    digest: str
    place: int


class Vision:
    """What a session makes of images. ``problem`` says why it takes none, None where it does."""

    def __init__(
        self,
        artifact: Artifact,
        model: LlamaModel,
        context: Context,
        *,
        threads: int,
        gpu: bool,
        wanted: bool = True,
    ) -> None:
        self._path = artifact.projector
        self._model = model
        self._context = context
        self._threads = threads
        self._gpu = gpu
        self._projector: LoadedProjector | None = None
        self._seen: dict[str, tuple[Path, PreparedImage]] = {}  # the one used last stands last
        self._tensor_bytes = 0
        self.before = self.after = ""
        self.problem: BackendError | None = None
        try:
            self._check(artifact, wanted=wanted)
        except BackendError as error:
            self.problem = error

    def _check(self, artifact: Artifact, *, wanted: bool) -> None:
        """Read the projector's header. Raises: BackendError."""
        if not wanted:
            raise GenerationFailed(
                "images are switched off for this model", "load it without --option images=never"
            )
        if self._path is None or not self._path.is_file():
            raise _missing(artifact)
        header = _header(self._path)
        kind = _check_header(self._path.name, header, self._model)
        mtmd()
        self._tensor_bytes = sum(tensor.bytes or 0 for tensor in header.tensors)
        self.before = self.after = kind.around

    # --- the projector -------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether the projector is in memory."""
        return self._projector is not None

    def load(self) -> LoadedProjector:
        """The projector, loaded now if it was not yet. Raises: BackendError; Stopped."""
        if self.problem is not None:
            raise type(self.problem)(self.problem.message, self.problem.hint)
        assert self._path is not None
        if self._projector is None:
            self._projector = LoadedProjector(
                self._path,
                self._model,
                threads=self._threads,
                gpu=self._gpu,
                most_tokens=self._context.ubatch,
                stopped=lambda: self._context.aborted,
            )
        return self._projector

    def memory(self) -> dict[str, int]:
        """Bytes by device: the tensors of the projector and its buffers; empty when not loaded."""
        if self._projector is None:
            return {}
        found = dict(self._projector.buffers)
        own = next((device for device in found if device != "CPU"), "CPU")
        found[own] = found.get(own, 0) + self._tensor_bytes
        return found

    def close(self) -> None:
        """Free everything; twice is fine."""
        projector, self._projector = self._projector, None
        if projector is not None:
            for _, seen in self._seen.values():
                projector.free(seen)
            projector.close()
        self._seen.clear()

    # --- images --------------------------------------------------------------------------------

    def read(self, path: Path) -> list[int | ImageCell]:
        """What stands for an image in a prompt. Nothing when the answer was cancelled meanwhile:
        it then ends before anything is computed.

        Raises: GenerationFailed; BackendMissing.
        """
        try:
            projector = self.load()
        except ImageStopped:
            return []
        picture = read_picture(path)
        _, seen = self._seen.pop(picture.digest, (path, None))
        if seen is None:
            seen = projector.prepare(picture)
        self._seen[picture.digest] = path, seen
        if seen.count > self._context.ubatch and projector.whole(seen):
            raise GenerationFailed(
                f"an image needs {seen.count} tokens in one step, but steps have "
                f"{self._context.ubatch}",
                f"load the model with a ubatch of {seen.count} or more",
            )
        cells = [ImageCell(picture.digest, place) for place in range(seen.count)]
        return [*seen.before, *cells, *seen.after]

    def prefill(self, prompt: Sequence[Any], total: int) -> Generator[PromptRead, None, Status]:
        """Append tokens and images to the cache, of which the last must be a token. Tells after
        each part but the last how much of the ``total`` is there.

        Raises: GenerationFailed. After anything but DONE the cache is empty.
        """
        if isinstance(prompt[-1], ImageCell):  # llama.cpp would have no logits to choose from
            raise GenerationFailed("nothing follows the image", "add a question about it")
        status, cached = Status.DONE, self._context.cached
        for number, (digest, part) in enumerate(groupby(prompt, _digest)):
            items = list(part)
            if number:
                yield PromptRead(len(cached), total)
            if digest is None:
                status = yield from self._context.prefill(items, total)
            else:
                status = self._image(digest, items)
            if status is not Status.DONE:
                return status
        return status

    def _image(self, digest: str, cells: Sequence[ImageCell]) -> Status:
        def compute(context: Any, position: int) -> int:
            try:
                projector, seen = self._embedded(digest)
            except ImageStopped:
                return Status.ABORTED
            return projector.decode(context, seen, position, self._context.ubatch)

        return self._context.append(cells, compute)

    def _embedded(self, digest: str) -> tuple[LoadedProjector, PreparedImage]:
        """The image with its embedding. Raises: Stopped; GenerationFailed."""
        projector = self.load()
        path, seen = self._seen.pop(digest)
        self._seen[digest] = path, seen
        if not seen.chunk:  # it was let go for others
            picture = read_picture(path)
            if picture.digest != digest:
                raise GenerationFailed(f"the image {picture.name} has changed", "ask again")
            seen.chunk = projector.prepare(picture).chunk
        if seen.embedding is None:
            projector.encode(seen)
            self._let_go(projector, digest)
        return projector, seen

    def _let_go(self, projector: LoadedProjector, but: str) -> None:
        """Forget the embeddings of images that were not used for longest."""
        held = sum(seen.embedding_bytes for _, seen in self._seen.values())
        for digest, (_, seen) in self._seen.items():
            if held <= KEPT_BYTES:
                return
            if digest != but:
                held -= seen.embedding_bytes
                projector.free(seen)
                seen.embedding = None


def _digest(item: object) -> str | None:
    return item.digest if isinstance(item, ImageCell) else None


def _missing(artifact: Artifact) -> GenerationFailed:
    name = one_line(artifact.path.name, 80)
    if artifact.projector is not None:
        what = f"the image projector {one_line(artifact.projector.name, 80)} is gone"
    else:
        what = f"no image projector (mmproj-*.gguf) is beside {name}"
    fetch = (
        f"`gemmahub pull {one_line(artifact.reference)}` fetches it"
        if artifact.reference
        else "put this model's projector into the same folder"
    )
    return GenerationFailed(what, f"{fetch}; a text-only model has none")


def _header(path: Path) -> GgufFile:
    try:
        with LocalFile(path) as source:
            return read_gguf(source)
    except OSError as error:
        raise GenerationFailed(
            f"the image projector {path.name} cannot be read: {error.strerror}", _FETCH
        ) from None
    except GemmahubError as error:
        raise GenerationFailed(error.message, _FETCH) from None


def _check_header(name: str, header: GgufFile, model: LlamaModel) -> _Kind:
    """The kind of the projector. Raises: GenerationFailed when it is none, or of another model."""
    keys = header.metadata
    named = str(keys.get("clip.vision.projector_type") or keys.get("clip.projector_type") or "")
    if keys.get("general.architecture") != "clip" or not named:
        raise GenerationFailed(f"{name} is not an image projector", _FETCH)
    if problem := problem_of(keys):
        raise GenerationFailed(f"the image projector {name} cannot be used: {problem}", _FETCH)
    kind = _KINDS.get(named)
    widths = {
        tensor.shape[kind.width_at if kind else 1]
        for tensor in header.tensors
        if tensor.name == "mm.input_projection.weight" and len(tensor.shape) > 1
    }
    if kind is None or kind.model != model.architecture or widths - {model.width}:
        raise GenerationFailed(
            f"the image projector {name} belongs to another model",
            "put this model's projector in its place, or keep each model in a separate folder",
        )
    return kind
