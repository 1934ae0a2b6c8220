"""A GGUF file at another precision, by llama.cpp's own quantizer (``llama_model_quantize``)."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, GemmahubError, LoadFailed
from gemmahub.formats.detect import open_model
from gemmahub.formats.ggml_types import FILE_TYPE_LABELS, GGML_TYPES
from gemmahub.formats.kinds import MODELS, WHAT, kind_of
from gemmahub.precision.quantizer import (
    BASE_TYPES,
    TENSOR_TYPES,
    UNQUANTIZED,
    file_type,
    is_quantizable,
)
from gemmahub_llamacpp.engine import assign, library, log
from gemmahub_llamacpp.importance import read_importance
from gemmahub_llamacpp.model import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from gemmahub.engines.contract import OnProgress, Quantization, Rounding
    from gemmahub.formats.reader import ModelFile

_NUMBERS: Final = {storage.name: number for number, storage in GGML_TYPES.items()}
_FILE_TYPES: Final = {label: number for number, label in FILE_TYPE_LABELS.items()}
_COPIES: Final = "Q8_0"  # llama.cpp heeds exceptions only from a type that is quantized
_AT: Final = re.compile(rb"\[ *(\d+)/ *\d+\] +(\S+) ")
_LAYER: Final = re.compile(r"^blk\.(\d+)\.")
_BUFFER: Final = 1 << 30  # bytes of rows at once; llama.cpp's default is 8 GiB
_NOT_WRITTEN: Final = "iostream error"  # how C++ words it
_LONGEST: Final = 127  # bytes of a key and of a text that llama.cpp takes
_OVERRIDE_INT, _OVERRIDE_STR = 0, 3  # enum llama_model_kv_override_type


def quantize(path: Path, wanted: Quantization, on_progress: OnProgress | None) -> Rounding | None:
    """Write ``path``, of a split model the first part, as ``wanted`` says.

    Raises: LoadFailed for a type that llama.cpp does not make, for what is no model, and for what
    it refuses; BackendMissing.
    """
    check_types(wanted)
    model = _opened(path)
    importance = {} if wanted.importance is None else read_importance(wanted.importance)
    try:
        _write(path, model, wanted, importance, on_progress)
        if wanted.lattice:
            from gemmahub_llamacpp.rounding import onto_lattice

            return onto_lattice(model, wanted.target)
    except BaseException:
        with suppress(OSError):
            wanted.target.unlink(missing_ok=True)
        raise
    return None


def check_types(wanted: Quantization) -> None:
    """Raises: LoadFailed for a type that llama.cpp does not make."""
    if wanted.label and wanted.label not in BASE_TYPES:
        removed = " any more" if wanted.label in _FILE_TYPES else ""
        raise LoadFailed(
            f"llama.cpp does not make {wanted.label}{removed}", f"it makes {', '.join(BASE_TYPES)}"
        )
    for type_ in wanted.types.values():
        if type_ not in TENSOR_TYPES:
            raise LoadFailed(
                f"llama.cpp makes no tensors of {type_}",
                f"it makes {', '.join(sorted(TENSOR_TYPES))}",
            )


def _opened(path: Path) -> ModelFile:
    """Raises: LoadFailed."""
    try:
        model = open_model(path)
    except GemmahubError as error:
        raise LoadFailed(error.message, error.hint) from None
    kind = kind_of(path.name, model.metadata, model.tensors)
    if kind not in MODELS:
        raise LoadFailed(f"{path.name} is {WHAT[kind].partition(':')[0]}, not a model")
    return model


def _write(
    path: Path,
    model: ModelFile,
    wanted: Quantization,
    importance: Mapping[str, np.ndarray],
    on_progress: OnProgress | None,
) -> None:
    """Raises: LoadFailed; what ``on_progress`` raises, when llama.cpp has ended."""
    llama = library()
    progress = _Progress(model, on_progress)
    types = exceptions(model, wanted)
    patterns = patterns_of(types)
    params = llama.llama_model_quantize_default_params()
    overrides = (llama.llama_model_tensor_override * (len(patterns) + 1))()
    for entry, (pattern, type_) in zip(overrides, patterns, strict=False):
        entry.pattern, entry.type = pattern.encode(), _NUMBERS[type_]
    metadata: dict[str, str | int] = dict(wanted.metadata)
    if _is_explicit(wanted):
        number = file_type(wanted.label, model.metadata, model.tensors)
        metadata["general.file_type"] = number
    matrix = _importance(llama, importance)
    assign(
        params,
        nthread=_threads(),
        ftype=_FILE_TYPES[_COPIES if _is_explicit(wanted) else wanted.label],
        allow_requantize=True,
        max_buf_size=_BUFFER,
        tt_overrides=overrides,
        kv_overrides=_metadata(llama, metadata),
    )
    if importance:
        assign(params, imatrix=matrix)
    log.clear()
    with log.heard_by(progress):
        code = llama.llama_model_quantize(
            bytes_of(path), bytes_of(wanted.target), ctypes.byref(params)
        )
    if progress.error is not None:
        raise progress.error
    if code:
        reason = log.errors() or "it gave no reason"
        if _NOT_WRITTEN in reason:
            raise LoadFailed(
                f"{wanted.target.parent} cannot hold the whole file, or is not writable",
                "check whether the disk is full and the folder exists",
            )
        raise LoadFailed(f"llama.cpp cannot make that of {path.name}: {reason}")
    progress.done()


def exceptions(model: ModelFile, wanted: Quantization) -> dict[str, str]:
    """The type of each tensor that llama.cpp's rules for the label do not choose."""
    if not _is_explicit(wanted):
        return dict(wanted.types)
    return {
        tensor.name: wanted.types.get(tensor.name, wanted.label or tensor.type)
        for tensor in model.tensors
        if is_quantizable(tensor)
    }


def _is_explicit(wanted: Quantization) -> bool:
    """Whether llama.cpp has to be told the type of each tensor: it heeds no exceptions from a type
    that is not quantized, and knows no "as it is"."""
    return not wanted.label or (wanted.label in UNQUANTIZED and bool(wanted.types))


def patterns_of(types: Mapping[str, str]) -> list[tuple[str, str]]:
    """Regular expressions for names, with their types: layers that are alike share one.

    llama.cpp tries all of them for each tensor, several times, so that few are to be wanted.
    """
    layers: dict[str, dict[str, list[str]]] = {}
    found: list[tuple[str, str]] = []
    for name, type_ in types.items():
        match = _LAYER.match(name)
        if match is None:
            found.append((f"^{re.escape(name)}$", type_))
        else:
            layers.setdefault(name[match.end() :], {}).setdefault(type_, []).append(match[1])
    for rest, by_type in layers.items():
        for type_, numbers in by_type.items():
            found.append((rf"^blk\.({'|'.join(numbers)})\.{re.escape(rest)}$", type_))
    return found


def _metadata(llama: Any, values: Mapping[str, str | int]) -> Any:
    """llama.cpp's array of metadata to be written; an entry without a key ends it.

    Raises: BackendError for a text that is longer than it takes.
    """
    array = (llama.llama_model_kv_override * (len(values) + 1))()
    for entry, (key, value) in zip(array, values.items(), strict=False):
        raw = b"" if isinstance(value, int) else value.encode()
        if max(len(key.encode()), len(raw)) > _LONGEST or 0 in raw:
            raise BackendError(f"llama.cpp accepts at most {_LONGEST} bytes for {key}")
        entry.key = key.encode()
        if isinstance(value, int):
            entry.tag, entry.value.val_i64 = _OVERRIDE_INT, value
        else:
            entry.tag, entry.value.val_str = _OVERRIDE_STR, raw
    return array


def _importance(llama: Any, matrix: Mapping[str, np.ndarray]) -> Any:
    """llama.cpp's array of an importance matrix; it points into ``matrix``."""
    array = (llama.llama_model_imatrix_data * (len(matrix) + 1))()
    for entry, (name, values) in zip(array, matrix.items(), strict=False):
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    return array


def _threads() -> int:
    from gemmahub.hardware.cpu import compute_threads

    return compute_threads()


class _Progress:
    """Hears llama.cpp say which tensor is next; what a listener raises waits for the end."""

    def __init__(self, model: ModelFile, listener: OnProgress | None) -> None:
        self._sizes = {tensor.name.encode(): tensor.parameters for tensor in model.tensors}
        self._all = sum(self._sizes.values()) or 1
        self._listener = listener
        self._passed = self._next = 0
        self.error: BaseException | None = None

    def __call__(self, text: bytes) -> None:
        if (match := _AT.match(text)) is None:
            return
        self._passed, self._next = self._next, self._next + self._sizes.get(match[2], 0)
        self._tell(min(1.0, self._passed / self._all) if self._next else 0.0)

    def done(self) -> None:
        """All is written. Raises: what the listener raises."""
        self._tell(1.0)
        if self.error is not None:
            raise self.error

    def _tell(self, fraction: float) -> None:
        if self._listener is None or self.error is not None:
            return
        try:
            self._listener(fraction)
        except BaseException as error:  # noqa: BLE001 - C cannot carry it; raised after the call
            self.error = error
