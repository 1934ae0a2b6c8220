"""What a report says in words, on a page and as text alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.measurements.records import QualityResult
from gemmahub.service.known_losses import text_in_words
from gemmahub.service.measured import estimate_text
from gemmahub.text import format_gib, format_rate, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.measurements.results import KeptResult
    from gemmahub.service.reporting import VariantReport

METHOD: Final = (
    "Precision is measured from the tensors of each file: bits per weight are the bytes of all "
    "tensors times 8, divided by the number of weights.",
    "Memory is planned by formulas that were checked against the engine's own figures; "
    "gemmahub plan --exact asks the engine itself.",
    "Perplexity says how well a model expects a text: lower is better. It depends on the text, "
    "the window and the build, so it is comparable only where all three are the same. It does not "
    "rank models that were trained differently: models after quantization-aware training (QAT) "
    "score better than their own 16-bit originals on wikitext (ikawrakow, ik_llama.cpp "
    "discussion 334, 2025).",
    "Divergence is the mean Kullback-Leibler divergence of the probabilities of all tokens from "
    "those of a reference, in nats: 0 means that nothing changed. The same top token is how often "
    "both would choose the same word.",
    "A speed is the median of several runs, with the slowest and the fastest of them. A figure "
    "after ± is a standard error.",
)


@dataclass(frozen=True, slots=True)
class PlotWords:
    """The words around a plot: ``caption`` below it, or what is ``missing``, and the ``command``
    that measures it."""

    title: str
    caption: str
    missing: str = ""
    command: str = ""


def title(report: VariantReport) -> str:
    """``Gemma 3 4B: 3 variants``."""
    shown = [one_line(side.variant.name) for side in report.comparison.sides]
    names = list({name.casefold(): name for name in reversed(shown)}.values())[::-1]
    count = len(report.comparison.sides)
    models = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return models if count == 1 else f"{models}: {count} variants"


def _free(report: VariantReport) -> str:
    return "" if report.free_bytes is None else f" Free now: {format_gib(report.free_bytes)}."


def plot_words(report: VariantReport) -> tuple[PlotWords, PlotWords, PlotWords]:
    """Those of precision against divergence, memory against context, speed against depth."""
    names = [one_line(side.variant.reference, 600) for side in report.comparison.sides]
    return (
        PlotWords(
            "Bits per weight against divergence",
            "Mean divergence from one reference with one text. Further down is nearer to the "
            "reference, further left is smaller. Bars are standard errors; the "
            "reference is an empty mark at 0.",
            "No divergence was measured. This measures it:",
            command_line("quality", *names),
        ),
        PlotWords(
            "Memory against context",
            "By formula, with the recommended layers on the accelerator. Lines are of a 16-bit "
            f"cache, dashed ones of an 8-bit cache.{_free(report)}",
            "The memory of these variants is unknown. The engine can report it:",
            command_line("plan", names[0], exact=True),
        ),
        PlotWords(
            "Speed against depth",
            "Measured on this machine: medians of answers, with the slowest and the fastest run.",
            "No speed was measured. This measures it:",
            command_line("bench", *names),
        ),
    )


def others_rows(results: tuple[KeptResult, ...]) -> list[tuple[str, str, str, str]]:
    """What other machines measured: origin, machine, what, result."""
    rows = []
    for kept in results:
        result = kept.result
        machine, name = one_line(result.conditions.machine, 200), one_line(result.model.name)
        label = one_line(result.model.label or result.model.precision)
        if isinstance(result, QualityResult):
            what = f"{name} {label}, {text_in_words(result)}"
            found = f"perplexity {estimate_text(result.perplexity)}"
            if result.divergence is not None:
                found += f", divergence {estimate_text(result.divergence.mean, 5)}"
        else:
            what = f"{name} {label}, {one_line(result.conditions.build)}"
            speeds = (
                f"{format_rate(depth.decode.median)} at {depth.depth:,}"
                for depth in result.depths
                if depth.decode is not None
            )
            found = ", ".join(speeds) or "no speed"
        rows.append((one_line(kept.origin), machine, what, found))
    return rows
