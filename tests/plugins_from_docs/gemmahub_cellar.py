"""Everything but an engine: a store, a check, a command, a secret, a probe and a format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub import hookimpl
from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from gemmahub.engines.contract import CheckResult, Inventory, Store
    from gemmahub.formats.reader import FormatReader
    from gemmahub.formats.source import ByteSource
    from gemmahub.formats.tensor import Tensor
    from gemmahub.hardware.device_probe import DeviceProbe, Seen
    from gemmahub.hardware.records import Device, Machine

GEMMAHUB_CONTRACT = 2
MAGIC = b"CELLAR1\n"
SETTINGS = (
    Setting("folder", "where the bottles lie", env="CELLAR"),
    Setting("password", "what opens the door", secret=True),
)


def cellar() -> Path:
    return Path(settings_of("cellar", SETTINGS)["folder"] or "/no/cellar")


@hookimpl
def gemmahub_settings() -> tuple[Setting, ...]:
    return SETTINGS


@hookimpl
def gemmahub_stores() -> list[Store]:
    return [CellarStore()]


@hookimpl
def gemmahub_formats() -> list[FormatReader]:
    return [BottleReader()]


@hookimpl
def gemmahub_devices() -> list[DeviceProbe]:
    return [BarrelProbe()]


@hookimpl
def gemmahub_checks(machine: Machine) -> list[CheckResult]:
    from gemmahub.engines.contract import CheckResult

    if settings_of("cellar", SETTINGS)["password"] is None:
        hint = "gemmahub config set plugins.cellar.password"
        return [CheckResult("cellar door", "warning", "it is locked", hint)]
    free = machine.memory.available.value or 0
    return [CheckResult("cellar door", "ok", f"open, with room for {free} bytes")]


@hookimpl
def gemmahub_commands(cli: click.Group, library: Any) -> None:
    import click

    @cli.command(name="cellar")
    def cellar_command() -> None:
        """List what lies in the cellar, with its precision."""
        for variant in library.models().variants:
            if any(artifact.store == "cellar" for artifact in variant.artifacts):
                click.echo(f"{variant.reference}: {variant.precision.summary}")


class CellarStore:
    name = "cellar"

    def inventory(self) -> Inventory:
        from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory

        paths = sorted(cellar().glob("*.bottle"))
        full = [path for path in paths if path.stat().st_size]
        return Inventory(
            tuple(Artifact("bottle", path, (path,), path.stem, self.name) for path in full),
            tuple(BrokenEntry(p, self.name, "it is empty") for p in paths if p not in full),
        )


class BottleReader:
    """A bottle: the magic, the length of a JSON header in eight bytes, the header, the weights."""

    name = "bottle"
    suffixes = (".bottle",)

    def reads(self, path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC

    def tensors(self, source: ByteSource) -> Iterable[Tensor]:
        from gemmahub.errors import IntegrityError
        from gemmahub.formats.tensor import Tensor

        start = len(MAGIC) + 8
        length = int.from_bytes(source.read(len(MAGIC), 8), "little")
        try:
            entries = json.loads(source.read(start, min(length, 1 << 20)))
            found = [
                Tensor(e["name"], e["type"], (e["columns"], e["rows"]), e["rows"] * e["columns"],
                       e["bytes"])
                for e in entries
            ]  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"its header is damaged: {error}", "get the bottle again"
            ) from None
        if start + length + sum(tensor.bytes or 0 for tensor in found) > source.size:
            raise IntegrityError("it ends before its weights do", "get the bottle again")
        return found


class BarrelProbe:
    name = "barrel"

    def devices(self, seen: Seen) -> list[Device]:
        from gemmahub.hardware.records import Device, Figure, Kind

        size = cellar() / "barrel"
        if not size.exists():
            return []
        memory = Figure(int(size.read_text(encoding="ascii")), "the barrel")
        return [Device("barrel:0", "Oak barrel", "Cellar", Kind.DISCRETE, memory, free=memory)]
