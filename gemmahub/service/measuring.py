"""What every measurement writes down: which model, on which machine, loaded in which way."""

from __future__ import annotations

from dataclasses import fields
from pathlib import PurePath
from time import time
from typing import TYPE_CHECKING, Any

from gemmahub.measurements.records import Conditions, MeasuredModel
from gemmahub.measurements.results import as_file
from gemmahub.measurements.speed_log import place_of
from gemmahub.stores.identity import content_of, weight_files
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gemmahub.engines.contract import Settings
    from gemmahub.hardware.records import Machine
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.running import Running

__all__ = ["as_file", "conditions_of", "machine_text", "measured_model"]


def measured_model(
    here: Installation, variant: Variant, on_bytes: Callable[[int], None] | None = None
) -> MeasuredModel:
    """The record of a model that is measured. Its weights are read where no store knows their
    sha256; ``on_bytes`` gets the bytes as they are read.

    Raises: NotFound, IntegrityError.
    """
    report = variant.precision
    return MeasuredModel(
        reference=shared_reference(variant),
        name=one_line(variant.name),
        precision=one_line(report.summary),
        content=_content(here, variant, on_bytes),
        label=one_line(report.label or ""),
        training=report.training.value,
        bits_per_weight=report.bits_per_weight or None,
        size_bytes=variant.size_bytes or 0,
    )


def shared_reference(variant: Variant) -> str:
    """The reference; of a file or folder of one's own, or of a registry of one's own, only the
    last name: a result may be shared."""
    scheme, mark, rest = variant.reference.partition("://")
    if not mark or scheme == "file":
        return one_line(PurePath(variant.reference).name)
    first, _, _ = rest.partition("/")
    return one_line(
        f"{scheme}://{PurePath(rest).name}" if ":" in first and "/" in rest else variant.reference
    )


def _content(here: Installation, variant: Variant, on_bytes: Callable[[int], None] | None) -> str:
    if not variant.artifacts:
        return ""
    artifact = variant.artifacts[0]
    if found := content_of(artifact, here.sums):
        return found
    for file in weight_files(artifact):
        here.sums.compute(file, on_bytes)
    return content_of(artifact, here.sums) or ""


def conditions_of(
    here: Installation, running: Running, machine: Machine, doubts: Iterable[str] = ()
) -> Conditions:
    """Where and how a loaded model is measured."""
    info = running.session.info
    layers = running.variant.architecture.get("layers")
    return Conditions(
        machine=machine_text(machine),
        system=one_line(machine.system),
        engine=running.backend,
        build=one_line(info.engine),
        at=time(),
        place=place_of(info, layers),
        settings=_plain(info.settings),
        doubts=tuple(doubts),
    )


def machine_text(machine: Machine) -> str:
    """Processor, memory and accelerators in one line, and nothing that tells whose they are."""
    cores = machine.cpu.physical_cores.value
    total = machine.memory.usable.value
    parts = [
        machine.cpu.model or "unknown processor",
        "" if cores is None else f"{cores} cores",
        "" if total is None else f"{format_gib(total)} of memory",
        *(
            device.name
            if device.total.value is None
            else f"{device.name} {format_gib(device.total.value)}"
            for device in machine.devices
            if not device.unusable
        ),
    ]
    return one_line(", ".join(filter(None, parts)))


def _plain(settings: Settings) -> dict[str, Any]:
    """Settings that were given, as plain values: files by their names, workers by their number."""
    plain: dict[str, Any] = {
        entry.name: value
        for entry in fields(settings)
        if isinstance(value := getattr(settings, entry.name), bool | int | float | str)
    }
    plain |= {k: v for k, v in settings.options.items() if isinstance(v, bool | int | float)}
    if settings.drafter is not None:
        plain["drafter"] = one_line(settings.drafter.name)
    if settings.adapters:
        files = (f"{one_line(a.path.name)}={a.scale:g}" for a in settings.adapters)
        plain["adapters"] = ", ".join(files)
    if settings.tensor_split:
        plain["tensor_split"] = ", ".join(f"{share:g}" for share in settings.tensor_split)
    if settings.remote_workers:
        plain["remote_workers"] = len(settings.remote_workers)
    if settings.cluster is not None:
        plain |= {"gpus": settings.cluster.gpus, "nodes": settings.cluster.nodes}
    return plain
