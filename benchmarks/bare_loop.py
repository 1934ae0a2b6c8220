"""The yardstick: llama_decode and greedy sampling, and nothing else.

Run by ``decode.py`` as a process of its own. Each line it reads is a number of tokens to make, a
tab and the prompt; it prints the seconds until the first token and those for the others. Settings
are those of gemmahub's backend.
"""

from __future__ import annotations

import ctypes
import sys
from time import perf_counter
from typing import Any

import llama_cpp

N_BATCH = 512


def load(path: str, threads: int, context: int) -> tuple[Any, Any]:
    """The model and a context with gemmahub's settings."""
    llama_cpp.llama_log_set(QUIET, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        path.encode(), llama_cpp.llama_model_default_params()
    )
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = context
    params.n_batch = params.n_ubatch = N_BATCH
    params.n_threads = params.n_threads_batch = threads
    params.n_outputs_max = 1
    params.flash_attn_type = 1
    params.swa_full = False
    return model, llama_cpp.llama_init_from_model(model, params)


QUIET = llama_cpp.llama_log_callback(lambda level, text, data: None)


def measure(context: Any, prompt: list[int], count: int) -> tuple[float, float]:
    """Seconds until the first token, and for the other ``count - 1``."""
    sampler = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    llama_cpp.llama_sampler_chain_add(sampler, llama_cpp.llama_sampler_init_greedy())
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
    started = perf_counter()
    for at in range(0, len(prompt), N_BATCH):
        part = prompt[at : at + N_BATCH]
        tokens = (llama_cpp.llama_token * len(part))(*part)
        outputs = (ctypes.c_int8 * len(part))()
        outputs[len(part) - 1] = at + len(part) == len(prompt)
        batch = llama_cpp.llama_batch(n_tokens=len(part), token=tokens, logits=outputs)
        assert llama_cpp.llama_decode(context, batch) == 0
    token = (llama_cpp.llama_token * 1)()
    token[0] = llama_cpp.llama_sampler_sample(sampler, context, -1)
    first = perf_counter()
    for _ in range(count - 1):
        assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(token, 1)) == 0
        token[0] = llama_cpp.llama_sampler_sample(sampler, context, -1)
    ended = perf_counter()
    llama_cpp.llama_sampler_free(sampler)
    return first - started, ended - first


def tokenize(model: Any, text: str) -> list[int]:
    """Token ids with the begin-of-sequence token."""
    data = text.encode()
    tokens = (llama_cpp.llama_token * (len(data) + 8))()
    vocab = llama_cpp.llama_model_get_vocab(model)
    count = llama_cpp.llama_tokenize(vocab, data, len(data), tokens, len(tokens), True, True)
    return list(tokens[:count])


def main() -> None:
    """Serve requests until the end of input."""
    path, threads, context_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model, context = load(path, threads, context_size)
    print("ready", flush=True)
    for line in sys.stdin:
        count, _, prompt = line.rstrip("\n").partition("\t")
        seconds = measure(context, tokenize(model, prompt), int(count))
        print(*seconds, flush=True)


if __name__ == "__main__":
    main()
