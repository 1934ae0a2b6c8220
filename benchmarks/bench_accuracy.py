"""The speeds of ``gemmahub bench`` against a bare loop over the same library, in turns.

Run: ``python -m benchmarks.bench_accuracy [--model FILE] [--rounds 15]`` (minutes). Both sides read
the same text and decode as many tokens, in processes of their own, one after the other; a figure is
the median of the ratios of pairs, so that what else runs on the machine hits both. Beside them
``llama-bench``, where it is on the PATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING

from benchmarks.decode import BareLoop
from gemmahub.engines.contract import Settings
from gemmahub.service import Library
from gemmahub.service.benching.depths import DECODED
from gemmahub.service.benching.prompts import Prompts
from gemmahub.service.benching.timing import timed

if TYPE_CHECKING:
    from pathlib import Path

DEPTH = 64
READ = 128


def llama_bench(path: Path, threads: int) -> str:
    """What llama-bench says; empty where there is none."""
    program = shutil.which("llama-bench")
    if program is None:
        return "not on the PATH"
    words = ["-m", str(path), "-t", str(threads), "-fa", "1", "-ub", "512", "-o", "json"]
    words += ["-p", str(READ), "-n", str(DECODED), "-r", "5"]
    rows = json.loads(subprocess.run([program, *words], capture_output=True, check=True).stdout)
    return ", ".join(
        f"{'prefill' if row['n_prompt'] else 'decode'} {row['avg_ts']:.1f} tokens/s" for row in rows
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=DECODED)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    settings = Settings(context=4096, threads=arguments.threads)
    running = Library().load(arguments.model, settings, backend="llama.cpp", alone=False)
    path = running.variant.artifacts[0].path
    ratios: dict[str, list[float]] = {"decode": [], "prefill": []}
    rates: dict[str, list[float]] = {"decode": [], "prefill": []}
    with running.session as session:
        threads = session.info.settings.threads or 1
        bare, prompts = BareLoop(path, threads), Prompts(session)
        for number in range(arguments.rounds + 1):
            for name, tokens, count in (("decode", DEPTH, arguments.tokens), ("prefill", READ, 1)):
                text, first, rest, rate = prompts.fresh(tokens), 0.0, 0.0, 0.0
                for side in ("bare", "bench") if number % 2 else ("bench", "bare"):
                    if side == "bench":
                        found = timed(session, text, count)
                        rate = (found.decode if name == "decode" else found.prefill) or 0.0
                        done, asked = found.tokens, found.prompt_tokens or 0
                    else:
                        first, rest = bare.measure(text, count)
                bare_rate = (done - 1) / rest if name == "decode" else asked / first
                if number and done == count:  # the first round warms up
                    ratios[name].append(rate / bare_rate)
                    rates[name].append(rate)
        bare.close()
    print(f"model    {running.variant.name}, {running.variant.precision.summary}")
    print(f"engine   {session.info.engine}, {session.info.device}")
    for name, found_ratios in ratios.items():
        low, _, high = statistics.quantiles(found_ratios, n=4)
        print(
            f"{name:8} {statistics.median(found_ratios):.3f} of the bare loop "
            f"({len(found_ratios)} pairs, middle half {low:.3f} to {high:.3f}), "
            f"{statistics.median(rates[name]):.1f} tokens/s"
        )
    print(f"llama-bench: {llama_bench(path, threads)}")


if __name__ == "__main__":
    main()
