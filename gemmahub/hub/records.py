"""What the Hugging Face room hands out: files, models and search results, as frozen records.

Sizes are bytes. ``commit`` is always the full hash that a revision meant when it was looked up, so
that everything done with a record later is done with the same content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gemmahub.formats.detect import ModelFile

Basis = Literal["by name", "catalogue", "measured"]
"""Where a label comes from: the file's name, the catalogue (same sha256), or its own header."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository at one commit.

    ``sha256`` is the hub's record of the content (files in LFS or Xet storage, so all weights),
    ``blob`` the git object's hash where the hub gives it.
    """

    repository: str
    commit: str
    path: str
    size: int
    sha256: str | None = None
    blob: str | None = None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.rpartition("/")[2]

    @property
    def reference(self) -> str:
        """As a user can name it: ``hf://user/repo/file.gguf``."""
        return f"hf://{self.repository}/{self.path}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit. ``gated`` is "", "auto" (accept and go) or "manual" (ask).

    ``revision`` is what was asked for; ``skipped`` names files that no system can store safely.
    ``has_gguf`` says whether there is a GGUF file among the files.
    """

    name: str
    revision: str
    commit: str
    files: tuple[HubFile, ...]
    gated: str = ""
    private: bool = False
    licence: str = ""
    licence_url: str = ""
    downloads: int | None = None
    library: str = ""
    tags: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    has_gguf: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, as each of its models asks for it.
        found = any(file.path.lower().endswith(".gguf") for file in self.files)
        object.__setattr__(self, "has_gguf", found)


@dataclass(frozen=True, slots=True)
class HubModel:
    """One model in a repository: what a reference names, before it is fetched.

    ``format`` is "gguf", "mlx" or "safetensors" and ``label`` the precision, both by name: the
    header tells what they are. ``files`` are those with tensors, all parts in order; ``companions``
    the other files of a model folder (config, tokenizer, chat template); ``projector`` the vision
    or audio projector that belongs to a GGUF. ``catalogued`` is the reference of the catalogue
    entry where the catalogue knows this file.
    """

    repository: Repository
    format: str
    label: str | None
    files: tuple[HubFile, ...]
    companions: tuple[HubFile, ...] = ()
    projector: HubFile | None = None
    catalogued: str = ""
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of the files with tensors, without the projector."""
        return sum(file.size for file in self.files)

    @property
    def all_files(self) -> tuple[HubFile, ...]:
        """All files to fetch: tensors, companions, projector."""
        beside = (self.projector,) if self.projector else ()
        return (*self.files, *self.companions, *beside)

    @property
    def download_bytes(self) -> int:
        """Size of all files to fetch."""
        return sum(file.size for file in self.all_files)

    @property
    def reference(self) -> str:
        """As a user can name it: the (first) file of a GGUF, the repository or folder of others."""
        first = self.files[0]
        folder = first.path.rpartition("/")[0]
        if self.format == "gguf" or not self.companions:
            return first.reference
        if folder:
            return f"hf://{self.repository.name}/{folder}"
        beside = "/config.json" if self.repository.has_gguf else ""
        return f"hf://{self.repository.name}{beside}"


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model as its header describes it, read without fetching the model.

    ``model`` is what :func:`gemmahub.formats.detect.open_model` gives for a local file; its
    ``files`` are paths in the repository. ``moved_bytes`` and ``requests`` are what reading the
    headers took over the network, without the listing: 0 when they were remembered.
    """

    source: HubModel
    model: ModelFile
    moved_bytes: int
    requests: int


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A model in a search result. ``size_bytes`` counts all parts, None where it is not known.

    ``label`` is None where nothing says it. ``bits_per_weight`` is None unless ``basis`` is
    "measured": its header was read before. ``qat`` says what the names or the catalogue claim.
    """

    reference: str
    path: str
    format: str
    label: str | None
    basis: Basis
    size_bytes: int | None
    qat: bool
    bits_per_weight: float | None = None
    catalogued: str = ""


@dataclass(frozen=True, slots=True)
class FoundRepository:
    """A repository in a search result, with the models in it.

    ``official``: published by Google. ``catalogued``: the catalogue knows files of it.
    ``downloads`` are those of the last 30 days.
    """

    name: str
    official: bool
    catalogued: bool
    gated: str
    private: bool
    licence: str
    downloads: int | None
    files: tuple[FoundFile, ...]
    projector: bool
