"""What fits which memory: every recommended plan is held against the engine's own dry load.

Run: ``uv run python benchmarks/what_fits.py`` (three minutes). For GPUs of several sizes beside
32 GiB of system memory, and for machines without a GPU, the recommendations for each use are made,
and llama.cpp is asked with a header from the catalogue what it would allocate, with the recommended
context and with the largest one. Fails when one of them does not fit. Writes ``docs/what-fits.md``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.choice import choose
from gemmahub.hardware.simulate import simulate_machine
from gemmahub.planning import machine_of, make_plan
from gemmahub.planning.advice import Advised, advise
from gemmahub.planning.exact import exact_plan
from gemmahub.planning.header import header_of
from gemmahub.recommend import Use, Wish
from gemmahub.service import Gemmahub
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine
    from gemmahub.planning import Plan

GIB: Final = 1 << 30
SIZES: Final = (4, 6, 8, 12, 16, 24, 32, 48, 80)
RAM: Final = 32
DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "what-fits.md"
HUB: Final = Gemmahub()


@dataclass(frozen=True, slots=True)
class Checked:
    """A recommendation and what the engine says of it."""

    entry: Advised
    plan: Plan
    largest: Plan


def checked(entry: Advised, machine: Machine) -> Checked:
    """The dry loads with the recommended and with the largest context."""
    choice = entry.recommendation.choice
    candidate, settings = choice.candidate, choice.plan.settings
    place = machine_of(machine)
    model = (candidate.architecture, candidate.weights)
    plans = []
    with header_of(entry.variant, HUB.registry.catalog) as header:
        offer = choose(HUB.plugins_manager, header.artifact, None).offer
        for context in (settings.context, entry.recommendation.largest_context):
            asked = replace(settings, context=context)
            plan = make_plan(entry.variant, model, asked, place)
            plans.append(exact_plan(plan, offer, header, place))
    return Checked(entry, *plans)


def row(size: int, found: Checked) -> str:
    """A row of the table."""
    entry, memory = found.entry, found.plan.memory
    settings, precision = memory.settings, entry.variant.precision
    gpu, host = memory.places[0], memory.places[-1]
    cells = (
        f"{size} GiB",
        f"`{entry.variant.reference}`",
        f"{precision.short}, {precision.bits_per_weight:.2f} bits/weight",
        f"{settings.context:,} {settings.cache_type_k}",
        f"{found.largest.memory.settings.context:,}",
        *(format_gib(part) for part in (gpu.weights_bytes, gpu.kv_cache_bytes, gpu.compute_bytes)),
        format_gib(gpu.total_bytes),
        format_gib(host.total_bytes) if len(memory.places) > 1 else "",
    )
    return f"| {' | '.join(cells)} |"


def tables() -> tuple[list[str], int]:
    """The rows for the document, and the number of plans that were checked."""
    lines: list[str] = []
    count = 0
    for title, simulated in (
        (
            "On a GPU",
            [(s, simulate_machine(s * GIB, RAM * GIB, base=HUB.hardware())) for s in SIZES],
        ),
        ("Without a GPU", [(s, simulate_machine(None, s * GIB)) for s in SIZES]),
    ):
        for use in (Use.CHAT, Use.LONG_CONTEXT):
            lines += ["", f"## {title}, for {use}", "", *HEAD]
            for size, machine in simulated:
                advice = advise(HUB.registry, machine, Wish(use), measured={}, limit=3)
                for entry in advice.entries:
                    found = checked(entry, machine)
                    for plan in (found.plan, found.largest):
                        count += 1
                        if not plan.memory.fits:
                            sys.exit(f"{size} GiB: {entry.command} does not fit: {plan.memory}")
                    if entry.recommendation.rank == 1:
                        lines.append(row(size, found))
                    print(f"{size:3} GiB {use:12} {entry.command}", flush=True)
    return lines, count


HEAD: Final = (
    "| memory | first choice | precision | context, cache | largest | weights | KV cache | compute "
    "| in all | and in system memory |",
    "|---|---|---|---|---|---|---|---|---|---|",
)

INTRODUCTION: Final = f"""# What fits

Made by `benchmarks/what_fits.py`: the first recommendation for each size of memory. KV cache,
compute and output buffers are what llama.cpp 0.3.36 itself says it would allocate for that model (a
dry load on its CPU backend); weights are the file's, laid out as llama.cpp lays them out. "In all"
includes 512 MiB that are reckoned for a GPU's driver (an estimate); beside it at least 512 MiB stay
free. "Largest" is the longest context that would fit with the same cache, at most what the model
was trained for. GPUs stand beside {RAM} GiB of system memory; tables that are only looked up (the
token embedding, per-layer embeddings) stay there. Speed is not considered here: the bandwidth of a
memory of which only the size is known is unknown. The second and third choices were checked too.
"""


def main() -> None:
    lines, count = tables()
    DOCUMENT.write_text("\n".join([INTRODUCTION.rstrip(), *lines]) + "\n", "utf-8")
    print(f"{count} plans, each passed the dry load")


if __name__ == "__main__":
    main()
