"""Members of the family that are no chat models of the catalogue: what they are, what runs them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from gemmahub.catalog.table import Entry, Grade

if TYPE_CHECKING:
    from collections.abc import Iterable

Words = tuple[Annotated[str, Meta(pattern=r"^[a-z0-9_-]+\Z")], ...]


class FamilyMember(Entry, frozen=True, kw_only=True):
    """A model for one purpose. ``what`` says it in words, ``runs`` which programs can run it.

    It is known by its ``architectures`` (of a GGUF file, or the ``model_type`` of a folder), else
    by ``names``, the beginnings of words in a name. ``licence`` and its address are those of the
    family where they are left out.
    """

    name: str
    title: str
    what: str
    runs: str
    architectures: Words = ()
    names: Words = ()
    licence: str
    licence_url: str
    gated: bool = False
    grade: Grade
    source: str

    @property
    def text(self) -> str:
        """What it is, in one line."""
        return f"{self.title}: {self.what}"

    def is_named_in(self, text: str) -> bool:
        """Whether a name has one of its own, at the beginning of a word."""
        # A number at its end is no number of weights: t5gemma-2 is not in t5gemma-2b.
        whole = r"(?:(?<![0-9])|(?![0-9]*b\b))"
        return any(re.search(rf"(?<![a-z0-9]){name}{whole}", text.lower()) for name in self.names)

    def as_json(self) -> dict[str, Any]:
        """The object ``member`` of ``gemmahub inspect --json``."""
        return {
            "name": self.name,
            "title": self.title,
            "what": self.what,
            "runs": self.runs,
            "licence": f"{self.licence} ({self.licence_url})",
            "gated": self.gated,
        }


def member_of(
    members: Iterable[FamilyMember], names: Iterable[str], architecture: str = ""
) -> FamilyMember | None:
    """The member that a model is by its architecture, else by one of its names."""
    known, texts = tuple(members), tuple(names)
    by_architecture = (each for each in known if architecture in each.architectures)
    by_name = (each for each in known if any(map(each.is_named_in, texts)))
    return next(by_architecture, None) or next(by_name, None)
