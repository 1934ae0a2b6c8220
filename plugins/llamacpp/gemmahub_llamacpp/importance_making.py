"""An importance matrix from a text: the squares of what each matrix is multiplied with.

As ``tools/imatrix/imatrix.cpp`` of ggml-org/llama.cpp@0c1e57098 (``collect_imatrix``,
``compute_imatrix``, ``save_imatrix``): windows of 512 tokens, each begun with the token that begins
texts, the matrices of the layers, sums of squares and how many tokens they are of. Windows are
computed in pieces, so that logits of 262,144 words take little memory.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub.errors import LoadFailed
from gemmahub.formats.gguf_writer import gguf_header
from gemmahub_llamacpp.engine import assign, library, log
from gemmahub_llamacpp.importance import COUNTS, SUMS
from gemmahub_llamacpp.model import LlamaModel

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from gemmahub.engines.contract import OnProgress

WINDOW: Final = 512
_PIECE: Final = 128
_LEAST_ROWS: Final = 16  # fewer are not counted, as there
_OBJECT: Final = 32  # bytes of struct ggml_object, which ggml_tensor_overhead() counts, too
_ALIGNMENT: Final = 32
_F32: Final = 0


class _Tensor(ctypes.Structure):
    """``struct ggml_tensor`` (``ggml/include/ggml.h``)."""

    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    ]


def make_importance(path: Path, text: str, target: Path, on_progress: OnProgress | None) -> None:
    """Write the importance matrix of a model for a text.

    Raises: LoadFailed for a text of less than two windows, and for what llama.cpp refuses.
    """
    llama = library()
    _check_structure(llama)
    model = LlamaModel(path, gpu_layers=0)
    try:
        tokens = model.tokenize(text, special=False, start=True)
        windows = len(tokens) // WINDOW
        if windows < 2:
            raise LoadFailed(
                f"the text for the importance matrix has {len(tokens):,} tokens, but it needs "
                f"at least {2 * WINDOW:,}",
                "use a longer text of the kind that the model is used for",
            )
        sums = _Sums(llama)
        _compute(llama, model, tokens[: windows * WINDOW], sums, on_progress)
    finally:
        model.close()
    _save(target, sums, windows)


def _check_structure(llama: Any) -> None:
    """Raises: LoadFailed for a library whose tensors are not those that are known here."""
    overhead = llama.llama_cpp._lib.ggml_tensor_overhead
    overhead.restype = ctypes.c_size_t
    if overhead() != _OBJECT + ctypes.sizeof(_Tensor):
        raise LoadFailed(
            "this build of llama.cpp has unknown structures",
            "make the importance matrix with llama-imatrix, and use that file",
        )


class _Sums:
    """Hears llama.cpp compute, and adds up the squares; a failure waits for the end."""

    def __init__(self, llama: Any) -> None:
        shared = llama.llama_cpp._lib
        name_of = shared.ggml_op_name
        name_of.restype = ctypes.c_char_p
        ops = {name_of(number): number for number in range(64)}
        self._plain, self._by_expert = ops[b"MUL_MAT"], ops[b"MUL_MAT_ID"]
        self._read = shared.ggml_backend_tensor_get
        self._read.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        self._read.restype = None
        self.squares: dict[str, NDArray[np.float32]] = {}
        self.counts: dict[str, NDArray[np.float32]] = {}
        self.error: BaseException | None = None

    def __call__(self, address: int, asked: bool, _data: Any) -> bool:
        tensor = _Tensor.from_address(address)
        if tensor.op not in (self._plain, self._by_expert):
            return False
        if self.error is not None:
            return not asked
        try:
            wanted = self._wanted(tensor)
            if asked or not wanted:
                return wanted
            if tensor.op == self._plain:
                self._add(tensor)
            else:
                self._add_experts(tensor)
        except BaseException as error:  # noqa: BLE001 - C cannot carry it; raised after the call
            self.error = error
        return True

    def _wanted(self, tensor: _Tensor) -> bool:
        if tensor.op == self._by_expert:
            return True
        inputs = _Tensor.from_address(tensor.src[1])
        return (
            inputs.ne[1] >= _LEAST_ROWS
            and inputs.type == _F32
            and _name(_Tensor.from_address(tensor.src[0])).startswith("blk.")
        )

    def _add(self, tensor: _Tensor) -> None:
        import numpy as np

        weights = _Tensor.from_address(tensor.src[0])
        inputs = self._values(tensor.src[1], np.float32)  # batches, matrices, rows, columns
        matrices = weights.ne[2] * weights.ne[3]
        found = np.square(inputs, dtype=np.float32).sum(axis=2)
        by_matrix = found.reshape(-1, found.shape[-1])
        rows = inputs.shape[0] * inputs.shape[1] * inputs.shape[2]
        if matrices == 1:
            by_matrix = by_matrix.sum(axis=0, keepdims=True)
        name = _name(weights)
        if name not in self.squares:
            self.squares[name] = np.zeros(by_matrix.size, np.float32)
            self.counts[name] = np.zeros(1, np.float32)
        self.squares[name] += by_matrix.reshape(-1)
        self.counts[name] += rows // matrices

    def _add_experts(self, tensor: _Tensor) -> None:
        import numpy as np

        weights = _Tensor.from_address(tensor.src[0])
        experts, name = weights.ne[2], _name(weights)
        inputs = self._values(tensor.src[1], np.float32)[0]  # tokens, used or 1, columns
        chosen = self._values(tensor.src[2], np.int32)[0, 0]  # tokens, used
        columns = inputs.shape[-1]
        if name not in self.squares:
            self.squares[name] = np.zeros(experts * columns, np.float32)
            self.counts[name] = np.zeros(experts, np.float32)
        squares = np.broadcast_to(np.square(inputs), (*chosen.shape, columns)).reshape(-1, columns)
        flat = chosen.reshape(-1)
        np.add.at(self.squares[name].reshape(experts, columns), flat, squares)
        np.add.at(self.counts[name], flat, 1)

    def _values(self, address: int, kind: Any) -> NDArray[Any]:
        """The numbers of a tensor, its contiguous dimension last; rows may lie apart."""
        import numpy as np

        tensor = _Tensor.from_address(address)
        shape, strides = list(tensor.ne), list(tensor.nb)
        size = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 4
        raw = ctypes.create_string_buffer(size)
        self._read(address, raw, 0, size)
        return np.ndarray(shape[::-1], kind, memoryview(raw), strides=strides[::-1])


def _name(tensor: _Tensor) -> str:
    """A tensor's name without what a device's copy has around it (``CUDA0#blk.0.attn_q#0``)."""
    name = bytes(tensor.name).partition(b"\0")[0].decode(errors="replace")
    return name.split("#")[1] if "#" in name else name


def _compute(
    llama: Any, model: LlamaModel, tokens: list[int], sums: _Sums, on_progress: OnProgress | None
) -> None:
    """Raises: LoadFailed; what the listener or the adding up raises."""
    from gemmahub.hardware.cpu import compute_threads

    params = llama.llama_context_default_params()
    listener = llama.llama_cpp.ggml_backend_sched_eval_callback(sums)
    threads = compute_threads()
    assign(
        params, n_ctx=WINDOW, n_batch=_PIECE, n_ubatch=_PIECE, n_threads=threads,
        n_threads_batch=threads, cb_eval=listener, no_perf=True,
    )  # fmt: skip
    log.clear()
    context = llama.llama_init_from_model(model.handle, params)
    if not context:
        raise LoadFailed(f"llama.cpp cannot make a context: {log.errors() or 'it gave no reason'}")
    batch = llama.llama_batch_init(_PIECE, 0, 1)
    start = llama.llama_vocab_bos(model.vocab)
    begun = llama.llama_vocab_get_add_bos(model.vocab)
    try:
        for first in range(0, len(tokens), WINDOW):
            llama.llama_memory_clear(llama.llama_get_memory(context), True)
            window = tokens[first : first + WINDOW]
            if begun:
                window[0] = start
            for piece in range(0, WINDOW, _PIECE):
                _fill(batch, window[piece : piece + _PIECE], piece)
                if code := llama.llama_decode(context, batch):
                    raise LoadFailed(f"llama.cpp cannot compute the text: code {code}")
                if sums.error is not None:
                    raise sums.error
            if on_progress is not None:
                on_progress((first + WINDOW) / len(tokens))
    finally:
        llama.llama_batch_free(batch)
        llama.llama_free(context)


def _fill(batch: Any, tokens: list[int], position: int) -> None:
    """All tokens give logits: the last layer computes no others."""
    batch.n_tokens = len(tokens)
    for index, token in enumerate(tokens):
        batch.token[index], batch.pos[index] = token, position + index
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
        batch.logits[index] = True


def _save(target: Path, sums: _Sums, windows: int) -> None:
    """Raises: LoadFailed where it cannot be written."""
    import numpy as np

    tensors, parts = [], []
    for name in sorted(sums.squares):
        values, counts = sums.squares[name], sums.counts[name]
        if not np.isfinite(values).all():
            raise LoadFailed(f"the model computes values that are not numbers for {name}")
        tensors.append((f"{name}{SUMS}", (values.size // counts.size, counts.size), "F32"))
        tensors.append((f"{name}{COUNTS}", (1, counts.size), "F32"))
        parts += [values.tobytes(), counts.tobytes()]
    metadata = {
        "general.type": "imatrix",
        "imatrix.chunk_count": windows,
        "imatrix.chunk_size": WINDOW,
    }
    header, _ = gguf_header(metadata, tensors)
    try:
        with target.open("wb") as file:
            file.write(header)
            for part in parts:
                file.write(part + bytes(-len(part) % _ALIGNMENT))
    except OSError as error:
        raise LoadFailed(f"{target.name} cannot be written: {error.strerror or error}") from None
