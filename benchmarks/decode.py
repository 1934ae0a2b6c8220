"""Decode, prefill and time to first token: gemmahub against a bare loop over the same library.

Both run in processes of their own and take turns; a figure is the median of the ratios of pairs.
Chunks are timed where they arrive, after the worker process and the pipe. The last figure is the
whole command line: ``gemmahub run`` with its standard output read from a pipe.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Sampling, Settings
from gemmahub.service import Library

if TYPE_CHECKING:
    from gemmahub.engines.contract import Session

SHORT: Final = "The capital of France is"  # 6 tokens with the begin-of-sequence token
LONG: Final = (
    "In the beginning there was a small village near the sea, and people lived there. " * 80
)
DECODED: Final = 128
CONTEXT: Final = 4096


class BareLoop:
    """The bare loop in its own process."""

    def __init__(self, path: Path, threads: int) -> None:
        script = Path(__file__).with_name("bare_loop.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(path), str(threads), str(CONTEXT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"GOMP_SPINCOUNT": "1000", **os.environ},  # as gemmahub's backend sets it
        )
        self._line()

    def measure(self, prompt: str, count: int) -> tuple[float, float]:
        """Seconds until the first token, and for the others."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\t{prompt}\n")
        self._process.stdin.flush()
        first, rest = self._line().split()
        return float(first), float(rest)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def measure(session: Session, prompt: str, count: int) -> tuple[float, float]:
    """The same two times for gemmahub, as the reader of the stream sees them."""
    # Another prompt empties the cache, which the bare loop does before it starts its clock.
    for _ in session.generate("x", Sampling(max_tokens=1, temperature=0)):
        pass
    started = perf_counter()
    first = 0.0
    for chunk in session.generate(prompt, Sampling(max_tokens=count, temperature=0)):
        if not first and chunk.prompt_read is None:
            first = perf_counter()
        if chunk.usage is not None:
            assert chunk.usage.tokens == count, "the model ended early: choose another prompt"
    return first - started, perf_counter() - first


def command_line(path: Path, threads: int) -> float:
    """Seconds from the first to the last character of ``gemmahub run``."""
    command = [sys.executable, "-m", "gemmahub", "run", str(path), SHORT]
    options = ["--temperature", "0", "-n", str(DECODED), "-c", str(CONTEXT), "--raw"]
    process = subprocess.Popen(
        [*command, *options, "--threads", str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    times = []
    while os.read(process.stdout.fileno(), 65536):
        times.append(perf_counter())
    process.wait()
    return times[-1] - times[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    settings = Settings(context=CONTEXT, threads=arguments.threads)
    running = Library().load(arguments.model, settings)
    artifact = running.variant.artifacts[0]
    with running.session as session:
        threads = session.info.settings.threads or 1
        bare = BareLoop(artifact.path, threads)
        ratios: dict[str, list[float]] = {}
        rates: dict[str, list[float]] = {}
        later: list[float] = []
        for number in range(arguments.rounds + 1):
            for name, prompt, count in (("decode", SHORT, DECODED), ("prefill", LONG, 2)):
                pair = {}
                sides = ("bare", "hub") if number % 2 else ("hub", "bare")
                for side in sides:
                    pair[side] = (
                        bare.measure(prompt, count)
                        if side == "bare"
                        else measure(session, prompt, count)
                    )
                if not number:
                    continue  # the first round warms up
                which = 1 if name == "decode" else 0
                ratios.setdefault(name, []).append(pair["bare"][which] / pair["hub"][which])
                rates.setdefault(name, []).append((DECODED - 1) / pair["hub"][1])
                if name == "decode":
                    later.append((pair["hub"][0] - pair["bare"][0]) * 1000)
            if number:
                seconds = command_line(artifact.path, threads)
                fresh = BareLoop(artifact.path, threads)  # as cold as the command line is
                base = fresh.measure(SHORT, DECODED)[1]
                fresh.close()
                ratios.setdefault("command line", []).append(base / seconds)
        bare.close()
    print(f"model        {running.variant.name}, {running.variant.precision.summary}")
    print(f"engine       {session.info.engine}, {session.info.device}, {arguments.rounds} rounds")
    print(f"decode       {statistics.median(ratios['decode']):.3f} of the bare loop")
    print(f"             {statistics.median(rates['decode']):.1f} tokens/s")
    print(f"prefill      {statistics.median(ratios['prefill']):.3f} of the bare loop")
    print(f"command line {statistics.median(ratios['command line']):.3f} of the bare loop (decode)")
    print(f"first token  {statistics.median(later):+.1f} ms against the bare loop, 6-token prompt")


if __name__ == "__main__":
    main()
