"""A plugin's reader of a file format, of which only sane values and our own errors come."""

from __future__ import annotations

import operator
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.engines.in_time import TookTooLong, in_time
from gemmahub.errors import FormatError, GemmahubError
from gemmahub.formats.reader import (
    BUILT_IN_FORMATS,
    BUILT_IN_SUFFIXES,
    MOST_TENSORS,
    ModelFile,
)
from gemmahub.formats.source import LocalFile
from gemmahub.formats.tensor import Tensor
from gemmahub.text import one_line
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gemmahub.formats.source import Opener

T = TypeVar("T")

READ_SECONDS: Final = 3.0
"""The longest that a plugin may take to look at a file on this machine. It is then not asked again
in this process."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_SUFFIX: Final = re.compile(r"\.[a-z0-9._-]{1,40}")
_LARGEST: Final = 1 << 63
_LONGEST_NAME: Final = 1000
_MOST_FILES: Final = 1024
_MOST_DIMENSIONS: Final = 16
_MOST_NOTES: Final = 20
_HINT: Final = "This is a defect of the plugin: report it. GEMMAHUB_DEBUG=1 shows more."


class GuardedReader:
    """A plugin's :class:`~gemmahub.formats.reader.FormatReader`; ``made_by`` is the plugin's
    distribution and its version.

    Raises: TypeError, ValueError for what is no reader, and for the name or the suffix of a format
    that gemmahub reads itself.
    """

    def __init__(self, reader: Any, plugin: str, made_by: str) -> None:
        self.name, self.made_by = _checked_name(reader), made_by
        self.suffixes: tuple[str, ...] = _checked_suffixes(reader)
        self._reader, self._plugin, self._stuck = reader, plugin, False
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
        if self._stuck:
            raise self._failed(path, "it did not answer before")

        def quietly() -> T:
            with kept_quiet():
                return function()

        try:
            if not limited:
                return quietly()
            (outcome,) = in_time(READ_SECONDS, [quietly])
            if outcome.error is not None:
                raise outcome.error
            found: T = outcome.value
            return found
        except GemmahubError:
            raise
        except TookTooLong as error:
            self._stuck = True
            raise self._failed(path, str(error)) from error
        except (Exception, SystemExit) as error:
            raise self._failed(path, f"{type(error).__name__}: {error}") from error

    def _failed(self, path: Path, reason: str) -> FormatError:
        what = f"the plugin {self._plugin} cannot read {one_line(path.name)}"
        return FormatError(f"{what}: {one_line(reason)}", _HINT)

    def _from_tensors(self, path: Path, open_file: Opener) -> ModelFile:
        with open_file(path) as source:
            tensors = _listed(self._reader.tensors(source))
            return ModelFile(self.name, (path,), source.size, tensors)

    def _checked(self, found: Any) -> ModelFile:
        """Raises: TypeError, ValueError."""
        if not isinstance(found, ModelFile):
            raise TypeError(f"model() returned a {type(found).__name__}, not a ModelFile")
        files = tuple(found.files)
        if not 0 < len(files) <= _MOST_FILES or not all(isinstance(file, Path) for file in files):
            raise TypeError(f"files are 1 to {_MOST_FILES:,} paths")
        size = _count(found.size_bytes, "size_bytes")
        template = found.chat_template
        return ModelFile(
            self.name,
            files,
            size,
            _checked_tensors(found.tensors, size),
            _checked_metadata(found.metadata),
            template if template is None else str(template),
            tuple(one_line(str(note)) for note in found.notes[:_MOST_NOTES]),
            (found.label and one_line(str(found.label), 40)) or None,
        )


def _listed(tensors: Iterable[Any]) -> tuple[Any, ...]:
    """Raises: ValueError for more than any model has."""
    found = tuple(islice(tensors, MOST_TENSORS + 1))
    if len(found) > MOST_TENSORS:
        raise ValueError(f"it has more than {MOST_TENSORS:,} tensors")
    return found


def _checked_tensors(tensors: Iterable[Any], size_bytes: int) -> tuple[Tensor, ...]:
    """Tensors for files of ``size_bytes``, with plain numbers and harmless types.

    Raises: TypeError, ValueError.
    """
    found: dict[str, Tensor] = {}
    for tensor in _listed(tensors):
        checked = _checked_tensor(tensor)
        if checked.name in found:
            raise ValueError(f"the tensor {one_line(checked.name, 80)} occurs twice")
        found[checked.name] = checked
    if sum(tensor.bytes or 0 for tensor in found.values()) > size_bytes:
        raise ValueError("its tensors have more bytes than its files")
    if sum(tensor.parameters for tensor in found.values()) >= _LARGEST:
        raise ValueError("it has more weights than can be true")
    return tuple(found.values())


def _checked_tensor(tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"tensors() gives Tensors, not a {type(tensor).__name__}")
    name, kind = tensor.name, tensor.type
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise ValueError(f"a tensor's name is a text of up to {_LONGEST_NAME:,} characters")
    of = f"of the tensor {one_line(name, 80)}"
    if not isinstance(kind, str) or not (kind := one_line(kind, 40)):
        raise ValueError(f"the type {of} is no text")
    if not isinstance(tensor.shape, tuple | list) or len(tensor.shape) > _MOST_DIMENSIONS:
        raise ValueError(f"the shape {of} is no tuple of up to {_MOST_DIMENSIONS} numbers")
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
        raise TypeError(f"{what} is no whole number: {one_line(repr(value), 40)}")
    number = operator.index(value)
    if not 0 <= number < _LARGEST:
        raise ValueError(f"{what} cannot be {one_line(repr(value), 40)}")
    return number


def _checked_metadata(metadata: Any) -> Mapping[str, Any]:
    found = dict(metadata)
    if not all(isinstance(key, str) for key in found):
        raise TypeError("metadata has keys that are no texts")
    return found


def _checked_name(reader: Any) -> str:
    name = reader.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"a format cannot be called {one_line(repr(name), 60)}: small letters, digits and "
            "hyphens, up to 40"
        )
    if name in BUILT_IN_FORMATS:
        raise ValueError(f"gemmahub reads {name} itself")
    for member in ("reads", "tensors"):
        if not callable(getattr(reader, member, None)):
            raise TypeError(f"the reader of {name} has no method {member}")
    return name


def _checked_suffixes(reader: Any) -> tuple[str, ...]:
    found = getattr(reader, "suffixes", ())
    if isinstance(found, str):
        raise TypeError(f'suffixes is a tuple of texts: ("{one_line(found, 40)}",)')
    for suffix in found:
        if not isinstance(suffix, str) or not _SUFFIX.fullmatch(suffix):
            raise ValueError(f"a suffix is a text such as .sand, not {one_line(repr(suffix), 60)}")
        if suffix in BUILT_IN_SUFFIXES:
            raise ValueError(f"gemmahub reads {suffix} files itself")
    return tuple(found)
