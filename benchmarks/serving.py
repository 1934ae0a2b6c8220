"""What `gemmahub serve` costs: against its engine's own server, with many clients, at a swap.

Run: ``python -m benchmarks.serving [ROUNDS]`` (minutes; Gemma 3 270M, all cores). The very same
engine is asked through the front and at its own port, in turns; figures are medians of the pairs.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import gemmahub
from gemmahub.service import PlanOptions
from gemmahub.testing.model_writer import write_model
from tests.service.serving_support import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL: Final = "gemma-3-270m:q4_k_m"
CLIENTS: Final = 16
TOKENS: Final = 64
FEW: Final = 16
_PATH: Final = "/v1/completions"


def stream(port: int, key: str, model: str = MODEL, tokens: int = TOKENS) -> tuple[float, float]:
    """Seconds to the first token, and tokens a second after it."""
    body = {"model": model, "prompt": "One day", "max_tokens": tokens, "stream": True}
    body |= {"ignore_eos": True, "temperature": 0, "cache_prompt": False}
    begin = perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as web:
        web.request("POST", _PATH, json.dumps(body), {"Authorization": f"Bearer {key}"})
        times = [perf_counter() for line in web.getresponse() if line.startswith(b'data: {"ch')]
    assert len(times) >= tokens, len(times)
    return times[0] - begin, (len(times) - 1) / max(times[-1] - times[0], 1e-9)


def own_port(server: Serving) -> tuple[int, str]:
    """The engine's own port and key."""
    (engine,) = server.engines()
    words = engine.cmdline()
    return int(words[words.index("--port") + 1]), engine.environ()["LLAMA_API_KEY"]


def against_own(server: Serving, rounds: int) -> None:
    """First token and speed, through the front and at the engine's port."""
    stream(server.port, "")
    sides = [(server.port, ""), own_port(server)]
    pairs = []
    for number in range(rounds):
        order = sides if number % 2 else sides[::-1]
        found = {port: stream(port, key) for port, key in order}
        pairs.append([found[port] for port, _ in sides])
    first = median(front[0] - own[0] for front, own in pairs)
    share = median(front[0] / own[0] for front, own in pairs)
    speed = median(front[1] / own[1] for front, own in pairs)
    print(f"first token {1000 * first:+.1f} ms, {share:.3f} of the engine's own")
    print(f"decode      {speed:.3f} of the engine's own")


def at_once(server: Serving) -> None:
    """Many clients, two slots: how long each waits for its first token."""
    begin = perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        waits = [
            w for w, _ in clients.map(lambda _: stream(server.port, "", tokens=FEW), range(CLIENTS))
        ]
    total = perf_counter() - begin
    done = f"all answered in {total:.1f} s, {_said(waits)}"
    print(f"{CLIENTS} clients, 2 slots, {FEW} tokens each: {done}")


def _said(waits: Iterable[float]) -> str:
    found = sorted(waits)
    return f"first tokens after {found[0]:.1f} to {found[-1]:.1f} s"


def swaps(folder: Path, rounds: int) -> None:
    """What a swap takes beyond the load of the model."""
    tiny = str(folder / "tiny.gguf")
    write_model(Path(tiny))
    total = gemmahub.open().plan(MODEL, PlanOptions(context=2048)).memory.total_bytes
    words: list[Any] = [MODEL, tiny, "-c", 2048, "--ram", f"{-(-total // 2**20)}MiB"]
    with serving(*words, data=folder) as server:
        more = []
        for model in (tiny, *[MODEL, tiny] * rounds):
            taken = stream(server.port, "", model, 1)[0]
            last = server.said_until("is loaded after")[-1]
            load = re.search(r"after ([\d.]+) s", last)
            assert load is not None
            more.append(taken - float(load[1]))
    print(f"a swap: {median(more):.2f} s beyond the load, with the end of the other and a token")


def main() -> None:
    """Print the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(MODEL, "-c", 2048, "--parallel", 2, data=folder) as server:
            against_own(server, rounds)
            at_once(server)
        swaps(folder, max(2, rounds // 3))


if __name__ == "__main__":
    main()
