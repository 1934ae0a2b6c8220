"""What a repository holds: files and the models among them, as frozen records.

Sizes are bytes. ``commit`` is always the full hash that a revision meant when it was looked up, so
that everything done with a record later is done with the same content.
"""

from __future__ import annotations

from dataclasses import dataclass, field


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
    or audio projector that belongs to a GGUF, ``drafter`` the head that drafts for it, where one is
    wanted. ``catalogued`` is the reference of the catalogue
    entry where the catalogue knows this file.
    """

    repository: Repository
    format: str
    label: str | None
    files: tuple[HubFile, ...]
    companions: tuple[HubFile, ...] = ()
    projector: HubFile | None = None
    drafter: HubFile | None = None
    catalogued: str = ""
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of the files with tensors, without the projector."""
        return sum(file.size for file in self.files)

    @property
    def name(self) -> str:
        """What it is called here: the stem of a GGUF file's name, else that of its folder."""
        first = self.files[0]
        if self.format == "gguf":
            return first.name.rpartition(".")[0]
        return (
            first.path.rpartition("/")[0].rpartition("/")[2]
            or (self.repository.name.rpartition("/")[2])
        )

    @property
    def all_files(self) -> tuple[HubFile, ...]:
        """All files to fetch, each once: tensors, companions, projector, drafter."""
        beside = (file for file in (self.projector, self.drafter) if file is not None)
        return tuple(dict.fromkeys((*self.files, *self.companions, *beside)))

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
