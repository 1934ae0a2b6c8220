"""Pulling a file from a hub on this machine: speed, and bytes that are fetched twice.

Run: ``uv run python benchmarks/pull.py [--kills] [--gib N]``; a file of 1 GiB unless told.

The same file through ``hf_hub_download`` alone and through ``gemmahub pull``, taking turns, each in
a fresh process and with an empty cache; the time from the first byte to the last, and that of the
whole command. Then pulls that are killed at random moments, until the file is here.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from gemmahub.text import format_bytes

sys.path.insert(0, str(Path(__file__).parents[1]))

from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import write_model
from gemmahub.testing.hub.server import HubServer

GIB: Final = int(sys.argv[sys.argv.index("--gib") + 1]) if "--gib" in sys.argv else 1
SIZE: Final = GIB << 30
TURNS: Final = 5
KILLS: Final = 10
MANY_KILLS: Final = 50
PIECE_SECONDS: Final = 0.0005  # of a server that is slower than this machine, for each 64 KiB
NAME: Final = "g-Q4_0.gguf"

ALONE = f"""
import time
from huggingface_hub import hf_hub_download
begin = time.perf_counter()
hf_hub_download("user/gemma", "{NAME}")
print(time.perf_counter() - begin)
"""
PULL = """
import time
from gemmahub.service import Library
hub, times = Library(), {}
plan = hub.plan_pull("user/gemma")
begin = time.perf_counter()
hub.pull(plan, on_progress=lambda p: times.setdefault(p.phase, time.perf_counter()))
end = time.perf_counter()
print(times["verifying"] - begin, end - begin)
"""


def main() -> None:
    """Measure and print; ``--kills`` leaves the speed out."""
    with tempfile.TemporaryDirectory() as name, HubServer() as server:
        root = Path(name)
        path = root / NAME
        write_model(path, words=1000, layers=1)
        os.truncate(path, SIZE)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        server.add("user/gemma", {NAME: Served.of(NAME, path, sha256)})
        environment = {
            **os.environ,
            **server.environment(root / "hf"),
            "GEMMAHUB_CACHE": str(root / "cache"),
            "GEMMAHUB_DATA": str(root / "data"),
            "GEMMAHUB_STORES": "huggingface",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        if "--kills" not in sys.argv:
            speed(root, environment)
        killed(root, environment, server, path, KILLS, "at full speed")
        server.fault("slow", match="/blob/", value=PIECE_SECONDS, times=None)
        killed(root, environment, server, path, MANY_KILLS, "from a slower server")


def speed(root: Path, environment: dict[str, str]) -> None:
    """Prints both throughputs and their ratio."""
    alone, moved, whole = [], [], []
    for _ in range(TURNS):
        alone.append(run(root, environment, ALONE)[0])
        first, second = run(root, environment, PULL)
        moved.append(first)
        whole.append(second)
    rates = [SIZE / statistics.median(times) / 1e6 for times in (alone, moved, whole)]
    ratios = [a / m for a, m in zip(alone, moved, strict=True)]
    print(f"hf_hub_download          {rates[0]:7.0f} MB/s")
    print(f"gemmahub pull, transfer  {rates[1]:7.0f} MB/s")
    print(f"gemmahub pull, verified  {rates[2]:7.0f} MB/s   (with reading it all for its sha256)")
    print(f"transfer                 {statistics.median(ratios):7.3f} of hf_hub_download")


def run(root: Path, environment: dict[str, str], code: str) -> list[float]:
    """The seconds that a program prints, with an empty cache."""
    shutil.rmtree(root / "hf", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def killed(
    root: Path,
    environment: dict[str, str],
    server: HubServer,
    path: Path,
    times: int,
    how: str,
) -> None:
    """Kills pulls at random amounts of the file, then lets one end; prints what was moved."""
    shutil.rmtree(root / "hf", ignore_errors=True)
    chance = random.Random(1)
    points = sorted(chance.randrange(SIZE) for _ in range(times))
    command = [sys.executable, "-m", "gemmahub", "pull", "user/gemma", "--yes"]
    server.forget()
    kills = 0
    for point in points:
        before = arrived(root)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and arrived(root) < max(point, before + 1):
            time.sleep(0.001)
        kills += process.poll() is None
        process.kill()
        process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    same = hashlib.sha256(Path(done.stdout.strip()).read_bytes()).hexdigest() == hash_of(path)
    moved = server.sent(NAME)
    print(
        f"killed {kills} times {how}: {moved / SIZE:.4f} of the file sent in total, "
        f"{format_bytes(server.sent_twice(NAME))} twice; the right file: {same}",
        flush=True,
    )


def arrived(root: Path) -> int:
    """Bytes of the file that are here."""
    try:
        return sum(p.stat().st_size for p in root.glob("hf/hub/models--*/blobs/*"))
    except OSError:
        return 0


def hash_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
