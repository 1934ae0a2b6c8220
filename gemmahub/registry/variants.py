"""What the registry hands out: variants with their precision, and entries that are broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.formats.kinds import EMBEDDING, MODELS, TEXT, WHAT

if TYPE_CHECKING:
    from gemmahub.catalog.members import FamilyMember
    from gemmahub.catalog.replaced import Outdated
    from gemmahub.engines.contract import Artifact, BrokenEntry, ServedModel
    from gemmahub.formats.reader import ModelFile
    from gemmahub.precision.report import PrecisionReport


@dataclass(frozen=True, slots=True)
class Variant:
    """A model at one precision in one format. ``artifacts`` are the places where it is installed.

    ``parameters`` counts weights; ``size_bytes`` is what lies on disk, or will. ``memory`` is what
    the memory model needs, as :func:`gemmahub.memory.unpack` reads it, empty without a header.
    ``remote`` names the file on the hub from whose header the figures are. ``served`` is the model
    of a server, which has no files; its figures are 0 or None where the server does not say them.
    ``kind`` is one of :data:`gemmahub.formats.kinds.WHAT`, ``what`` says it in words. ``header`` is
    what engines are asked with, None where no file was read; ``problem`` says why none can load it,
    and ``remedy`` what to do. ``outdated`` is there for a file that its publisher replaced,
    ``member`` for a model of the family that is for one purpose. It is not ``confirmed`` where all
    that is known of it is what one public source says.
    """

    reference: str
    name: str
    format: str
    parameters: int
    size_bytes: int | None
    precision: PrecisionReport
    architecture: dict[str, Any]
    capabilities: tuple[str, ...]
    chat_template: bool | None
    artifacts: tuple[Artifact, ...] = ()
    download: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    memory: str = ""
    remote: str = ""
    served: ServedModel | None = None
    kind: str = TEXT
    what: str = WHAT[TEXT]
    header: ModelFile | None = None
    problem: str = ""
    remedy: str = ""
    outdated: Outdated | None = None
    member: FamilyMember | None = None
    confirmed: bool = True

    @property
    def runnable(self) -> bool:
        """Whether it can be run now: its files are here, or a server has it."""
        return bool(self.artifacts) or self.served is not None

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors of texts, and writes none."""
        return self.kind == EMBEDDING

    @property
    def is_model(self) -> bool:
        """Whether it is a model by itself, and nothing that belongs to one."""
        return self.kind in MODELS

    @property
    def places(self) -> tuple[str, ...]:
        """Where it is, in words: the stores with its files, or its server."""
        if self.served is not None:
            return (f"{self.served.backend} {self.served.place}".strip(),)
        return tuple(dict.fromkeys(artifact.store or "file" for artifact in self.artifacts))

    @property
    def installed_at(self) -> tuple[str, ...]:
        """Its paths, each with its store and, where a store has several names for it, those."""
        names: dict[str, list[str]] = {}
        for artifact in self.artifacts:
            place = f"{artifact.path} ({artifact.store or 'file'}"
            names.setdefault(place, []).append(artifact.reference)
        return tuple(
            f"{place})" if len(called) == 1 else f"{place}: {', '.join(called)})"
            for place, called in names.items()
        )

    def as_json(self) -> dict[str, Any]:
        """The contract's object of ``gemmahub inspect --json``."""
        return {
            "reference": self.reference,
            "name": self.name,
            "format": self.format,
            "kind": self.kind,
            "parameters": self.parameters,
            "size_bytes": self.size_bytes,
            "precision": self.precision.as_json(),
            "architecture": self.architecture,
            "capabilities": list(self.capabilities),
            "chat_template": self.chat_template,
            "installed": bool(self.artifacts),
            "confirmed": self.confirmed,
            "problem": self.problem or None,
            "member": self.member.as_json() if self.member else None,
            "outdated": self.outdated.as_json() if self.outdated else None,
            "places": [
                {
                    "path": str(a.path),
                    "store": a.store,
                    "bytes": self.size_bytes,
                    "last_used": a.last_used,
                }
                for a in self.artifacts
            ],
            "remote": self.remote or None,
            "served": None if self.served is None else asdict(self.served),
            "licence": self.licence or None,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Models:
    """What a listing shows: variants, what belongs to models and is none, and entries that should
    be models and are not."""

    variants: tuple[Variant, ...]
    broken: tuple[BrokenEntry, ...] = ()
    companions: tuple[Variant, ...] = ()

    @property
    def files(self) -> tuple[Variant, ...]:
        """All that has files here."""
        return (*self.variants, *self.companions)

    @property
    def outdated(self) -> tuple[tuple[Variant, Outdated], ...]:
        """The files here that their publisher replaced, each with what is to be said of it."""
        return tuple((each, each.outdated) for each in self.files if each.outdated)

    def older_than(self, reference: str) -> tuple[str, ...]:
        """Which files here the one of that name replaces, and what changed, in words."""
        return tuple(
            f"it replaces {each.artifacts[0].path}{why.of_date}: {why.wrong}"
            for each, why in self.outdated
            if why.pull == reference
        )

    def only_outdated(self) -> Models:
        """Of all these the files that their publisher replaced."""
        return Models(
            tuple(each for each in self.variants if each.outdated),
            companions=tuple(each for each in self.companions if each.outdated),
        )
