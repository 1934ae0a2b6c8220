"""A plugin's reader of a file format, of which only sane values and our own errors come."""

from __future__ import annotations

import operator
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.engines.hooks import Call, reason_of
from gemmahub.errors import FormatError, GemmahubError
from gemmahub.formats.reader import (
    BUILT_IN_FORMATS,
    BUILT_IN_SUFFIXES,
    MOST_TENSORS,
    ModelFile,
)
from gemmahub.formats.source import LocalFile
from gemmahub.formats.tensor import Tensor
from gemmahub.in_time import TookTooLong
from gemmahub.records.parsing import Unfit
from gemmahub.text import one_line
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gemmahub.engines.hooks import Hooks
    from gemmahub.engines.manager import PluginManager
    from gemmahub.formats.reader import FormatReader
    from gemmahub.formats.source import Opener

T = TypeVar("T")


_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_SUFFIX: Final = re.compile(r"\.[a-z0-9._-]{1,40}")
_LARGEST: Final = 1 << 63
_LONGEST_NAME: Final = 1000
_MOST_FILES: Final = 1024
_MOST_DIMENSIONS: Final = 16
_MOST_NOTES: Final = 20
_HINT: Final = "This is a bug in the plugin: report it. GEMMAHUB_DEBUG=1 shows more."


class GuardedReader:
    """A plugin's :class:`~gemmahub.formats.reader.FormatReader`, as :func:`check_reader` gives it.

    Each call has the time that a hook has; after one that took longer the plugin is not asked
    again.
    """

    def __init__(self, reader: FormatReader, plugin: str, hooks: Hooks) -> None:
        self.name, record = reader.name, hooks.of(plugin)
        self.made_by = f"{record.distribution} {record.version}"
        self.suffixes: tuple[str, ...] = tuple(getattr(reader, "suffixes", ()))
        self._reader, self._plugin, self._hooks = reader, plugin, hooks
        self._model: Callable[..., Any] | None = getattr(reader, "model", None)

    def reads(self, path: Path) -> bool:
        """Whether the file is of this format; a folder is one only to a reader of whole models.

        Raises: FormatError.
        """
        if self._model is None and path.is_dir():
            return False
        return bool(self._ask(path, lambda: self._reader.reads(path), limited=True))

    def model(self, path: Path, open_file: Opener) -> ModelFile:
        """The model. Raises: FormatError; IntegrityError and what else the reader raises of ours;
        what ``open_file`` raises."""
        whole = self._model or self._from_tensors
        # A server's bytes come when they come: whoever opened the file limits that.
        limited = open_file is LocalFile
        return self._ask(path, lambda: self._checked(whole(path, open_file)), limited=limited)

    def _ask(self, path: Path, function: Callable[[], T], *, limited: bool) -> T:
        try:
            if not limited:
                with kept_quiet():
                    return function()
            (outcome,) = self._hooks.call([Call(self._plugin, "its reader", function)])
            if outcome.error is not None:
                raise outcome.error
            found: T = outcome.value
            return found
        except GemmahubError:
            raise
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, Unfit | TookTooLong) else reason_of(error)
            what = f"the plugin {self._plugin} cannot read {one_line(path.name)}"
            raise FormatError(f"{what}: {reason}", _HINT) from error

    def _from_tensors(self, path: Path, open_file: Opener) -> ModelFile:
        with open_file(path) as source:
            tensors = _listed(self._reader.tensors(source))
            return ModelFile(self.name, (path,), source.size, tensors)

    def _checked(self, found: Any) -> ModelFile:
        """Raises: Unfit."""
        if not isinstance(found, ModelFile):
            raise Unfit(f"model() returned a {type(found).__name__}, not a ModelFile")
        files = tuple(found.files)
        if not 0 < len(files) <= _MOST_FILES or not all(isinstance(file, Path) for file in files):
            raise Unfit(f"files are 1 to {_MOST_FILES:,} paths")
        size = _count(found.size_bytes, "size_bytes")
        template = found.chat_template
        return ModelFile(
            self.name,
            files,
            size,
            _checked_tensors(found.tensors, _LARGEST if found.compressed else size),
            _checked_metadata(found.metadata),
            template if template is None else str(template),
            tuple(one_line(str(note)) for note in found.notes[:_MOST_NOTES]),
            (found.label and one_line(str(found.label), 40)) or None,
            compressed=bool(found.compressed),
        )


def _listed(tensors: Iterable[Any]) -> tuple[Any, ...]:
    """Raises: Unfit for more than any model has."""
    found = tuple(islice(tensors, MOST_TENSORS + 1))
    if len(found) > MOST_TENSORS:
        raise Unfit(f"it has more than {MOST_TENSORS:,} tensors")
    return found


def _checked_tensors(tensors: Iterable[Any], size_bytes: int) -> tuple[Tensor, ...]:
    """Tensors for files of ``size_bytes``, with plain numbers and harmless types.

    Raises: Unfit.
    """
    found: dict[str, Tensor] = {}
    for tensor in _listed(tensors):
        checked = _checked_tensor(tensor)
        if checked.name in found:
            raise Unfit(f"the tensor {one_line(checked.name, 80)} occurs twice")
        found[checked.name] = checked
    if sum(tensor.bytes or 0 for tensor in found.values()) > size_bytes:
        raise Unfit("its tensors have more bytes than its files")
    if sum(tensor.parameters for tensor in found.values()) >= _LARGEST:
        raise Unfit("it has an implausible number of weights")
    return tuple(found.values())


def _checked_tensor(tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise Unfit(f"tensors() gives Tensors, not a {type(tensor).__name__}")
    name, kind = tensor.name, tensor.type
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise Unfit(f"a tensor's name is a text of up to {_LONGEST_NAME:,} characters")
    of = f"of the tensor {one_line(name, 80)}"
    if not isinstance(kind, str) or not (kind := one_line(kind, 40)):
        raise Unfit(f"the type {of} is not text")
    if not isinstance(tensor.shape, tuple | list) or len(tensor.shape) > _MOST_DIMENSIONS:
        raise Unfit(f"the shape {of} is not a tuple of up to {_MOST_DIMENSIONS} numbers")
    return Tensor(
        name,
        kind,
        tuple(_count(length, f"a length {of}") for length in tensor.shape),
        _count(tensor.parameters, f"the number of weights {of}"),
        None if tensor.bytes is None else _count(tensor.bytes, f"the number of bytes {of}"),
    )


def _count(value: Any, what: str) -> int:
    """A whole number, also of another library's kind."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise Unfit(f"{what} is not a whole number: {one_line(repr(value), 40)}")
    number = operator.index(value)
    if not 0 <= number < _LARGEST:
        raise Unfit(f"{what} cannot be {one_line(repr(value), 40)}")
    return number


def _checked_metadata(metadata: Any) -> Mapping[str, Any]:
    found = dict(metadata)
    if not all(isinstance(key, str) for key in found):
        raise Unfit("metadata has keys that are not texts")
    return found


def readers_of(manager: PluginManager) -> tuple[GuardedReader, ...]:
    """The readers of all plugins; one that is none, or whose name is taken, is a failure of its
    plugin."""
    found = manager.named("gemmahub_formats", "format", check_reader)
    return tuple(GuardedReader(reader, plugin, manager.hooks) for plugin, reader in found)


def check_reader(reader: Any) -> FormatReader:
    """The reader, where it is one of a format that gemmahub does not read itself.

    Raises: Unfit.
    """
    name = getattr(reader, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = one_line(repr(name), 60)
        raise Unfit(f"a format cannot be called {shown}: use small letters, digits and . _ -")
    if name in BUILT_IN_FORMATS:
        raise Unfit(f"gemmahub reads {name} already")
    for member in ("reads", "tensors"):
        if not callable(getattr(reader, member, None)):
            raise Unfit(f"the reader of {name} has no {member}()")
    suffixes = getattr(reader, "suffixes", ())
    if not isinstance(suffixes, tuple | list):
        raise Unfit(f'suffixes of the reader of {name} are not a tuple such as (".sand",)')
    for suffix in suffixes:
        if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
            raise Unfit(f"a suffix is a text such as .sand, not {one_line(repr(suffix), 60)}")
        if suffix in BUILT_IN_SUFFIXES:
            raise Unfit(f"gemmahub reads {suffix} files already")
    found: FormatReader = reader
    return found
