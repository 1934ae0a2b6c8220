"""Perplexity and divergence held against llama.cpp's own ``llama-perplexity``, with their cost.

Run: ``uv run python -m benchmarks.scoring LLAMA_PERPLEXITY FOLDER [WINDOWS] [PART...]`` (an hour
for four windows on two cores). ``LLAMA_PERPLEXITY`` was built from the source of the installed
llama-cpp-python and uses its libraries. ``FOLDER`` has the ladder as ``Q8_0.gguf`` ..., the real
Gemma 3 270M as ``Q4_K_M.gguf``, and as ``made.gguf`` what ``llama-quantize --allow-requantize``
made of it as Q4_K_M again. Parts: ``perplexity``, ``divergence``, ``cost``; all without a name.

Times are CPU seconds of whole processes, in turns: of ``WINDOWS`` windows less those of one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any, Final

TEXTS: Final = ("prose", "code", "non-latin")
TYPES: Final = ("Q8_0", "Q4_K_M", "Q2_K")
LADDER: Final = ("made", "Q8_0", "Q6_K", "Q3_K_M", "Q4_0", "Q2_K")
ROUNDS: Final = 2
_SCORES: Final = """
import sys
from pathlib import Path
from gemmahub.engines.contract import Artifact, Settings
from gemmahub_llamacpp.backend import LlamaCppBackend
path, text, count = Path(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8"), int(sys.argv[3])
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
with LlamaCppBackend().load(Artifact("gguf", path, (path,)), Settings(context=512)) as session:
    before = peak()
    for _ in session.score_at(text, 0, [[()] * 512] * count):
        pass
    print(f"{peak() - before:.0f}")
"""


def text_file(name: str) -> Path:
    """A text of the package."""
    return Path(str(files("gemmahub.measurements") / "texts" / f"{name}.txt"))


def seconds_of(arguments: list[Any], **settings: Any) -> tuple[float, str]:
    """CPU seconds of a process and its children, and what it printed."""
    with tempfile.TemporaryFile("w+") as told:
        running = subprocess.Popen(
            [str(a) for a in arguments], stdout=told, stderr=subprocess.STDOUT, **settings
        )
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        text = told.read()
    if running.returncode:
        raise SystemExit(f"{arguments} ended with {running.returncode}:\n{text[-2000:]}")
    return usage.ru_utime + usage.ru_stime, text


def tool(program: Path, model: Path, text: str, windows: int, *more: Any) -> tuple[float, str]:
    """llama-perplexity, a window at a time as here."""
    import llama_cpp

    libraries = f"{Path(llama_cpp.__file__).parent / 'lib'}:{program.parent}"
    wanted = [program, "-m", model, "-f", text_file(text), "--chunks", windows, "-b", 512]
    environment = os.environ | {"LD_LIBRARY_PATH": libraries}
    return seconds_of([*wanted, "-t", os.cpu_count(), *more], env=environment)


def ours(folder: Path, names: list[str], text: str, windows: int, *more: str) -> list[Any]:
    """What ``gemmahub quality`` measures."""
    with tempfile.TemporaryDirectory() as place:
        environment = os.environ | {"GEMMAHUB_CACHE": place, "GEMMAHUB_DATA": place}
        found = subprocess.run(
            [sys.executable, "-m", "gemmahub", "quality", *(f"{name}.gguf" for name in names),
             "--text", text, "--chunks", str(windows), "--json", *more],
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
    results: list[Any] = json.loads(found.stdout)["results"]
    return results


def perplexities(program: Path, folder: Path, windows: int) -> None:
    """The same text and build: the two perplexities."""
    print(f"perplexity of {windows} windows       here      llama-perplexity  ratio")
    for text in TEXTS:
        for name in TYPES:
            (result,) = ours(folder, [name], text, windows)
            _, told = tool(program, folder / f"{name}.gguf", text, windows)
            (value,) = re.findall(r"PPL = ([0-9.]+)", told)
            here = result["perplexity"]["value"]
            ratio = here / float(value)
            print(f"{text:10} {name:8} {here:20.4f} {value:>16} {ratio:10.5f}", flush=True)


def divergences(program: Path, folder: Path, windows: int) -> None:
    """The ladder against the real file: a sum over the whole vocabulary, and the sample of it."""
    found = ours(folder, ["Q4_K_M", *LADDER], "prose", windows, "--reference", "Q4_K_M.gguf")
    by_name = {Path(r["model"]["reference"]).stem: r["divergence"] for r in found}
    print(f"file against itself: mean {by_name['Q4_K_M']['mean'].get('value', 0):.2e}")
    with tempfile.TemporaryDirectory() as place:
        base = Path(place) / "base.kld"
        tool(program, folder / "Q4_K_M.gguf", "prose", windows, "--save-all-logits", base)
        more = ("--kl-divergence", "--kl-divergence-base", base)
        for name in LADDER:
            _, told = tool(program, folder / f"{name}.gguf", "prose", windows, *more)
            print(f"{name:8} {_row(told)}", flush=True)
            held = by_name[name]
            values = (held["mean"].get("value", 0), held["median"], held["percentile_99"])
            rms, same = held["rms_change"].get("value", 0), held["same_top"]["value"]
            print(
                "    here " + " ".join(f"{value:.6f}" for value in values)
                + f" RMS {rms:.3%} same {same:.3%}"
            )  # fmt: skip


def _row(told: str) -> str:
    wanted = (r"Mean    KLD: *([-0-9.]+)", r"Median  KLD: *([-0-9.]+)", r"99.0%   KLD: *([-0-9.]+)")
    values = [re.findall(each, told)[-1] for each in wanted]
    rms = re.findall(r"RMS Δp *: *([0-9.]+)", told)[-1]
    return f"{' '.join(values)} RMS {rms}% same {re.findall(r'Same top p: *([0-9.]+)', told)[-1]}%"


def cost(program: Path, folder: Path, windows: int) -> None:
    """CPU seconds a window, in turns; and the memory that scoring takes beyond the model."""
    model = folder / "Q4_K_M.gguf"
    text = text_file("prose")
    ratios = []
    for number in range(ROUNDS):
        theirs = [tool(program, model, "prose", count)[0] for count in (1, windows)]
        own, more = [], ""
        for count in (1, windows):
            spent, more = seconds_of([sys.executable, "-c", _SCORES, model, text, count])
            own.append(spent)
        per = [(pair[1] - pair[0]) / (windows - 1) for pair in (theirs, own)]
        ratios.append(per[0] / per[1])
        print(
            f"round {number + 1}: llama-perplexity {per[0]:.2f} s a window, here {per[1]:.2f}, "
            f"speed {ratios[-1]:.3f} of it; {more.split()[-1]} MiB beyond the model",
            flush=True,
        )
    print(f"speed, median: {median(ratios):.3f} of llama-perplexity")


def main() -> None:
    """Print all figures."""
    program, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    windows = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    parts = {"perplexity": perplexities, "divergence": divergences, "cost": cost}
    for name in sys.argv[4:] or parts:
        parts[name](program, folder, windows)


if __name__ == "__main__":
    main()
