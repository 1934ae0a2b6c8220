"""One table of a small SQLite file, read row by row: what does not fit costs its row, not the file.

What is kept here is a help and no more: a file that is locked, read-only or in a folder's place is
one without rows, and what cannot be written is not remembered.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from gemmahub.records.parsing import Unfit, as_kind, set_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Row = TypeVar("Row", bound=tuple[Any, ...])

LARGEST: Final = 256_000_000
"""Bytes of a file that is read; 100,000 remembered headers have about 100 MB."""
_STEPS: Final = 1_000_000
_MOST_STEPS: Final = 100
"""Millions of instructions of SQLite's machine while a file is open; a row takes about 20. A schema
can hold statements that never end, and this ends them."""
# What says that the file or its table is damaged. All else is a matter of the moment: locked,
# read-only, no space, no permission.
_DAMAGED: Final = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_INTERRUPT,
)


class SmallTable(Generic[Row]):
    """The rows of one table.

    ``columns`` are names with their SQL types, ``row`` the tuple that a row becomes. With ``keep``
    a damaged file is renamed to ``<name>.damaged`` when something is to be written, and removed
    without it.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        columns: Sequence[str],
        row: type[Row],
        *,
        key: str = "",
        keep: bool = False,
    ) -> None:
        self._path = path
        self._name = name
        self._names = tuple(column.split()[0] for column in columns)
        constraint = f", primary key ({key})" if key else ""
        self._create = f"create table if not exists {name} ({', '.join(columns)}{constraint})"
        self._row = row
        self._keep = keep

    def rows(self) -> list[Row]:
        """All rows that fit; none where the file is missing, damaged or locked."""
        found: list[Any] = []
        with contextlib.suppress(OSError, sqlite3.Error):
            if self._path.is_file() and self._path.stat().st_size <= LARGEST:
                with self._open(create=False) as database:
                    if self._is_ours(database):
                        found.extend(database.execute(self._select()))  # up to a spoiled page
        try:
            return as_kind(found, list[self._row])  # type: ignore[name-defined]
        except Unfit:  # one of them: each by itself
            return [row for values in found for row in self._fitting(values)]

    def _fitting(self, values: object) -> list[Row]:
        try:
            return [as_kind(values, self._row)]
        except Unfit:
            return []

    def write(self, changes: Iterable[tuple[str, Sequence[Any]]]) -> None:
        """Carries out statements, each with its values, together or not at all.

        A file or a table that is damaged is made again first.
        """
        with contextlib.suppress(OSError, sqlite3.Error, ValueError, OverflowError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._repair()
            with self._open(create=True) as database, database:
                database.execute(self._create)
                for statement, values in changes:
                    database.execute(statement, tuple(values))

    def _select(self) -> str:
        return f"select {', '.join(self._names)} from {self._name}"

    @contextlib.contextmanager
    def _open(self, *, create: bool) -> Iterator[sqlite3.Connection]:
        """Raises: OSError; sqlite3.Error."""
        if not create and not self._path.exists():
            raise FileNotFoundError(self._path)
        with contextlib.closing(sqlite3.connect(self._path, timeout=2.0)) as database:
            steps = iter(range(_MOST_STEPS))
            database.set_progress_handler(lambda: next(steps, None) is None, _STEPS)
            # A text that is no Unicode must not end the reading of the others.
            database.text_factory = lambda raw: raw.decode(errors="replace")
            yield database

    def _is_ours(self, database: sqlite3.Connection) -> bool:
        """Whether there is a real table of that name with our columns, and no computed ones."""
        kinds = database.execute("select type from sqlite_master where name = ?", (self._name,))
        if [kind for (kind,) in kinds] != ["table"]:
            return False
        columns = list(database.execute(f"pragma table_xinfo({self._name})"))
        return sorted(column[1] for column in columns) == sorted(self._names) and not any(
            column[6] for column in columns
        )

    def _repair(self) -> None:
        """Removes, or puts aside, what cannot be written to. Raises: OSError; sqlite3.Error."""
        try:
            if self._path.stat().st_size <= LARGEST and self._is_usable():
                return
        except FileNotFoundError:
            return
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
        if not self._path.is_file():
            raise IsADirectoryError(self._path)
        if not self._keep:
            self._path.unlink()
        elif set_aside(self._path) is None:
            raise PermissionError(self._path)
        for ending in ("-journal", "-wal", "-shm"):  # of the old file: they would damage the new
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def _is_usable(self) -> bool:
        """Whether the file can be written to, after its rows that do not fit were removed.

        Another table of that name is removed, unless the file is one to keep. Raises: OSError;
        sqlite3.Error.
        """
        with self._open(create=False) as database:
            kinds = list(
                database.execute("select type from sqlite_master where name = ?", (self._name,))
            )
            if self._is_ours(database):
                self._remove_unfit(database)
            elif kinds and self._keep:
                return False
            elif kinds:
                with database:
                    database.execute(f"drop {kinds[0][0]} {self._name}")
        return True

    def _remove_unfit(self, database: sqlite3.Connection) -> None:
        gone = []
        for rowid, *values in database.execute(self._select().replace(" ", " rowid, ", 1)):
            try:
                as_kind(tuple(values), self._row)
            except Unfit:
                gone.append((rowid,))
        if gone:
            with database:
                database.executemany(f"delete from {self._name} where rowid = ?", gone)
