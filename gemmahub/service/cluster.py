"""The use case: one model on several GPUs or machines, by an engine that divides it itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Cluster
from gemmahub.errors import BackendMissing, UsageError
from gemmahub.hardware.records import REMOTE, Kind
from gemmahub.memory import DeviceMemory, MachineMemory
from gemmahub.python_environment import install_command
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.hardware.records import Device, Machine
    from gemmahub.memory import MemorySettings
    from gemmahub.planning import Plan
    from gemmahub.planning.header import Header
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation

CAPABILITY: Final = "cluster"
_ADDRESS: Final = re.compile(
    r"[a-z][a-z0-9+.-]{0,15}://[A-Za-z0-9][A-Za-z0-9._-]{0,252}:[0-9]{1,5}"
)
_MOST_GPUS, _MOST_NODES = 16, 64


@dataclass(frozen=True, slots=True)
class WantedCluster:
    """What a person asks for: GPUs in each machine, machines, and where the engine finds them.
    None and "" where nobody said it."""

    gpus: int | None = None
    nodes: int | None = None
    address: str = ""

    @property
    def is_asked(self) -> bool:
        """Whether one is asked for at all."""
        return self.gpus is not None or self.nodes is not None or bool(self.address)

    def check(self) -> None:
        """Raises: UsageError for an address that is none, and for counts beyond the limits."""
        if self.address and not _ADDRESS.fullmatch(self.address):
            raise UsageError(
                f"{one_line(self.address, 100)!r} is not a cluster address",
                "write --on ray://head:10001, as ray start --head printed it",
            )
        for count, most, option in (
            (self.gpus, _MOST_GPUS, "gpus"),
            (self.nodes, _MOST_NODES, "nodes"),
        ):
            if count is not None and not 1 <= count <= most:
                raise UsageError(f"--{option} {count} cannot be", f"from 1 to {most}")


def cluster_of(wanted: WantedCluster, machine: Machine) -> tuple[Cluster, MachineMemory]:
    """The GPUs of a machine, or machines, that are asked for: as many as there are where nobody
    said how many; and their memory, the engine's own machine first.

    Raises: UsageError where the machine has not so many, or machines with unequal counts.
    """
    wanted.check()
    hosts: dict[str, list[Device]] = {"": []}
    for device in machine.devices:
        if device.kind is Kind.DISCRETE and not device.unusable:
            hosts.setdefault(device.name if device.api == REMOTE else "", []).append(device)
    nodes = wanted.nodes or len(hosts)
    there = [len(devices) for devices in hosts.values()]
    gpus = wanted.gpus or min(there)
    if nodes > len(hosts) or min(sorted(there, reverse=True)[:nodes]) < gpus or not gpus:
        shown = " + ".join(str(count) for count in there)
        raise UsageError(
            f"{gpus or 1} GPUs in each of {nodes} machines were requested, but there are {shown}",
            f"describe others: --machine '{gpus or 1}x h100, {nodes} nodes'",
        )
    chosen = [(host, number, d) for host, devices in list(hosts.items())[:nodes]
              for number, d in enumerate(devices[:gpus])]  # fmt: skip
    memories = tuple(
        DeviceMemory(
            device.id if not host else f"{host.partition(':')[0]}/gpu:{number}",
            "cuda",
            device.capacity.value or 0,
            device.available.value or 0,
        )
        for host, number, device in chosen
    )
    usable, free = machine.memory.usable.value or 0, machine.memory.available.value or 0
    found = Cluster(gpus, nodes, wanted.address, tuple(m.capacity_bytes for m in memories))
    return found, MachineMemory(memories, usable or free, free)


def planning_offer(here: Installation, artifact: Artifact) -> BackendOffer:
    """A backend that plans for clusters; it need not work on this machine.

    Raises: BackendMissing.
    """
    needs = {CAPABILITY, "dry_load"}
    for offer in here.plugins_manager.backends():
        if needs <= offer.backend.capabilities and artifact.format in offer.backend.formats:
            return offer
    raise BackendMissing(
        f"no engine here splits {artifact.format} models between GPUs or machines",
        f"{install_command('gemmahub-vllm')} installs one for safetensors; GGUF files use "
        "several GPUs without --gpus, and other machines with --rpc",
    )


def cluster_plan(
    here: Installation,
    variant: Variant,
    settings: MemorySettings,
    wanted: WantedCluster,
    machine: Machine,
    header: Header,
) -> Plan:
    """What a variant takes on each GPU of a cluster, by the engine that would divide it.

    Raises: UsageError, BackendMissing; LoadFailed where the engine cannot divide it so.
    """
    from gemmahub.planning.devices import machine_remarks
    from gemmahub.planning.engine_plan import engine_plan

    cluster, memory = cluster_of(wanted, machine)
    offer = planning_offer(here, header.artifact)
    plan = engine_plan(variant, settings, memory, offer, header, cluster)
    shown = tuple(line for line in machine_remarks(machine) if not line.startswith(REMOTE))
    return replace(plan, remarks=(*shown, *plan.remarks))
