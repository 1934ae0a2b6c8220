"""Fill the templates of ``packaging/`` with the hashes of built files and a real address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def fill(out: Path, address: str, to: Path) -> list[Path]:
    raise NotImplementedError
