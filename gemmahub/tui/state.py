"""What the UI remembers from one start to the next: theme, sorting, filter, what is shown.

It is in ``tui.json`` of the data folder. A value that does not fit has its default, and the file as
it was is kept as ``tui.json.damaged``; one of a later version is never written to.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from gemmahub.records.parsing import (
    Unfit,
    as_far_as_it_fits,
    is_plain,
    json_value,
    read_bounded,
    set_aside,
)
from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME: Final = "tui.json"
LARGEST: Final = 1_000_000
"""Bytes of the file that are read; one with all values has a few hundred."""
LONGEST_TEXT: Final = 10_000
"""Characters of a remembered text."""
VERSION: Final = 1
"""Of the file; it is not written as long as it is 1."""


@dataclass(frozen=True, slots=True)
class UiState:
    """The values that survive, with what a first start has."""

    theme: str = ""
    show: str = "all"
    sort: str = "where"
    reverse: bool = False
    folded: bool = True
    filter: str = ""
    use: str = "chat"


class State:
    """The remembered values of one user; ``folder`` None remembers nothing beyond this run.

    ``problem`` says in a sentence why the file could not be read as it is; "" if it could.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE_NAME if folder is not None else None
        self._others: dict[str, Any] = {}
        self.problem = ""
        self.values = UiState()
        if self._path is not None:
            self._read(self._path)

    def remember(self, **changes: Any) -> None:
        """Change values and write them down, if there is a place for it."""
        values = replace(self.values, **changes)
        if values == self.values:
            return
        self.values = values
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        changed = {
            f.name: getattr(self.values, f.name)
            for f in fields(UiState)
            if getattr(self.values, f.name) != f.default
        }
        with contextlib.suppress(OSError):
            write_whole(self._path, json.dumps(self._others | changed, indent=2) + "\n")

    def _read(self, path: Path) -> None:
        try:
            found = json_value(read_bounded(path, LARGEST))
            if not isinstance(found, dict) or not is_plain(found):
                raise Unfit("it is not a table of plain values")
        except FileNotFoundError:
            return
        except (OSError, Unfit) as error:
            self._keep_aside(path, getattr(error, "strerror", None) or str(error))
            return
        if type(version := found.pop("version", VERSION)) is int and version > VERSION:
            self._path = None
            self.problem = f"{path} was written by a newer gemmahub: it is not used, nor changed"
            return
        record, unfit = as_far_as_it_fits(found, _fields())
        self.values = UiState(**{f.name: getattr(record, f.name) for f in fields(UiState)})
        known = asdict(self.values)
        self._others = {name: value for name, value in found.items() if name not in known}
        if unfit and self._keep_aside(path, unfit[0]):
            self._write()  # what does fit stays remembered

    def _keep_aside(self, path: Path, reason: str) -> bool:
        """Whether the damaged file has another name now; else nothing is ever written over it."""
        kept = set_aside(path)
        if kept is None:
            self._path = None
            self.problem = f"{path} is damaged ({reason}); it is left unchanged"
            return False
        self.problem = f"{path} was damaged ({reason}); it is kept as {kept.name}"
        return True


def _fields() -> Any:
    """The values as msgspec checks them: of the kind of their default, and one of the choices."""
    import msgspec

    from gemmahub.recommend.goals import USES
    from gemmahub.tui.sort_filter import SHOWN, SORTS

    text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
    kinds: dict[str, Any] = {
        "theme": text,
        "show": Literal[SHOWN],
        "sort": Literal[SORTS],
        "filter": text,
        "use": Literal[USES],
    }
    return msgspec.defstruct(
        "RememberedFields",
        [(f.name, kinds.get(f.name, type(f.default)), f.default) for f in fields(UiState)],
    )
