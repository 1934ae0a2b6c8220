"""The use case: finding models in sources, each file with its precision and whether it fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.errors import Cancelled, GemmahubError
from gemmahub.planning.fit import Fit
from gemmahub.registry.sources import guarded
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from gemmahub.catalog.members import FamilyMember
    from gemmahub.engines.sources import FoundFile, FoundRepository
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class FileRow:
    """A model in a repository. ``bits_per_weight`` is None where nothing but its name is known.

    ``missing`` is what the catalogue does not know of its own file, in words.
    """

    file: FoundFile
    bits_per_weight: float | None
    fit: Fit
    confirmed: bool = True
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    """A repository that was found, with the models in it; ``member`` is the model for one purpose
    that its name says."""

    repository: FoundRepository
    files: tuple[FileRow, ...]
    member: FamilyMember | None = None

    def as_json(self) -> dict[str, Any]:
        """An entry of ``gemmahub search --json``."""
        found = asdict(self.repository)
        found["files"] = [
            asdict(row.file)
            | {
                "bits_per_weight": row.bits_per_weight,
                "fit": row.fit.as_json(),
                "confirmed": row.confirmed,
                "missing": list(row.missing),
            }
            for row in self.files
        ]
        found["member"] = self.member.as_json() if self.member else None
        return found


def search(here: Installation, text: str, limit: int) -> list[RepositoryRow]:
    """What sources have for some words, the best of each first, as many of each as ``limit``.

    Precision and fit are those of the catalogue or of a header that was read before; for others the
    name says the label, and of the fit only a file that is larger than what is free is known.

    Raises: NetworkError where no source can be asked; one of several is said.
    """
    from gemmahub.catalog.members import member_of
    from gemmahub.planning import fits_of
    from gemmahub.planning.model import machine_of

    found, catalog = _found(here, text, limit), here.registry.catalog
    machine = here.as_used()
    try:
        place = machine_of(machine)
        free = place.host_free_bytes + sum(device.free_bytes for device in place.devices)
    except GemmahubError:
        free = None
    rows = []
    for repository in found:
        files = []
        for file in repository.files:
            variant = _known(here, file)
            if variant is None:
                files.append(FileRow(file, file.bits_per_weight, _by_size(file, free)))
                continue
            bits = file.bits_per_weight or variant.precision.bits_per_weight
            fit = fits_of([variant], catalog, machine)[0]
            entry = catalog.variant(*file.catalogued.partition(":")[::2])
            known = (entry.confirmed, entry.open) if entry else (True, ())
            files.append(FileRow(file, bits, fit, *known))
        member = member_of(catalog.members, [repository.name])
        rows.append(RepositoryRow(repository, tuple(files), member))
    return rows


def _found(here: Installation, text: str, limit: int) -> list[FoundRepository]:
    found: list[FoundRepository] = []
    failed: list[GemmahubError] = []
    searched = [source for source in here.sources.all if hasattr(source, "search")]
    for source in searched:
        try:
            with guarded(source):
                found += source.search(text, limit)
        except Cancelled:
            raise
        except GemmahubError as error:
            failed.append(error)
    if failed and len(failed) == len(searched):
        raise failed[0]
    for problem in failed:
        here.say(one_line(problem.message))
    return found


def _known(here: Installation, file: FoundFile) -> Variant | None:
    """The variant, where the catalogue has it or its header was read before."""
    from gemmahub.service.remote import find

    try:
        if file.catalogued:
            return here.registry.resolve(file.catalogued)
        if file.basis == "measured":
            return find(here, file.reference).described(here)
    except GemmahubError:  # it is explained when somebody asks for it
        pass
    return None


def _by_size(file: FoundFile, free: int | None) -> Fit:
    if free is not None and file.size_bytes is not None and file.size_bytes > free:
        short = file.size_bytes - free
        return Fit(
            False, short_bytes=short, reason=f"its files alone are {format_gib(short)} too large"
        )
    return Fit.unknown("its header was not read: run gemmahub inspect")
