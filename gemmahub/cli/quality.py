"""``gemmahub quality``: what the precision of a model costs, measured by a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.answers_side_by_side import show_answers
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.tasks_shown import show_tasks
from gemmahub.errors import Cancelled, UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.service.scoring import MeasuredModel, QualityReport, ScoringProgress

_COLUMNS = (
    "Model",
    "Precision",
    "Text",
    "Perplexity",
    "Divergence",
    "Median",
    "99 %",
    "Same top",
    "RMS change",
)


@click.command(name="quality")
@click.argument("references", nargs=-1, required=True)
@click.option(
    "--text",
    "texts",
    multiple=True,
    default=("prose",),
    show_default=True,
    help="prose, code, dialogue, non-latin, all, or a file (repeatable).",
)
@click.option("--reference", help="The variant to compare with [the best precision here].")
@click.option("--prompts", metavar="FILE", help="Compare greedy answers to these prompts.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Most tokens of an answer.",
)
@click.option(
    "--judge", metavar="none|REF", default="none", help="A model that judges the answers."
)
@click.option("--tasks", metavar="NAME,...", help="Run these lm-eval tasks on each model.")
@click.option("--task-folder", metavar="FOLDER", help="Your own task files for --tasks.")
@click.option("--limit", type=click.IntRange(min=1), help="Questions per task [all].")
@click.option("--chunks", type=click.IntRange(min=1), help="Windows per text [all].")
@click.option("--backend", help="The engine to use; otherwise the best one that scores.")
@answer_options("quality")
def quality_command(
    references: tuple[str, ...],
    texts: tuple[str, ...],
    reference: str | None,
    prompts: str | None,
    max_tokens: int,
    judge: str,
    tasks: str | None,
    task_folder: str | None,
    limit: int | None,
    chunks: int | None,
    backend: str | None,
    form: Form,
) -> None:
    """Measure what a model's precision costs.

    It measures perplexity, and the divergence from the model's best precision. Models are loaded
    one after another. The method is that of llama-perplexity: windows of 512 tokens, with the
    second half of each scored. Finished windows are saved: after Ctrl-C, run the same command to
    continue. Figures from different texts cannot be compared, and a text like your own work tells
    you most.

    With --prompts nothing is scored: each model answers the prompts, always choosing the most
    probable token, and its answers are compared with those of the first model. With --tasks,
    lm-eval asks each model questions with known answers, and its scores are saved.
    """
    if tasks is not None:
        show_tasks(references, tasks, task_folder, limit, form.of("quality --tasks"))
        return
    if prompts is not None:
        wanted = (prompts, max_tokens, None if judge == "none" else judge, backend)
        names = references if reference is None else (reference, *references)
        show_answers(names, wanted, form.of("quality --prompts"))
        return
    if judge != "none":
        raise UsageError("--judge needs answers to judge", "add prompts: --prompts FILE")
    from gemmahub.service import Library
    from gemmahub.service.scoring import QualityOptions, quality

    library = Library(say=output.note)
    seen: list[ScoringProgress] = []

    def tell(found: ScoringProgress) -> None:
        seen[:] = [found]
        output.progress(_progress_text(found))

    try:
        report = quality(
            library,
            references,
            QualityOptions(texts, reference, chunks, backend),
            on_progress=tell,
            on_loading=output.loading,
            on_stage=output.progress,
        )
    except KeyboardInterrupt:
        raise _stopped(seen) from None
    finally:
        output.progress("")
    form.answer(report.as_json, lambda: _print(report))


def _stopped(seen: list[ScoringProgress]) -> Cancelled:
    if not seen:
        return Cancelled("stopped before anything was scored", "run the same command again")
    (last,) = seen
    of = f" of {last.windows}" if last.windows else ""
    return Cancelled(
        f"stopped; {last.done}{of} windows of {last.text} with {one_line(last.model)} are saved",
        "run the same command to continue",
    )


def _progress_text(found: ScoringProgress) -> str:
    of = f" of {found.windows}" if found.windows else ""
    left = "" if found.seconds_left is None else f", {_time(found.seconds_left)} left"
    return f"{found.model}, {found.text}: {found.done}{of} windows{left}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{rest:02}"


def _precision(model: MeasuredModel) -> str:
    bits = model.bits_per_weight
    label = model.precision.partition(" · ")[0]
    return label if bits is None else f"{label}, {bits:.2f} bits/weight"


def _print(report: QualityReport) -> None:
    rows = []
    for result in report.results:
        perplexity, divergence = result.perplexity, result.divergence
        row = [
            result.model.reference,
            _precision(result.model),
            result.text.name,
            f"{perplexity.value:.4f} ± {perplexity.error:.4f}",
        ]
        if divergence is None:
            row += ["-"] * 5
        else:
            row += [
                f"{divergence.mean.value:.6f} ± {divergence.mean.error:.6f}",
                f"{divergence.median:.6f}",
                f"{divergence.percentile_99:.6f}",
                f"{divergence.same_top.value:.2%} ± {divergence.same_top.error:.2%}",
                f"{divergence.rms_change.value:.2%} ± {divergence.rms_change.error:.2%}",
            ]
        rows.append(row)
    output.table(_COLUMNS, rows, right=_COLUMNS[3:])
    told: dict[str, None] = {}
    for result in report.results:
        text, held = result.text, result.divergence
        told[
            f"text {text.name}: sha256 {text.sha256[:12]}, {text.chunks} windows of {text.window} "
            f"tokens, {text.tokens:,} of them scored"
        ] = None
        told[f"engine: {result.conditions.build}, on {result.conditions.machine}"] = None
        if held is not None:
            told[
                f"divergence in nats from {held.reference.reference}, "
                f"{_precision(held.reference)}: "
                f"{held.method}"
            ] = None
    for line in told:
        output.note(line)
