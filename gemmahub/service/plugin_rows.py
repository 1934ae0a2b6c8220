"""The use case: which plugins there are, and what does not work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import Artifact
from gemmahub.engines.servers import served_models
from gemmahub.errors import BackendMissing, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from gemmahub.engines.contract import Availability, CheckResult
    from gemmahub.engines.hooks import PluginRecord
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.hardware.records import Machine
    from gemmahub.service.installation import Installation
    from gemmahub.testing.scaffold import NewPlugin


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend as it is shown, and whether its engine can be used here."""

    name: str
    formats: tuple[str, ...]
    capabilities: tuple[str, ...]
    automatic: bool
    available: bool
    version: str
    reason: str
    hint: str

    def as_json(self) -> dict[str, Any]:
        """The backend as ``gemmahub plugins --json`` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ChosenRow:
    """Which backend runs a format when none is named, and why; ``backend`` None: none can."""

    format: str
    backend: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as it is shown: ``remarks`` say what does not work and how to mend it."""

    name: str
    distribution: str
    version: str
    state: str
    offers: tuple[str, ...]
    remarks: tuple[str, ...]
    backends: tuple[BackendRow, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The row as ``gemmahub plugins --json`` prints it."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "offers": list(self.offers),
            "remarks": list(self.remarks),
            "backends": [backend.as_json() for backend in self.backends],
        }


def rows(here: Installation, taken: Collection[str] = ()) -> list[PluginRow]:
    """All plugins that were found, with the state of the backends they offer; ``taken`` are the
    names of commands that no plugin can have."""
    manager = here.plugins_manager
    ask_everything(here, here.hardware(), taken)
    backends: dict[str, list[BackendRow]] = {}
    for offer, row in zip(manager.backends(), backend_rows(here), strict=True):
        backends.setdefault(offer.plugin, []).append(row)
    return [_row(record, tuple(backends.get(record.name, ()))) for record in manager.records]


def ask_everything(
    here: Installation, machine: Machine, taken: Collection[str]
) -> list[CheckResult]:
    """Ask plugins all that they can be asked, so that what does not work is in their records.

    ``taken`` are the names of commands that no plugin can have. Returns the checks for doctor.
    """
    manager = here.plugins_manager
    manager.availabilities(manager.backends())
    served_models(manager)
    manager.inventories()
    manager.sources()
    manager.settings()
    manager.commands(taken, here)
    _ = here.readers, here.probes
    return manager.checks(machine)


def backend_rows(here: Installation) -> list[BackendRow]:
    """The backends of all plugins, and whether their engines can be used here."""
    manager = here.plugins_manager
    offers = manager.backends()
    return [_backend_row(o, a) for o, a in zip(offers, manager.availabilities(offers), strict=True)]


def chosen(here: Installation) -> list[ChosenRow]:
    """For each format that an installed backend runs, the backend that ``run`` takes."""
    formats = {f for offer in here.plugins_manager.backends() for f in offer.backend.formats}
    found = []
    for format_ in sorted(formats):
        try:
            choice = here.choose(Artifact(format_, Path()))
            found.append(ChosenRow(format_, choice.offer.backend.name, choice.reason))
        except (BackendMissing, UsageError) as error:
            found.append(ChosenRow(format_, None, error.message))
    return found


def write_new(here: Installation, name: str, folder: Path, kind: str = "backend") -> NewPlugin:
    """Write the beginning of a plugin of a kind: :data:`gemmahub.testing.scaffold.KINDS`.

    Raises: UsageError for a name that cannot be one or is taken, and for a folder that exists.
    """
    from gemmahub import __version__
    from gemmahub.testing.scaffold import new_plugin

    manager = here.plugins_manager
    taken = {offer.backend.name for offer in manager.backends()}
    taken |= {part for record in manager.records for part in (record.name, record.distribution)}
    plugin = new_plugin(name, folder, taken=taken, version=__version__, kind=kind)
    plugin.write()
    return plugin


def _backend_row(offer: BackendOffer, answer: Availability) -> BackendRow:
    backend = offer.backend
    return BackendRow(
        backend.name,
        tuple(backend.formats),
        tuple(sorted(backend.capabilities)),
        backend.automatic,
        answer.ok,
        answer.version,
        answer.reason,
        answer.hint,
    )


def _row(record: PluginRecord, backends: tuple[BackendRow, ...]) -> PluginRow:
    offers = [f"backend {b.name} ({', '.join(b.formats) or 'its own models'})" for b in backends]
    hooks = [h.removeprefix("gemmahub_") for h in record.offers if h != "gemmahub_backends"]
    remarks = [part for part in (record.reason, record.hint) if part]
    for b in backends:
        remarks.append(
            f"{b.name} {b.version}" if b.available else f"{b.name}: {b.reason}; {b.hint}"
        )
    return PluginRow(
        record.name,
        record.distribution,
        record.version,
        record.state,
        (*offers, *hooks),
        tuple(remarks),
        backends,
    )
