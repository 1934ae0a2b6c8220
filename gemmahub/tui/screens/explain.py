"""Why a model ranks where it does: what each part of its score gave, and where that comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding
from textual.content import Content

from gemmahub.text import one_line
from gemmahub.text.command import command_line
from gemmahub.tui.bindings import named
from gemmahub.tui.columns import COLUMNS, bar
from gemmahub.tui.commands import copy_command
from gemmahub.tui.screens.front import FrontScreen
from gemmahub.tui.widgets.flowing import Flowing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.widget import Widget

    from gemmahub.recommend.explanation import ScorePart
    from gemmahub.service.overview import ModelRow

_LONG: Final = 1000
_BAR: Final = 10


class ExplainScreen(FrontScreen[None]):
    """The score of one row in words, and what the columns mean."""

    BINDINGS: ClassVar = named(
        "explain",
        Binding("e", "dismiss(None)", "Back", show=False),
        Binding("y", "copy", "Copy the command"),
    )
    BOX_TITLE = "Why it ranks there"

    def __init__(self, row: ModelRow, ranked: int, command: str) -> None:
        """``ranked`` rows have a rank; ``command`` says the same."""
        super().__init__()
        self._row = row
        self._ranked = ranked
        self.command = command

    def inside(self) -> Iterable[Widget]:
        """The parts, the columns, the command."""
        text = Flowing(classes="front--text")
        text.show(self._lines)
        yield text

    def _lines(self, width: int) -> Content:
        row = self._row
        lines = [Content.styled(one_line(row.variant.reference, _LONG), "bold $text-primary")]
        if row.parts and row.rank is not None:
            where = f"rank {row.rank:,} of {self._ranked:,} variants that run here"
            lines.append(Content(f"{where}, 1 is the best (the column #)"))
            if row.is_slow:
                lines.append(Content.styled("slow here: behind all fast ones", "$text-warning"))
            for part in row.parts:
                lines += [Content(""), *_part(part)]
            total = sum(part.points for part in row.parts)
            lines += [
                Content(""),
                Content.styled(f"score {total:.1f}, the sum of the points", "bold"),
            ]
        else:
            lines.append(Content("It has no rank."))
            lines += [Content(one_line(text, _LONG)) for text in _without_rank(row) if text]
        lines += [
            Content(""),
            *_columns(),
            Content(""),
            Content.styled(f"$ {self.command}", "$text-muted"),
        ]
        return Content("\n").join(lines)

    def action_copy(self) -> None:
        """The command to the clipboard."""
        copy_command(self, self.command)


def explain_command(
    row: ModelRow, rows: Sequence[ModelRow], use: str, elsewhere: dict[str, str]
) -> str:
    """The command that says the same of a row; ``rows`` are all there are."""
    same = [each for each in rows if each.model == row.model and each.rank is not None]
    before = sum(each.rank <= row.rank for each in same) if row.rank else 0  # type: ignore[operator]
    catalogued = row.variant.reference.startswith(f"{row.model}:")
    return command_line(
        "recommend",
        model=row.model if catalogued else None,
        installed=not catalogued,
        use=use,
        limit=before if before > 5 else None,
        explain=True,
        **elsewhere,
    )


def _part(part: ScorePart) -> list[Content]:
    level = "not known" if part.level is None else f"{part.level:.0%}"
    return [
        Content.assemble(
            (f"{part.name:<8}", "bold"),
            (f"{part.points_text:>6} ", "bold $text-accent"),
            (bar(part.level, _BAR), "$text-primary"),
            (f" {level}", "$text-muted"),
        ),
        Content(f"  {one_line(part.figure, _LONG)}"),
        Content.styled(f"  from: {one_line(part.source, _LONG)}", "$text-muted"),
    ]


def _without_rank(row: ModelRow) -> tuple[str, ...]:
    return row.fit.reason or row.obstacle, row.quality.as_text()


def _columns() -> list[Content]:
    heading = Content.styled("The columns", "bold $text-primary")
    rows = [
        Content.assemble((f"{column.label:<10}", "bold"), (column.help, "")) for column in COLUMNS
    ]
    return [heading, *rows]
