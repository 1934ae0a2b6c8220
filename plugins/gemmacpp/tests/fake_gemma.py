"""A program that behaves as gemma.cpp's ``gemma`` is documented to; no model is computed.

Source: google/gemma.cpp gemma/run.cc, gemma/gemma_args.h and gemma/gemma.h@70184189: arguments,
what goes to which stream at ``--verbosity 1``, the words of its figures. FAKE_MODE makes it fail.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

ARGUMENTS = (
    "tokenizer", "weights", "map", "to_bf16", "wrapping", "num_threads", "verbosity", "seq_len",
    "max_generated_tokens", "prefill_tbatch", "decode_qbatch", "temperature", "top_k",
    "deterministic", "multiturn", "image_file", "prompt", "prompt_file", "eot_line",
)  # fmt: skip
WORDS = [
    "Paris",
    "is",
    "the",
    "capital",
    "of",
    "France",
    "日本",
    "and",
    "a",
    "large,",
    "beautiful",
    "😀",
    "city",
    ".",
    "Привет",
    "мир",
]


def out(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def said(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def abort(why: str) -> None:
    said(f"Abort at gemma.cc:312: {why}")
    os.abort()


def show_help(mode: str) -> None:
    names = [name for name in ARGUMENTS if not (mode == "old" and name == "prompt_file")]
    if mode == "genetics":  # as Debian's package of that name
        said("GEMMA 0.98.5 (2021-08-25) by Xiang Zhou\n ./gemma -bfile [prefix] -gk [num]")
        return
    for name in names:
        said(f"  --{name} : explained here")


def answer(values: dict[str, str], mode: str) -> None:
    prompt = Path(values["prompt_file"]).read_text(encoding="utf-8")
    tokens = len(prompt.split()) + 5
    most, context = int(values["max_generated_tokens"]), int(values["seq_len"])
    if tokens > context:
        abort(f"prompt of {tokens} tokens exceeds seq_len {context}")
    begin = time.monotonic()
    sys.stderr.write("\n[ Reading prompt ] ")
    sys.stderr.flush()
    for _ in range(tokens):
        out(".")
    if mode == "slow":
        time.sleep(600)
    greedy = values.get("top_k") == "1"
    chosen = random.Random(prompt if values.get("deterministic") == "1" or greedy else None)
    out("\n\n")
    count = 0
    for count in range(1, min(most, context - tokens) + 1):
        if mode == "dies" and count == 3:
            os.abort()
        echoed = prompt if count == 1 else ""
        text = echoed if mode == "echo" else chosen.choice(WORDS) + " "
        if mode == "breaks":
            text = "a\n\n" if count < 3 else "b"
        out(text)
        if mode == "pace":
            time.sleep(0.02)
        if mode in ("echo", "short") and count == 4:
            break
    took = int(1000 * (time.monotonic() - begin))
    sys.stderr.write(
        f"\n\n[ Timing info ] Prefill: 3 ms for {tokens} prompt tokens (9.00 tokens / sec); "
        f"Time to first token: 4 ms\n\n[ Timing info ] Generate: {took} ms for {count} tokens "
        "(9.00 tokens / sec)\n"
    )
    sys.stderr.flush()
    out("\n\n")


def main() -> None:
    mode = os.environ.get("FAKE_MODE", "")
    words = sys.argv[1:]
    if mode == "hangs":
        time.sleep(600)
    if not words or "--help" in words:
        show_help(mode)
        return
    values = {name[2:]: value for name, value in zip(words[::2], words[1::2], strict=True)}
    if unknown := [name for name in values if name not in ARGUMENTS]:
        abort(f"unknown {unknown}")
    if "weights" not in values or not Path(values["weights"]).is_file():
        abort("Failed to open weights")
    if mode == "refuses":
        abort("Tensor att_ein_0 not found in file")
    if mode == "silent":
        return
    answer(values, mode)


main()
