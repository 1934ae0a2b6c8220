"""A loaded GGUF file: its weights, and its tokenizer."""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gemmahub.engines.thoughts import MARKERS
from gemmahub.engines.tool_calls import CALL_MARKERS
from gemmahub.errors import LoadFailed
from gemmahub.formats.ggml_types import FILE_TYPE_LABELS
from gemmahub_llamacpp.engine import assign, library, log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import OnProgress

_LOAD_MODES: Final = {  # (mmap, mlock) -> enum llama_load_mode
    (False, False): 0,
    (True, False): 1,
    (False, True): 2,
    (True, True): 3,
}
# What llama.cpp says of a file that ends too early or is none; other refusals are no damage.
_DAMAGED: Final = ("file bounds", "failed to read", "invalid magic", "exceeds the remaining")
_FILE_TYPE_GUESSED: Final = 1024  # enum llama_ftype: from the tensors, not from the file
_OVERRIDE_INT, _OVERRIDE_STR = 0, 3  # enum llama_model_kv_override_type


class LlamaModel:
    """The weights and the vocabulary. Not usable after ``close``.

    ``handle`` and ``vocab`` are llama.cpp's pointers.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        gpu_layers: int = 0,
        mmap: bool = True,
        mlock: bool = False,
        on_progress: OnProgress | None = None,
        dry: bool = False,
        overrides: Mapping[str, int | str] | None = None,
        devices: Sequence[int] | None = None,
        tensor_split: Sequence[float] = (),
        experts_in_memory: int = 0,
    ) -> None:
        """Load the file; of a split model, the first part. Errors call it by its ``name``.

        ``dry``: only the header is read and nothing is allocated; the model then has no weights.
        ``overrides`` replace metadata of the file. ``devices`` are llama.cpp's pointers to the
        GPUs to use; None leaves the choice to it. ``tensor_split`` are their shares.
        ``experts_in_memory``: of the first layers, those whose experts stay with the processor.

        Raises: LoadFailed; and whatever ``on_progress`` raises, which ends the loading.
        """
        self._llama = library()
        params = self._llama.llama_model_default_params()
        progress = _Progress(on_progress)
        assign(
            params,
            n_gpu_layers=gpu_layers,
            # llama.cpp aborts when it shall map a file and allocate nothing.
            load_mode=_LOAD_MODES[
                mmap and not dry and self._llama.llama_supports_mmap(), mlock and not dry
            ],
            no_alloc=dry,
            progress_callback=self._llama.llama_progress_callback(progress),
        )
        chosen = (ctypes.c_void_p * (len(devices or ()) + 1))(*(devices or ()))  # with an end
        if devices is not None:
            assign(params, devices=ctypes.cast(chosen, ctypes.c_void_p))
        if tensor_split:
            params.tensor_split = self._shares(tensor_split)
        kept = _expert_overrides(self._llama, experts_in_memory)
        if experts_in_memory:
            assign(params, tensor_buft_overrides=ctypes.cast(kept, ctypes.c_void_p))
        if overrides:
            params.kv_overrides = _overrides(self._llama, overrides)
        log.clear()
        self.handle: Any = self._llama.llama_model_load_from_file(bytes_of(path), params)
        if progress.error is not None:
            self.close()
            raise progress.error
        if not self.handle:
            reason = log.errors()
            damaged = any(sign in reason for sign in _DAMAGED)
            name = name or path.name
            reason = reason.replace(str(path), name)
            raise LoadFailed(
                f"llama.cpp cannot load {name}: {reason or 'it gave no reason'}",
                "download it again: it is damaged or incomplete"
                if damaged
                else "check the file with `gemmahub inspect`",
            )
        self.vocab = self._llama.llama_model_get_vocab(self.handle)
        self._piece_buffer = ctypes.create_string_buffer(256)

    def _shares(self, tensor_split: Sequence[float]) -> Any:
        """llama.cpp's array of shares, as long as it wants it. Raises: LoadFailed."""
        most = int(self._llama.llama_max_devices())
        if len(tensor_split) > most:
            raise LoadFailed(
                f"llama.cpp splits a model between at most {most} devices, not {len(tensor_split)}",
                "give fewer shares",
            )
        return (ctypes.c_float * most)(*tensor_split)

    def close(self) -> None:
        """Free the weights; twice is fine."""
        handle, self.handle = self.handle, None
        if handle:
            self._llama.llama_model_free(handle)

    # --- what the file says --------------------------------------------------------------------

    @functools.cached_property
    def context_trained(self) -> int | None:
        """Tokens of context that the model was trained for; None when the file does not say."""
        return self._llama.llama_model_n_ctx_train(self.handle) or None

    @functools.cached_property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return int(self._llama.llama_model_size(self.handle))

    @functools.cached_property
    def precision(self) -> str:
        """The label of the file's type (``Q4_K_M``); empty where the file does not say it."""
        number = int(self._llama.llama_model_ftype(self.handle))
        return "" if number & _FILE_TYPE_GUESSED else FILE_TYPE_LABELS.get(number, "")

    @functools.cached_property
    def width(self) -> int:
        """Numbers in the embedding of a token, as the model takes them in."""
        return int(self._llama.llama_model_n_embd_inp(self.handle))

    @functools.cached_property
    def architecture(self) -> str:
        """As the file names it: ``gemma3``."""
        buffer = ctypes.create_string_buffer(64)
        size = self._llama.llama_model_meta_val_str(
            self.handle, b"general.architecture", buffer, len(buffer)
        )
        return buffer.value.decode("utf-8", "replace") if size > 0 else ""

    @functools.cached_property
    def words(self) -> int:
        """Words of the vocabulary, which is logits a row."""
        return int(self._llama.llama_vocab_n_tokens(self.vocab))

    @functools.cached_property
    def chat_template(self) -> str | None:
        """The file's own chat template, None when it has none."""
        text = self._llama.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text and text.strip() else None

    @functools.cached_property
    def bos(self) -> str:
        """The text of the begin-of-sequence token, empty when there is none."""
        return self._text(self._llama.llama_vocab_bos(self.vocab))

    @functools.cached_property
    def start(self) -> int | None:
        """The token that the model wants before a text, None when there is none."""
        token = int(self._llama.llama_vocab_bos(self.vocab))
        wanted = self._llama.llama_vocab_get_add_bos(self.vocab)
        return token if wanted and token >= 0 else None

    @functools.cached_property
    def eos(self) -> str:
        """The text of the end-of-sequence token, empty when there is none."""
        return self._text(self._llama.llama_vocab_eos(self.vocab))

    def _text(self, token: int) -> str:
        if token < 0:
            return ""
        return (self._llama.llama_vocab_get_text(self.vocab, token) or b"").decode(
            "utf-8", "replace"
        )

    # --- tokens --------------------------------------------------------------------------------

    def tokenize(self, text: str, *, special: bool, start: bool) -> list[int]:
        """The token ids of a text.

        ``special``: control tokens written out in the text count as control tokens. ``start``: the
        begin-of-sequence token is put in front where the model wants it.
        """
        data = text.encode("utf-8", "replace")
        count = len(data) + 8
        while True:
            tokens = (self._llama.llama_token * count)()
            found = self._llama.llama_tokenize(
                self.vocab, data, len(data), tokens, count, start, special
            )
            if found >= 0:
                return list(tokens[:found])
            count = -found

    def is_control(self, token: int) -> bool:
        """Whether the token steers the model, as ``<end_of_turn>`` does."""
        return bool(self._llama.llama_vocab_is_control(self.vocab, token))

    def control_texts(self, text: str) -> set[str]:
        """The control tokens that are written out in a text."""
        tokens = set(self.tokenize(text, special=True, start=False))
        return {self._text(token) for token in tokens if self.is_control(token)} - {""}

    @functools.cached_property
    def _markers(self) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """Tokens that are markers of thoughts, and those with markers of calls; where the
        vocabulary has them."""
        found = {t: self.tokenize(t, special=True, start=False) for t in (*MARKERS, *CALL_MARKERS)}
        both = {text: ids[0] for text, ids in found.items() if len(ids) == 1}
        thoughts = {text: token for text, token in both.items() if text in MARKERS}
        first, second = (
            {token: text.encode() for text, token in each.items()} for each in (thoughts, both)
        )
        return first, second

    def is_end(self, token: int) -> bool:
        """Whether the model ends its turn with this token."""
        return bool(self._llama.llama_vocab_is_eog(self.vocab, token))

    def piece(self, token: int, *, calls: bool = False) -> bytes:
        """What the token adds to the text, maybe a part of a character; b"" for control tokens but
        those that tell thoughts from the answer, and ``calls`` of tools."""
        if (marker := self._markers[calls].get(token)) is not None:
            return marker
        buffer = self._piece_buffer
        size = self._llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            self._piece_buffer = ctypes.create_string_buffer(-size)
            return self.piece(token, calls=calls)
        return buffer.raw[:size]


def _overrides(llama_cpp: Any, values: Mapping[str, int | str]) -> Any:
    """llama.cpp's array of replaced metadata; an entry without a key ends it."""
    array = (llama_cpp.llama_model_kv_override * (len(values) + 1))()
    for entry, (key, value) in zip(array, values.items(), strict=False):
        entry.key = key.encode()
        if isinstance(value, int):
            entry.tag, entry.value.val_i64 = _OVERRIDE_INT, value
        else:
            entry.tag, entry.value.val_str = _OVERRIDE_STR, value.encode()
    return array


class _Override(ctypes.Structure):
    """``struct llama_model_tensor_buft_override``."""

    _fields_: ClassVar = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


def _expert_overrides(llama_cpp: Any, layers: int) -> Any:
    """llama.cpp's array of tensors that lie elsewhere: the experts of that many layers, with the
    processor. The patterns are those of ``--n-cpu-moe`` (``LLM_FFN_EXPS_REGEX``, common/common.h);
    an empty entry ends it."""
    processor = llama_cpp.llama_cpp._lib.ggml_backend_cpu_buffer_type
    processor.restype = ctypes.c_void_p
    array = (_Override * (layers + 1))()
    for number, entry in enumerate(array[:layers]):
        entry.pattern = rf"blk\.{number}\.ffn_(up|down|gate|gate_up)_(ch|)exps".encode()
        entry.buffer_type = processor()
    return array


class _Progress:
    """llama.cpp's progress callback; an exception in the listener ends the loading."""

    def __init__(self, listener: OnProgress | None) -> None:
        self._listener = listener
        self.error: BaseException | None = None

    def __call__(self, fraction: float, _data: Any) -> bool:
        if self._listener is None:
            return True
        try:
            self._listener(min(1.0, max(0.0, fraction)))
        except BaseException as error:  # noqa: BLE001 - C cannot carry it; raised after the call
            self.error = error
        return self.error is None


def bytes_of(path: Path) -> bytes:
    """The path as llama.cpp wants it (UTF-8 on Windows, else as the file system has it)."""
    import os

    return str(path).encode("utf-8") if os.name == "nt" else os.fsencode(path)
