"""What engines that are servers offer, and what they hold in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.engines.contract import BrokenEntry, LoadedModel, ServedModel
from gemmahub.engines.hooks import CALL_SECONDS, named_once, said
from gemmahub.engines.validation import check_loaded, check_served
from gemmahub.errors import BackendMissing

if TYPE_CHECKING:
    from gemmahub.engines.manager import PluginManager


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The models that servers offer, and why those of some could not be listed."""

    models: tuple[ServedModel, ...] = ()
    broken: tuple[BrokenEntry, ...] = ()


def served_models(manager: PluginManager) -> ServedModels:
    """All of them. A server that is not there now offers none."""
    models: list[tuple[str, str, ServedModel]] = []
    broken: list[BrokenEntry] = []

    def fail(backend: str, reason: str) -> None:
        broken.append(BrokenEntry(Path(backend), backend, f"its models: {reason}"))

    for offer, outcome in manager.ask_servers("served", CALL_SECONDS):
        name = offer.backend.name
        try:
            if outcome.error is not None:
                raise outcome.error
            found, faults, reasons = check_served(outcome.value, name)
        except BackendMissing:
            continue
        except BaseException as error:  # noqa: BLE001 - third-party code, becomes a row
            fail(name, said(error))
            continue
        models += [(name, model.reference, model) for model in found]
        broken += faults
        for reason in reasons:
            fail(name, reason)

    def refuse(backend: str, reference: str, first: str) -> None:
        fail(backend, f"{reference} is also offered by {first}, which is used")

    return ServedModels(tuple(model for _, model in named_once(models, refuse)), tuple(broken))


def models_in_memory(manager: PluginManager) -> tuple[list[LoadedModel], list[str]]:
    """What servers hold in memory, and why some could not be asked."""
    models: list[LoadedModel] = []
    remarks: list[str] = []
    for offer, outcome in manager.ask_servers("loaded"):
        name = offer.backend.name
        try:
            if outcome.error is not None:
                raise outcome.error
            models += check_loaded(outcome.value, name)
        except BaseException as error:  # noqa: BLE001 - third-party code, becomes a remark
            remarks.append(f"{name}: {said(error)}")
    return models, remarks
