"""``gemmahub plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.drafts import draft_options
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.memory_bars import place_lines
from gemmahub.cli.references import reference_argument
from gemmahub.cli.remote_workers import rpc_option
from gemmahub.cli.shared_options import MACHINE_HELP, cache_type_option, split_option
from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import DryLoad
    from gemmahub.planning import ContextTotal, Plan
    from gemmahub.planning.verification import Verification
    from gemmahub.service import Library, PlanOptions

_TOKENS = click.IntRange(1, 2**31 - 256)  # llama.cpp counts positions in 32 bits
_AT_MOST = "at most"
_PLOT_CELLS, _PLOT_ROWS = 72, 10
_COUNT = click.IntRange(1, 2**31 - 256)


@click.command(name="plan")
@reference_argument()
@click.option("-c", "--context", "--ctx-size", type=_TOKENS, help="Tokens.")
@cache_type_option
@click.option(
    "--cache-type-k", type=click.Choice(CACHE_TYPES), help="Cache type of keys [--cache-type]."
)
@click.option(
    "--cache-type-v", type=click.Choice(CACHE_TYPES), help="Cache type of values [--cache-type]."
)
@click.option(
    "--flash-attention/--no-flash-attention",
    default=True,
    show_default=True,
    help="Whether the engine uses flash attention.",
)
@click.option("--swa-full", is_flag=True, help="Full-size cache for sliding-window layers.")
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU [all].")
@click.option(
    "--experts-in-memory",
    type=click.IntRange(min=0),
    default=0,
    metavar="LAYERS",
    help="Keep the experts of the first N layers in system memory.",
)
@click.option("--cache-in-memory", is_flag=True, help="Keep the KV cache in system memory.")
@split_option
@click.option(
    "--ubatch", type=_COUNT, default=512, show_default=True, help="Tokens computed in one step."
)
@click.option(
    "--parallel",
    type=_COUNT,
    default=1,
    show_default=True,
    help="Requests that are answered at the same time.",
)
@click.option(
    "--outputs", type=click.IntRange(min=0), help="Rows of logits per step; 0: all tokens."
)
@click.option("--image/--no-image", default=False, help="Include the image projector.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="FILE[=SCALE]",
    help="A LoRA adapter for the model (repeatable).",
)
@draft_options
@click.option("--memory", help="Assume a GPU of this size: 24GiB.")
@click.option("--ram", help="Assume this much system memory: 64GiB.")
@click.option("--machine", help=MACHINE_HELP)
@click.option("--gpus", type=click.IntRange(1, 16), help="GPUs per machine that share the model.")
@click.option("--nodes", type=click.IntRange(1, 64), help="Machines that share the model.")
@rpc_option
@click.option("--exact", is_flag=True, help="Ask the engine what it would allocate.")
@click.option(
    "--verify", is_flag=True, help="Load the model, and compare its memory with the plan."
)
@click.option("--plot", is_flag=True, help="Also draw memory against context.")
@answer_options("plan")
@click.option("-v", "--verbose", is_flag=True, help="Show how much was downloaded.")
def plan_command(
    reference: str,
    workers: tuple[str, ...],
    form: Form,
    verbose: bool,
    plot: bool,
    **options: Any,
) -> None:
    """Estimate a model's memory use, by component.

    The model is not loaded, and need not be on this machine.
    """
    from gemmahub.service import Library, PlanOptions

    library = Library(say=output.note, workers=workers)
    wanted = PlanOptions(**options)
    plan = library.plan(reference, wanted, on_progress=_show_progress)
    if plan.verification is not None:
        output.progress("")
    if verbose:
        from gemmahub.cli.models import say_moved

        say_moved(library, plan.variant.size_bytes)

    def show() -> None:
        _show(plan)
        if plot:
            _show_curve(library, plan, wanted)
        if plan.verification is not None:
            _show_verification(plan.verification)
        for note in plan.notes:
            output.note(f"note: {note}")

    form.answer(plan.as_json, show)


def _show_progress(fraction: float) -> None:
    output.progress(f"loading {fraction:.0%}" if fraction < 1 else "")


def _show(plan: Plan) -> None:
    memory, most = plan.memory, plan.largest_context
    basis = _asked(plan.dry) if plan.dry else f"by formula, checked with {memory.engine}"
    room = format_gib(abs(memory.headroom_bytes))
    fits = f"yes, {room} to spare" if memory.fits else f"NO, {room} short"
    output.facts(
        [
            ("model", f"{plan.variant.name} ({plan.variant.reference})"),
            ("precision", plan.variant.precision.summary),
            *_settings(plan),
            ("drafts", _drafts(plan)),
            ("total", format_gib(memory.total_bytes)),
            ("fits", fits),
            (_AT_MOST, f"{most:,} tokens with these settings" if most else "no context fits"),
            ("basis", basis),
        ]
    )
    for place in memory.places:
        output.data("")
        for line in place_lines(place, output.width()):
            output.data(*line)
    _show_contexts(plan)


def _show_curve(library: Library, plan: Plan, wanted: PlanOptions) -> None:
    from gemmahub.service.memory_curve import planned_curve

    curve, settings = planned_curve(library, plan, wanted), plan.memory.settings
    output.data("")
    output.data(
        f"{curve.device}: memory with {curve.contexts[0]:,} to {curve.contexts[-1]:,} tokens, one "
        f"line a cache type; ┄ {format_gib(curve.free_bytes)} free, ● this plan"
    )
    drawn = curve.plot(settings.cache_type_k, settings.context)
    for row in drawn.rows(min(_PLOT_CELLS, output.width()), _PLOT_ROWS):
        output.data("".join(text for text, _ in row).rstrip())


def _drafts(plan: Plan) -> str:
    if plan.drafter is None:
        return ""
    size = sum(place.drafter_bytes for place in plan.memory.places)
    return f"{one_line(plan.drafter.name, 80)} · {format_gib(size)}"


def _asked(dry: DryLoad) -> str:
    """The engine that was asked, and how it knows."""
    basis = one_line(dry.basis, 40)
    how = "" if basis == "dry load" else f", by {basis}"
    return f"from {one_line(dry.engine, 80)}{how}"


def _settings(plan: Plan) -> list[tuple[str, str]]:
    chosen = plan.memory.settings
    types = {chosen.cache_type_k, chosen.cache_type_v}
    cache = chosen.cache_type_k if len(types) == 1 else f"{chosen.cache_type_k} keys, "
    cache += "" if len(types) == 1 else f"{chosen.cache_type_v} values"
    window = ", full size for sliding windows" if chosen.full_swa_cache else ""
    flash = "on" if chosen.flash_attention else "off"
    return [
        ("context", f"{chosen.context:,} tokens"),
        ("cache", f"{cache}{window} · flash attention {flash}"),
        (
            "batch",
            f"ubatch {chosen.ubatch} · parallel {chosen.parallel} · "
            f"rows of logits {chosen.outputs_max or 'all'}",
        ),
        ("GPU layers", _layers(plan)),
        ("llama.cpp", " ".join(chosen.flags)),
    ]


def _layers(plan: Plan) -> str:
    layers = int(plan.variant.architecture.get("layers") or 0)
    left = plan.memory.settings.placement.in_words(layers) if layers else ""
    return f"{plan.memory.gpu_layers}{f' · {left} in system memory' if left else ''}"


def _show_contexts(plan: Plan) -> None:
    """Totals by context and cache type, and the largest context of each."""
    types = [name for name, _ in plan.largest_contexts]
    totals = {(total.context, total.cache_type): _total(total) for total in plan.contexts}
    contexts = list(dict.fromkeys(total.context for total in plan.contexts))
    rows = [[f"{context:,}", *(totals[context, name] for name in types)] for context in contexts]
    rows.append([_AT_MOST, *(f"{largest:,}" for _, largest in plan.largest_contexts)])
    columns = ["context", *types]
    basis = "from the engine" if plan.contexts_by_engine else "by formula"
    output.data(f"\ntotal in GiB, {basis}:")
    if sum(max(map(len, column)) + 3 for column in zip(columns, *rows, strict=True)) > (
        output.width()
    ):
        # One row for each cell: a narrow terminal would break numbers.
        columns, rows = ["cache", "context", "total"], _one_by_one(types, rows)
    output.table(columns, rows, right=columns)


def _total(found: ContextTotal) -> str:
    return f"{found.total_bytes / 2**30:.2f} {'ok' if found.fits else 'NO'}"


def _one_by_one(types: list[str], rows: list[list[str]]) -> list[list[str]]:
    return [[name, row[0], row[1 + at]] for at, name in enumerate(types) for row in rows]


def _show_verification(loaded: Verification) -> None:
    output.data("")
    output.facts(
        [
            ("loaded", f"{loaded.engine} on {loaded.device}"),
            ("answered", f"{loaded.prompt_tokens:,} tokens read, {loaded.tokens:,} written"),
        ]
    )
    output.data("")
    columns = ("part", "predicted", "actual", "difference")
    output.table(columns, [*_allocated(loaded), *_resident(loaded)], right=columns[1:])


def _allocated(loaded: Verification) -> list[tuple[str, ...]]:
    from gemmahub.memory import PART_NAMES

    if not loaded.parts:
        return []
    predicted = sum(row.predicted_bytes for row in loaded.parts)
    total = sum(row.actual_bytes for row in loaded.parts)
    most = f"<= {_mib(loaded.predicted_repack_bytes)}"
    return [
        *(
            _row(f"{row.device} {PART_NAMES[row.part]}", row.predicted_bytes, row.actual_bytes)
            for row in loaded.parts
        ),
        _row("total", predicted, total),
        ("repacked weights", most, _mib(loaded.repack_bytes), ""),
    ]


def _resident(loaded: Verification) -> list[tuple[str, ...]]:
    held = loaded.resident
    if held is None:
        return []
    mapped, other = loaded.predicted_mapped_bytes, loaded.predicted_anonymous_bytes
    rows = (
        ("resident, of files", mapped, held.file_bytes),
        ("resident, anonymous", other, held.anonymous_bytes),
        ("resident", mapped + other, held.total_bytes),
    )
    return [_row(name, predicted, size) for name, predicted, size in rows if size is not None]


def _row(name: str, predicted: int, actual: int) -> tuple[str, ...]:
    difference = f"{actual / predicted - 1:+.1%}" if predicted else ""
    return name, _mib(predicted), _mib(actual), difference


def _mib(count: int) -> str:
    return f"{count / 2**20:,.2f} MiB"
