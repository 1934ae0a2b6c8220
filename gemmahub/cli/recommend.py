"""``gemmahub recommend``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.remote_workers import rpc_option
from gemmahub.cli.shared_options import MACHINE_HELP, use_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.planning.recommending import Recommendation
    from gemmahub.service.right_build import RightBuild


@click.command(name="recommend")
@use_option
@click.option(
    "-c", "--context", type=click.IntRange(min=1), help="Context that must fit, in tokens."
)
@click.option("--model", help="Only variants of this model: gemma-4-12b-it.")
@click.option(
    "--no-offload",
    "offload",
    flag_value=False,
    default=True,
    help="Keep all layers on the GPU.",
)
@click.option("--installed", is_flag=True, help="Only recommend installed models.")
@click.option("--memory", help="Assume a GPU of this size: 24GiB.")
@click.option("--ram", help="Assume this much system memory: 64GiB.")
@click.option("--machine", help=MACHINE_HELP)
@rpc_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Most recommendations to show.",
)
@click.option("--explain", is_flag=True, help="Explain each score: what its four parts gave.")
@answer_options("recommend")
def recommend_command(
    form: Form,
    explain: bool,
    machine: str | None,
    memory: str | None,
    ram: str | None,
    workers: tuple[str, ...],
    **options: Any,
) -> None:
    """Recommend models for this machine.

    Each comes with its precision, context and offload, and with reasons.
    """
    from gemmahub.service import Library, Requirements
    from gemmahub.service.right_build import right_build

    library, wanted = Library(say=output.note, workers=workers), Requirements(**options)
    place = library.machine_for(machine, memory, ram)
    found = library.recommend(wanted, place)
    better = right_build(library, wanted, place)

    def value() -> dict[str, Any]:
        recommendations = [each.as_json() for each in found]
        plain: dict[str, Any] = {"machine": place.as_json(), "recommendations": recommendations}
        return plain if better is None else plain | {"right_build": better.as_json()}

    def show() -> None:
        if better is not None:
            _show_right_build(better)
        for problem in () if place.simulated else place.problems:
            output.warning(f"{problem.probe}: {problem.reason}", problem.hint)
        _show(found)
        if explain:
            _explain(found)

    form.answer(value, show)


def _explain(found: Sequence[Recommendation]) -> None:
    for each in found:
        output.data("")
        output.data(f"{each.rank}. {each.variant.reference}")
        for name, points, text in each.explained:
            output.paragraph(f"{name:<8}{points:>6}  {text}", indent=2)


def _show_right_build(better: RightBuild) -> None:
    from gemmahub.recommend.reasons import speed_text

    best = better.recommendation
    devices = " and ".join(dict.fromkeys(better.devices))
    output.paragraph(
        f"{better.engine} does not use {devices}: the table is for what runs now. With a build "
        f"that does, {best.variant.reference} ({best.variant.precision.short}, "
        f"{best.plan.settings.context:,} tokens) would answer at {speed_text(best.plan)} tokens/s:"
    )
    output.data(f"  {better.hint}")
    output.data(f"  {best.command}")
    output.data("")


def _show(found: Sequence[Recommendation]) -> None:
    columns: tuple[str, ...] = ("", "model", "precision", "bits", "context", "GiB", "tokens/s", "")
    rows = [_row(each) for each in found]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    output.table(columns, rows, right=("bits", "context", "GiB", "tokens/s"))
    first = found[0]
    output.data("")
    output.data(f"{first.variant.reference}:")
    for reason in first.reasons:
        output.paragraph(reason, indent=2)
    output.data("")
    output.data(first.command)


def _row(found: Recommendation) -> tuple[str, ...]:
    from gemmahub.recommend.reasons import speed_text

    plan, precision = found.plan, found.variant.precision
    bits, cache = precision.bits_per_weight, plan.settings.cache_type_k
    return (
        str(found.rank),
        found.variant.reference,
        precision.short,
        "?" if bits is None else f"{bits:.2f}",
        f"{plan.settings.context:,}" + ("" if cache == "f16" else f" {cache}"),
        f"{plan.memory.total_bytes / 2**30:.1f}",
        speed_text(plan),
        "installed" if found.variant.artifacts else "",
    )
