"""What reads a file format: one door for the formats that gemmahub knows and for those of plugins.

A plugin offers :class:`FormatReader` objects with the hook ``gemmahub_formats``. Three members are
enough for ``inspect``, ``list`` and ``plan`` to say how precise a model is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from gemmahub.formats.source import ByteSource, Opener
    from gemmahub.formats.tensor import Tensor

BUILT_IN_FORMATS: Final = ("gguf", "mlx", "safetensors")
"""The formats that no plugin is asked for."""
FOLDER_FORMATS: Final = ("mlx", "safetensors")
"""Those whose models are folders."""
BUILT_IN_SUFFIXES: Final = (".gguf", ".safetensors")
"""The ends of their files' names: no plugin is asked for these files, damaged or not."""
MOST_TENSORS: Final = 1 << 17
"""Of one model, in all its files. The largest published ones have 95,000."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on this disk, whatever its format.

    ``format`` is the reader's name, such as "gguf"; ``size_bytes`` is the size of ``files``, those
    with tensors. ``metadata`` is that of the file under the names of GGUF
    (``general.architecture``, ``gemma3.block_count``), or for a folder its ``config.json``; of
    values, numbers, texts and tuples are kept. ``notes`` are for people. ``label`` is what the file
    says of its precision, where neither its metadata nor its tensors tell. ``big_endian`` says that
    numbers are stored the other way round. ``compressed`` says that the files hold the tensors
    packed without loss, so that these may have more bytes than the files: a tensor's are those that
    it has when it is unpacked.
    """

    format: str
    files: tuple[Path, ...]
    size_bytes: int
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    notes: tuple[str, ...] = ()
    label: str | None = None
    big_endian: bool = False
    compressed: bool = False


class FormatReader(Protocol):
    """Reads the models of one file format.

    It may also have

    - ``suffixes: tuple[str, ...]``: ends of file names that no other format has (``(".sand",)``):
      folders of models are searched for them, and no file is opened for that;
    - ``model(path: Path, open_file: Opener) -> ModelFile``: all that is known of a model, in place
      of its tensors alone: metadata, chat template, label, further files. ``open_file(path)`` opens
      a file to read from, also one of which only the beginning is on this machine. A reader of
      folders needs it, and its ``reads`` is then asked about folders, too.

    What a reader raises, and what makes no sense in its answer, becomes an error that names its
    plugin. It never prints.
    """

    @property
    def name(self) -> str:
        """The format's name in small letters, as backends name it among their ``formats``."""
        ...

    def reads(self, path: Path) -> bool:
        """Whether a file is of this format: by its first bytes rather than by its name. Cheap.

        Of a model on a server the file at ``path`` is its first 4,096 bytes.
        """
        ...

    def tensors(self, source: ByteSource) -> Iterable[Tensor]:
        """All tensors of a file: from its header, without reading weights.

        Raises: FormatError; IntegrityError for a damaged or incomplete file; what reading raises.
        """
        ...


class ModelReader(Protocol):
    """A reader as it is asked: the built-in ones, and a plugin's in its guard.

    ``made_by`` names distribution and version of a plugin's reader: what another one remembered
    does not count. It is empty for the built-in ones.
    """

    @property
    def name(self) -> str:
        """The format's name."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of its files' names."""
        ...

    @property
    def made_by(self) -> str:
        """What its answers depend on besides the file."""
        ...

    def reads(self, path: Path) -> bool:
        """Whether a file or folder is of this format. Raises: NotFound, FormatError."""
        ...

    def model(self, path: Path, open_file: Opener) -> ModelFile:
        """The model. Raises: NotFound, FormatError, IntegrityError; what ``open_file`` raises."""
        ...


if TYPE_CHECKING:
    Readers: TypeAlias = Callable[[], Iterable[ModelReader]]
    """Finds plugins' readers when they are needed first: no plugin is loaded for a GGUF."""
