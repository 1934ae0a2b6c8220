"""``gemmahub plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from gemmahub.memory import MemoryPlan
    from gemmahub.planning import Plan

_BAR = 24


@click.command(name="plan")
@click.argument("reference")
@click.option("-c", "--context", "--ctx-size", type=click.IntRange(min=1), help="Tokens.")
@click.option("--cache-type", type=click.Choice(CACHE_TYPES), default="f16", show_default=True)
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU [all].")
@click.option("--ubatch", type=click.IntRange(min=1), default=512, show_default=True)
@click.option("--parallel", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--memory", help="Plan for a GPU of this size instead: 24GiB.")
@click.option("--ram", help="Plan for this much system memory instead: 64GiB.")
@click.option("--exact", is_flag=True, help="Ask the engine what it would allocate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_command(reference: str, as_json: bool, **options: Any) -> None:
    """What a model takes of the memory that is free, part by part, before it is loaded."""
    from gemmahub.service import Gemmahub, PlanOptions

    plan = Gemmahub().plan(reference, PlanOptions(**options))
    if as_json:
        output.json_data(plan.as_json())
        return
    _show(plan)
    for note in plan.notes:
        output.note(f"note: {note}")


def _show(plan: Plan) -> None:
    memory, settings = plan.memory, plan.memory.settings
    basis = f"asked of {plan.dry.engine}" if plan.dry else f"by formula, checked on {memory.engine}"
    room = format_gib(abs(memory.headroom_bytes))
    fits = f"yes, {room} to spare" if memory.fits else f"NO, {room} too much"
    output.facts(
        [
            ("model", f"{plan.variant.name} ({plan.variant.reference})"),
            ("precision", plan.variant.precision.summary),
            (
                "settings",
                f"context {settings.context:,} · cache {settings.cache_type_k} · flash attention "
                f"{'on' if settings.flash_attention else 'off'} · ubatch {settings.ubatch} · "
                f"{memory.gpu_layers} layers on the GPU",
            ),
            ("fits", fits),
            ("at most", f"{plan.largest_context:,} tokens with these settings"),
            ("basis", basis),
        ]
    )
    output.data("")
    output.table(("part", "size", ""), _parts(memory), right=("size",))
    output.data("")
    output.table(
        ("place", "takes", "free", "of"),
        [
            (p.device, *map(format_gib, (p.total_bytes, p.free_bytes, p.capacity_bytes)))
            for p in memory.places
        ],
        right=("takes", "free", "of"),
    )


def _parts(memory: MemoryPlan) -> list[tuple[str, str, str]]:
    names = ("weights", "kv_cache", "compute", "output", "projector", "overhead")
    sums = {name: sum(getattr(p, f"{name}_bytes") for p in memory.places) for name in names}
    total = sum(sums.values()) or 1
    return [
        (name.replace("_", " "), format_gib(size), "█" * round(_BAR * size / total))
        for name, size in [*sums.items(), ("total", total)]
        if size
    ]
