"""The images that go along with the next question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.widgets import Static

from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path


class AttachedImages(Static):
    """A line with their names; nothing while there are none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.paths: list[Path] = []

    def on_mount(self) -> None:
        """There are none yet."""
        self._show()

    def add(self, path: Path) -> None:
        """One more."""
        self.paths.append(path)
        self._show()

    def take(self) -> list[Path]:
        """All of them; the next question begins without."""
        taken, self.paths = self.paths, []
        self._show()
        return taken

    def _show(self) -> None:
        self.display = bool(self.paths)
        names = ", ".join(one_line(path.name) for path in self.paths)
        self.update(Content(f"with {names}"))
