"""The part of ``gemmahub quality`` that shows answers of several variants side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.cli import output
from gemmahub.text import format_rate, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.cli.forms import Form
    from gemmahub.service.scoring import VariantAnswers

_COLUMNS = ("Model", "Precision", "Same", "In common", "Tokens", "Tokens/s", "Judged better")


def show_answers(
    references: Sequence[str], wanted: tuple[str, int, str | None, str | None], form: Form
) -> None:
    """Print them. ``wanted`` are file, most tokens, judge and backend. Raises: GemmahubError."""
    from gemmahub.service import Library
    from gemmahub.service.scoring import AnswersOptions, answers

    def tell(model: str, done: int, every: int) -> None:
        output.progress(f"{model}: {done} of {every} prompts")

    try:
        found = answers(
            Library(say=output.note),
            references,
            AnswersOptions(*wanted),
            on_progress=tell,
            on_loading=output.loading,
            on_stage=output.progress,
        )
    finally:
        output.progress("")
    form.answer(lambda: {"answers": [each.as_json() for each in found]}, lambda: _show(found))


def _show(found: Sequence[VariantAnswers]) -> None:
    output.table(_COLUMNS, map(_row, found), right=_COLUMNS[2:])
    for each in found[1:]:
        for difference in each.differences:
            if difference.differs_at is None:
                continue
            output.data("")
            output.data(f"{one_line(each.reference)}: {one_line(difference.prompt, 200)}")
            output.data(f"  after {difference.differs_at:,} characters")
            output.data(f"  first  {one_line(difference.first)}")
            output.data(f"  this   {one_line(difference.other)}")


def _row(each: VariantAnswers) -> list[str]:
    rate = each.tokens_per_second
    row = [one_line(each.reference), each.precision.partition(" · ")[0]]
    if each.differences:
        row += [f"{each.same:.0%}", f"{each.common:.0%}"]
    else:
        row += ["-", "-"]
    judged = [difference.better for difference in each.differences if difference.better]
    row += [f"{each.mean_tokens:.1f}", "-" if rate is None else format_rate(rate)]
    better, worse = judged.count("other"), judged.count("first")
    row.append(f"{better} of {len(judged)}, {worse} worse" if judged else "-")
    return row
