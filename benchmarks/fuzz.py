"""Changed inputs through every reader, for as long as it is told: crashes and budgets.

    python -m benchmarks.fuzz --inputs 500000 [--seed 1] [--only gguf]

Each input is made from its number and the seed, so that one that fails is made again by
``--seed S --only READER --from N --inputs 1``. The budget is that of ``docs/security.md`` for a
header: 2 s of processor time and 200 MB; memory is the growth of this process's peak.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path
from random import Random
from time import process_time
from typing import TYPE_CHECKING, Final

from tests.hostile.readers import READERS

if TYPE_CHECKING:
    from tests.hostile.readers import Reader

SECONDS: Final = 2.0
BYTES: Final = 200 << 20
_SHOWN_FAULTS: Final = 3


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run(reader: Reader, seed: int, first: int, count: int, folder: Path) -> tuple[int, int]:
    """Crashes and inputs beyond the budget among ``count`` inputs; prints a row."""
    crashes, over, slowest, before = 0, 0, 0.0, peak_bytes()
    for number in range(first, first + count):
        began, peak = process_time(), peak_bytes()
        try:
            reader.attempt(Random(f"{seed}/{reader.name}/{number}"), folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            crashes += 1
            if crashes <= _SHOWN_FAULTS:
                print(f"  input {number}: {type(error).__name__}: {error}"[:300])
        took, grew = process_time() - began, peak_bytes() - peak
        slowest = max(slowest, took)
        if took > SECONDS or grew > BYTES:
            over += 1
            print(f"  input {number}: {took:.2f} s, {grew / 1e6:.0f} MB")
    grown = (peak_bytes() - before) / 1e6
    print(
        f"{reader.name:24} {count:>9,} inputs  {crashes} crashes  {over} over budget  "
        f"slowest {slowest * 1000:6.0f} ms  peak +{grown:.0f} MB",
        flush=True,
    )
    return crashes, over


def main() -> int:
    """Print a row for each reader, and a sum; 1 when there was a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=500_000, help="all readers together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="first", type=int, default=0, help="number of the first one")
    parser.add_argument("--only", help="one reader")
    options = parser.parse_args()
    readers = [reader for reader in READERS if options.only in (None, reader.name)]
    each = -(-options.inputs // len(readers))
    crashes = over = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as top:
        os.environ |= {"GEMMAHUB_DATA": f"{top}/data", "GEMMAHUB_CACHE": f"{top}/cache"}
        for reader in readers:
            found = run(reader, options.seed, options.first, each, Path(top) / "input")
            crashes, over = crashes + found[0], over + found[1]
    print(f"{each * len(readers):,} inputs: {crashes} crashes, {over} over budget")
    return 1 if crashes or over else 0


if __name__ == "__main__":
    sys.exit(main())
