"""Files that their publisher replaced under the same name, and how one that is here is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date as day
from typing import TYPE_CHECKING, Any, Protocol

from gemmahub.catalog.table import Commit, Entry, Grade, Positive, Sha256

if TYPE_CHECKING:
    from collections.abc import Iterable


def day_of(text: str) -> day:
    """Raises: ValueError."""
    try:
        return day.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date = {text!r} is not a date") from None


class ReplacedFile(Entry, frozen=True, kw_only=True):
    """A file that its publisher replaced; ``date`` is the day on which it was published, if known.

    ``wrong`` says what is wrong with it or what came in its place, ``aborts`` which engine cannot
    load it, and why. A ``sha256`` of one source beside ``bytes`` of several has the grade of these:
    a file has to have both.
    """

    date: str | None = None
    bytes: Positive | None = None
    sha256: Sha256 | None = None
    revision: Commit | None = None
    wrong: str
    aborts: str | None = None
    grade: Grade
    source: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bytes is None and self.sha256 is None:
            raise ValueError("either bytes or sha256 must be known")
        if self.date is not None:
            day_of(self.date)

    def is_of(self, size_bytes: int, sha256: str | None) -> bool:
        """Whether a file of that size, and of that content where it is known, can be this one."""
        if self.bytes is None:
            return sha256 is not None and sha256 == self.sha256
        return self.bytes == size_bytes and (None in (sha256, self.sha256) or sha256 == self.sha256)


@dataclass(frozen=True, slots=True)
class Outdated:
    """That a file, or a tag, is one that its publisher replaced, and the name of what to pull.

    ``date`` is empty where it is not known.
    """

    date: str
    wrong: str
    aborts: str
    pull: str
    confirmed: bool

    @property
    def of_date(self) -> str:
        """`` of 2026-06-05``, behind a name; "" where the day is not known."""
        return f" of {self.date}" if self.date else ""

    @property
    def text(self) -> str:
        """In one line, without what to pull."""
        doubt = "" if self.confirmed else " (unconfirmed: only one public source)"
        why = f"{self.wrong}; {self.aborts}" if self.aborts else self.wrong
        since = f", from {self.date}" if self.date else ""
        return f"replaced by its publisher{since}{doubt}: {why}"

    @property
    def remedy(self) -> str:
        """What to do, as a hint has it."""
        return f"gemmahub pull {self.pull} downloads the replacement"

    @property
    def advice(self) -> str:
        """In one line, with what to pull."""
        return f"{self.text}; {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """The object ``outdated`` of ``gemmahub inspect --json``."""
        return {
            "published": self.date or None,
            "reason": self.wrong,
            "aborts": self.aborts or None,
            "pull": self.pull,
            "confirmed": self.confirmed,
        }


class _Published(Protocol):
    """A file of the catalogue."""

    @property
    def file(self) -> str: ...
    @property
    def replaced(self) -> tuple[ReplacedFile, ...]: ...


class _Whole(_Published, Protocol):
    """A variant, with what belongs to it."""

    @property
    def reference(self) -> str: ...
    @property
    def projector(self) -> _Published | None: ...
    @property
    def drafter(self) -> _Published | None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    file: ReplacedFile
    pull: str


@dataclass(frozen=True, slots=True)
class Replacements:
    """All files of the catalogue that were replaced, by content and by name."""

    _sha256: dict[str, _Known] = field(default_factory=dict)
    _names: dict[str, list[_Known]] = field(default_factory=dict)

    @classmethod
    def of(cls, variants: Iterable[_Whole]) -> Replacements:
        """Those of variants, and of the projectors and heads that belong to them."""
        found = cls()
        for variant in variants:
            beside = [file for file in (variant.projector, variant.drafter) if file]
            files: list[_Published] = [variant, *beside]
            for file in files:
                for each in file.replaced:
                    known = _Known(each, variant.reference)
                    found._names.setdefault(file.file.rpartition("/")[2].lower(), []).append(known)
                    if each.sha256:
                        found._sha256.setdefault(each.sha256, known)
        return found

    def find(self, file: str, size_bytes: int, sha256: str | None) -> Outdated | None:
        """What is to be said of a file that was replaced; ``file`` is its name, without a folder,
        and counts where its content is not known."""
        named = self._names.get(file.lower(), [])
        by_content = self._sha256.get(sha256 or "")
        for known in (*([by_content] if by_content else []), *named):
            if known.file.is_of(size_bytes, sha256):
                one = known.file
                aborts = one.aborts or ""
                return Outdated(one.date or "", one.wrong, aborts, known.pull, one.grade != "C")
        return None
