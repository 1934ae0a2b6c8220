"""What a person sees who has no model yet, or no network: what to do, and the key for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from gemmahub.text import format_bytes, one_line, plural

if TYPE_CHECKING:
    from gemmahub.service import Library
    from gemmahub.service.overview import ModelOverview, ModelRow


class Welcome(Static):
    """A few lines, there only while they are needed and this machine is looked at."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)
        self.display = False
        self._overview: ModelOverview | None = None
        self._offline = ""
        self._trouble = ""
        self._first_run = False

    def show_for(self, overview: ModelOverview, library: Library) -> None:
        """Decide from what is installed, and the network, whether a welcome is in place."""
        self._overview, self._offline = overview, library.why_offline
        self._first_run = not library.conversations.folder.is_dir()
        self._decide()

    def tell(self, trouble: str) -> None:
        """Why the hub could not be asked the last time, "" where it could."""
        self._trouble = trouble
        self._decide()

    def _decide(self) -> None:
        overview = self._overview
        if overview is None:
            return
        here = [row for row in overview.rows if row.installed]
        best = next((row for row in overview.rows if row.rank is not None), None)
        content, trouble = None, self._trouble or self._offline
        if here and (self._trouble or (trouble and self._first_run)):
            content = _without_network(trouble, here)
        elif not here and best is not None:
            content = _welcome(best, trouble)
        self.display = content is not None and not overview.machine.simulated
        if content is not None:
            self.update(content)


def best_installed(overview: ModelOverview | None) -> str:
    """The model that is here and suits this machine best, "" where none is here."""
    here = [row for row in overview.rows if row.installed] if overview else []
    return here[0].variant.reference if here else ""


def _welcome(row: ModelRow, trouble: str) -> Content:
    variant, speed = row.variant, row.speed
    assert row.recommendation is not None
    facts = [
        one_line(variant.precision.summary),
        f"{row.recommendation.plan.settings.context:,} tokens",
        f"about {speed.likely:.0f} tokens/s" if speed and speed.likely >= 1 else "",
        f"{format_bytes(variant.size_bytes)} to download" if variant.size_bytes else "",
    ]
    reference = (variant.reference, "bold $text-primary")
    if trouble:
        return Content.assemble(
            ("No model is here yet, and no network: ", "bold"),
            (f"{one_line(trouble, 200)}\n", "$text-warning"),
            "A GGUF file from elsewhere runs too: ",
            ("gemmahub run ./model.gguf", "$text-accent"),
            ". Once there is a network, the best for this machine is ",
            reference,
        )
    return Content.assemble(
        "No model is here yet. Best for this machine: ",
        reference,
        "\n",
        (" · ".join(filter(None, facts)), "$foreground-muted"),
        "  ",
        (" enter ", "bold $bar-text on $accent"),
        " downloads it and opens a chat",
    )


def _without_network(trouble: str, here: list[ModelRow]) -> Content:
    others = len(here) - 1
    more = f" and {plural(others, 'other')}" if others else ""
    return Content.assemble(
        ("No network: ", "bold"),
        (f"{one_line(trouble, 200)}\n", "$text-warning"),
        "What is here works without it: ",
        (here[0].variant.reference, "bold $text-primary"),
        f"{more}  ",
        (" enter ", "bold $bar-text on $accent"),
        " talks to it",
    )
