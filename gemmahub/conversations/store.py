"""All kept conversations: list, search, rename, delete."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from gemmahub.conversations import lines
from gemmahub.conversations.journal import Journal, nobody_writes
from gemmahub.conversations.records import (
    BrokenConversation,
    ConversationSummary,
    Described,
    Saved,
    summary_of,
)
from gemmahub.conversations.searching import Match, SearchedText, SearchWords
from gemmahub.errors import GemmahubError, NotFound, UsageError
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "conversations"
SUFFIX: Final = ".jsonl"

_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,79}")
_NAMED: Final = 3
"""Conversations that a hint names."""


class ConversationStore:
    """A folder with a file for each conversation.

    JSON lines and not a database: a damaged file costs one conversation and not all, an append
    of one line needs no recovery after a kill, and a person can read, copy and delete the files.
    """

    def __init__(self, data: Path) -> None:
        """``data`` is the folder for what cannot be made again."""
        self.folder = data / FOLDER
        self._remembered: dict[Path, SearchedText] = {}

    def new(self, described: Described, title: str = "") -> Journal:
        """A conversation that has no file before its first message."""
        id_ = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        head: dict[str, Any] = {
            "kind": "head",
            "version": lines.VERSION,
            "created": time.time(),
            "title": title,
            **described.as_json(),
        }
        saved = lines.read(id_, lines.pack(head))
        return Journal(self._path(id_), id_, head, saved)

    def open(self, id_: str) -> Journal:
        """Go on with a conversation.

        Raises: NotFound; UsageError when it is open elsewhere; GemmahubError when it is broken.
        """
        saved = self.load(id_)
        return Journal(self._path(id_), id_, None, saved)

    def load(self, id_: str) -> Saved:
        """A conversation as it was kept; answers that were cut off count as interrupted.

        Raises: NotFound; GemmahubError when its file is broken.
        """
        path = self._path(id_)
        try:
            return self._read(path).saved
        except FileNotFoundError:
            raise NotFound(
                f"there is no conversation {one_line(id_)}", "it may have been deleted elsewhere"
            ) from None
        except (OSError, lines.Damaged) as error:
            newer = isinstance(error, lines.Newer)
            hint = "update gemmahub" if newer else "correct the file, or delete the conversation"
            raise GemmahubError(
                f"the conversation {id_} cannot be read: {_reason(error)}",
                f"its file is {path}, and it is left unchanged: {hint}",
            ) from None

    def find(self, name: str) -> str:
        """The id that ``name`` is, or that alone begins with it.

        Raises: NotFound with the nearest ones; UsageError when several begin so.
        """
        ids = [path.stem for path in self._paths()]
        found = [id_ for id_ in ids if id_ == name] or [id_ for id_ in ids if id_.startswith(name)]
        if len(found) == 1 and name:
            return found[0]
        near = (found if name else []) or nearest(name, ids)
        hint = f"did you mean {self._named(near)}?" if near else "gemmahub chats list shows them"
        shown = one_line(name, 60)
        if found and name:
            raise UsageError(f"{len(found):,} conversations begin with {shown!r}", hint)
        raise NotFound(f"there is no conversation {shown!r}", hint)

    def rows(self) -> list[ConversationSummary | BrokenConversation]:
        """All conversations, the last changed first; broken ones at the end."""
        good: list[ConversationSummary] = []
        broken: list[BrokenConversation] = []
        for path in self._paths():
            try:
                good.append(self._read(path).summary)
            except FileNotFoundError:
                continue  # deleted while we looked
            except (OSError, lines.Damaged) as error:
                broken.append(BrokenConversation(path.stem, path, _reason(error)))
        good.sort(key=lambda row: (row.changed, row.id), reverse=True)
        return [*good, *broken]

    def count(self) -> int:
        """How many there are; none is read. Raises: GemmahubError where nobody may look."""
        return len(self._paths())

    def search(self, text: str, newest: int | None = None) -> list[Match]:
        """Conversations in which every word stands, in a title or a message; case does not matter.
        A word that begins with ``#`` is looked for in the tags alone (model, precision, duel).

        Without words all of them. ``newest``: only among so many that changed last, which are there
        sooner: many conversations take a second to read for the first time.
        """
        wanted = SearchWords.of(text)
        found: list[Match] = []
        for path in self._paths() if newest is None else self._newest(newest):
            with contextlib.suppress(OSError, lines.Damaged):
                match = wanted.match(self._read(path))
                if match is not None:
                    found.append(match)
        found.sort(key=lambda match: (match.summary.changed, match.summary.id), reverse=True)
        return found

    def questions(self, limit: int = 500) -> list[str]:
        """What was asked in all conversations, the last ``limit`` of them, the oldest first."""
        asked: list[tuple[float, str]] = []
        for path in self._paths():
            with contextlib.suppress(OSError, lines.Damaged):
                saved = self._read(path).saved
                asked += [(m.at, m.text) for m in saved.messages if m.role == "user"]
        asked.sort(key=lambda pair: pair[0])
        found = [text for n, (_, text) in enumerate(asked) if n == 0 or asked[n - 1][1] != text]
        return found[-limit:]

    def rename(self, id_: str, title: str) -> None:
        """Give a conversation a title; an empty one stands for its first question.

        Raises: NotFound; UsageError when it is open elsewhere; GemmahubError.
        """
        with self.open(id_) as journal:
            journal.set(title=one_line(title))

    def delete(self, id_: str) -> None:
        """Remove a conversation, also a broken one.

        Raises: NotFound; UsageError when it is open elsewhere; GemmahubError.
        """
        path = self._path(id_)
        try:
            with nobody_writes(path):
                path.unlink()
        except FileNotFoundError:
            raise NotFound(f"there is no conversation {id_}", "nothing to delete") from None
        except OSError as error:
            raise GemmahubError(
                f"the conversation cannot be deleted: {_reason(error)}", f"its file is {path}"
            ) from None
        self._remembered.pop(path, None)

    def _named(self, ids: list[str]) -> str:
        """Ids with their titles, the newest ones of many."""
        shown = sorted(ids, reverse=True)[:_NAMED]
        titles = {row.id: row.title for row in self.rows() if isinstance(row, ConversationSummary)}
        return ", ".join(f"{id_} ({titles[id_]})" if id_ in titles else id_ for id_ in shown)

    def _path(self, id_: str) -> Path:
        """Raises: NotFound for what cannot be the name of a conversation, such as a path."""
        if not _ID.fullmatch(id_):
            raise NotFound(
                f"there is no conversation {one_line(id_, 60)!r}", "see gemmahub chats list"
            )
        return self.folder / f"{id_}{SUFFIX}"

    def _paths(self) -> list[Path]:
        try:
            found = [p for p in self.folder.iterdir() if p.suffix == SUFFIX]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise GemmahubError(
                f"cannot look into {self.folder}: {_reason(error)}", "check its permissions"
            ) from None
        return sorted(p for p in found if _ID.fullmatch(p.stem))

    def _newest(self, count: int) -> list[Path]:
        """The files that were written last."""
        written: list[tuple[int, Path]] = []
        for path in self._paths():
            with contextlib.suppress(OSError):  # deleted while we looked
                written.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(written, reverse=True)[:count]]

    def _read(self, path: Path) -> SearchedText:
        """What a file holds, remembered while it does not change. Raises: OSError, Damaged."""
        stat = path.stat()
        if not path.is_file():
            raise lines.Damaged("it is not a file")
        state = (stat.st_mtime_ns, stat.st_size)
        before = self._remembered.get(path)
        if before is not None and before.state == state:
            return before
        saved = lines.read_file(path)
        read = self._remembered[path] = SearchedText(state, saved, summary_of(saved))
        return read


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
