"""What fits which memory, and what is recommended for machines that people have.

Run: ``python -m benchmarks.what_fits`` (five minutes), or with ``--machines`` (seconds) for the
table of machines alone. Writes ``docs/concepts/what-fits.md``. For GPUs of several sizes beside
32 GiB of system memory, and for machines without a GPU, the recommendations for each use are made,
and llama.cpp is asked with a header from the catalogue what it would allocate, with the recommended
context and with the largest one; fails when one of them does not fit. The machines are those of
``tests/recommend/experts.toml``; tests/recommend/test_experts.py holds the document to them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.choice import choose
from gemmahub.hardware.simulate import preset_machine, simulate_machine
from gemmahub.planning import machine_of, make_plan
from gemmahub.planning.dry_load import dry_load_plan
from gemmahub.planning.header import header_of
from gemmahub.planning.recommending import Recommendation, recommendations
from gemmahub.recommend.goals import Requirements, Use
from gemmahub.recommend.reasons import speed_text
from gemmahub.registry.declared import declared
from gemmahub.service import Library
from gemmahub.text import format_gib
from tests.recommend.experts import MACHINES, choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.catalog.records import Catalog
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import DevicePlan
    from gemmahub.planning import Plan
    from gemmahub.recommend.records import ScoredPlan

GIB: Final = 1 << 30
SIZES: Final = (4, 6, 8, 12, 16, 24, 32, 48, 80)
RAM: Final = 32
DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "concepts" / "what-fits.md"
BY_MACHINE: Final = "## By machine"
BY_SIZE: Final = "## By size of memory"


# --- by machine --------------------------------------------------------------------------------


@cache
def catalog() -> Catalog:
    """What is known of all variants."""
    return load_catalog()


def machine_table() -> str:
    """The section on machines, from its heading to its last row."""
    rows = [_machine_row(machine, choice(machine, Use.CHAT).plans[0]) for machine in MACHINES]
    return "\n".join([BY_MACHINE, "", ABOUT_MACHINES, *MACHINE_HEAD, *rows]) + "\n"


def _machine_row(machine: dict[str, Any], plan: ScoredPlan) -> str:
    settings, (*devices, host) = plan.settings, plan.memory.places
    cells = (
        machine["name"],
        f"`{plan.candidate.reference}`",
        _precision(plan.candidate.reference),
        f"{settings.context:,} {settings.cache_type_k}",
        " + ".join(_used(place) for place in devices if place.total_bytes),
        _used(host) + _left_there(plan),
        speed_text(plan),
        machine.get("users", ""),
    )
    return f"| {' | '.join(cells)} |"


def _precision(reference: str) -> str:
    name, _, variant = reference.partition(":")
    model, known = catalog().model(name), catalog().variant(name, variant)
    assert model is not None
    assert known is not None
    return declared(catalog(), model, known).precision.short


def _used(place: DevicePlan) -> str:
    """``7.4 of 7.8 GiB``."""
    return f"{place.total_bytes / GIB:.1f} of {place.free_bytes / GIB:.1f} GiB"


def _left_there(plan: ScoredPlan) -> str:
    left = plan.placement.in_words(len(plan.candidate.architecture.layers))
    return f": {left}" if left else ""


ABOUT_MACHINES: Final = f"""The first choice for a chat on {len(MACHINES)} machines, with what is
free there and how fast it is read as `tests/recommend/experts.toml` has them; tests hold each
choice to what experienced users would run. Where a GPU shares the system's memory, both columns are
parts of the same. Speeds are estimates, with their band. The last column is what people published
for such a machine, not always with the same model, context or placement.
"""

MACHINE_HEAD: Final = (
    "| machine | first choice | precision | context, cache | on the GPU | in system memory "
    "| tokens/s | what users say |",
    "|---|---|---|---|---|---|---|---|",
)


# --- by size -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checked:
    """A recommendation and what the engine says of it."""

    entry: Recommendation
    plan: Plan
    largest: Plan


def simulated() -> Iterator[tuple[str, list[tuple[int, Machine]]]]:
    """Machines by their size, for each title."""
    pc = preset_machine("cpu-16gb")  # the bandwidth of an ordinary PC's memory
    gpus = [(size, simulate_machine(size * GIB, RAM * GIB, pc)) for size in SIZES]
    yield "On a GPU", gpus
    yield "Without a GPU", [(size, simulate_machine(None, size * GIB, pc)) for size in SIZES]


def checked(hub: Library, entry: Recommendation, machine: Machine) -> Checked:
    """The dry loads with the recommended and with the largest context."""
    candidate, settings = entry.plan.candidate, entry.plan.settings
    place = machine_of(machine)
    model = (candidate.architecture, candidate.weights)
    plans = []
    with header_of(entry.variant, hub.registry.catalog) as header:
        offer = choose(hub.plugins_manager, header.artifact, needs="dry_load").offer
        for context in (settings.context, entry.largest_context):
            asked = replace(settings, context=context)
            plan = make_plan(entry.variant, model, asked, place)
            plans.append(dry_load_plan(plan, offer, header, place))
    return Checked(entry, *plans)


def row(size: int, found: Checked) -> str:
    """A row of the table."""
    entry, memory = found.entry, found.plan.memory
    settings, precision = memory.settings, entry.variant.precision
    first, host = memory.places[0], memory.places[-1]
    in_memory = f"{format_gib(host.total_bytes)}{_left_there(entry.plan)}"
    cells = (
        f"{size} GiB",
        f"`{entry.variant.reference}`",
        f"{precision.short}, {precision.bits_per_weight:.2f} bits/weight",
        f"{settings.context:,} {settings.cache_type_k}",
        f"{found.largest.memory.settings.context:,}",
        *(format_gib(p) for p in (first.weights_bytes, first.kv_cache_bytes, first.compute_bytes)),
        format_gib(first.total_bytes),
        *((in_memory,) if len(memory.places) > 1 else ()),
    )
    return f"| {' | '.join(cells)} |"


def size_tables() -> tuple[list[str], int]:
    """The rows for the document, and the number of plans that were checked."""
    hub, lines, count = Library(), [BY_SIZE, "", ABOUT_SIZES], 0
    for title, machines in simulated():
        for use in (Use.CHAT, Use.LONG_CONTEXT):
            lines += ["", f"### {title}, for {use}", "", *HEADS[title]]
            for size, machine in machines:
                wanted = Requirements(use, limit=3)
                for entry in recommendations(hub.registry, machine, wanted):
                    found = checked(hub, entry, machine)
                    for plan in (found.plan, found.largest):
                        count += 1
                        if not plan.memory.fits:
                            sys.exit(f"{size} GiB: {entry.command} does not fit: {plan.memory}")
                    if entry.rank == 1:
                        lines.append(row(size, found))
                    print(f"{size:3} GiB {use:12} {entry.command}", flush=True)
    return lines, count


_COLUMNS: Final = (
    "memory", "first choice", "precision", "context, cache", "largest", "weights", "KV cache",
    "compute",
)  # fmt: skip


def _head(*last: str) -> tuple[str, str]:
    columns = (*_COLUMNS, *last)
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


HEADS: Final = {
    "On a GPU": _head("total on the GPU", "in system memory"),
    "Without a GPU": _head("total"),
}

ABOUT_SIZES: Final = f"""KV cache, compute and output buffers are what llama.cpp 0.3.36 itself says
it would allocate for that model (a dry load on its CPU backend); weights are the file's, laid out
as llama.cpp lays them out. A CPU backend does not divide a model: how much of the weights and of
the cache goes to the GPU, and how much to system memory, is the formula's, and so is what a GPU
needs more to compute where layers or experts stay behind. `benchmarks/placement_table.py` compares
those with what llama.cpp reserves on devices.

The total on a GPU includes 512 MiB for its driver (an estimate); at least 512 MiB more stay free.
"Largest" is the longest context that would fit with the same cache and placement, at most what the
model was trained for. GPUs stand beside {RAM} GiB of system memory; tables that are only looked up
(the token embedding, per-layer embeddings) stay there. Of a GPU only the size is known here, so it
counts as the slowest of that size; system memory is read at 50 GB/s, as in an ordinary PC. The
second and third choices were checked too."""


# --- the document ------------------------------------------------------------------------------

INTRODUCTION: Final = """# What fits, in tables

You find the first choice for machines that people have, and for sizes of memory. Made by
`benchmarks/what_fits.py`; [what fits](memory.md) explains the columns.
"""


def main() -> None:
    """Write the document."""
    if sys.argv[1:] == ["--machines"]:
        sizes = BY_SIZE + DOCUMENT.read_text("utf-8").partition(BY_SIZE)[2]
    else:
        lines, count = size_tables()
        sizes = "\n".join(lines) + "\n"
        print(f"{count} plans, each passed the dry load")
    DOCUMENT.write_text("\n".join((INTRODUCTION, machine_table(), sizes)), "utf-8")


if __name__ == "__main__":
    main()
