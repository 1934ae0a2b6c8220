"""One model that several GPUs or machines serve together, by an engine that divides it itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Cluster
from gemmahub.errors import BackendMissing, NotInstalled, UsageError
from gemmahub.memory import DeviceMemory, MachineMemory
from gemmahub.planning.dry_load import settings_for
from gemmahub.planning.engine_plan import engine_plan
from gemmahub.planning.header import Header
from gemmahub.service.cluster import CAPABILITY, cluster_of
from gemmahub.service.serving.choosing import (
    Offered,
    PlannedModels,
    does_not_fit,
    template_of,
)
from gemmahub.service.serving.room import LEAST_CONTEXT, contexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Settings
    from gemmahub.hardware.records import Machine
    from gemmahub.memory import MemoryPlan
    from gemmahub.service.cluster import WantedCluster
    from gemmahub.service.installation import Installation
    from gemmahub.service.serving.room import Wish

_UNKNOWN = 1 << 50
"""Bytes that stand for memory of which nobody said how much it is: nothing is refused then."""


@dataclass(frozen=True, slots=True)
class FixedSize:
    """What a model takes that its engine planned: the same in any room."""

    planned: MemoryPlan

    def plan(self, context: int, wish: Wish, room: MachineMemory) -> MemoryPlan:
        """The plan that was made."""
        return self.planned

    def again(self, plan: MemoryPlan, room: MachineMemory) -> MemoryPlan:
        """The same."""
        return plan


def cluster_models(
    here: Installation,
    references: Sequence[str],
    wish: Wish,
    wanted: WantedCluster,
    machine: Machine,
) -> PlannedModels:
    """The one model that is served, with the plan of its engine.

    Raises: UsageError, NotInstalled, BackendMissing; DoesNotFit; LoadFailed where the engine cannot
    divide it so.
    """
    wanted.check()
    if len(references) != 1:
        raise UsageError(
            "with several GPUs or machines, only one model can be served",
            "serve exactly that model",
        )
    variant = here.chosen(references[0])[0]
    if variant.served is not None or not variant.runnable:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} downloads it; each machine needs it in "
            "the same folder",
            variant.reference,
        )
    artifact = replace(variant.artifacts[0], name=variant.reference)
    offer = here.choose(artifact, needs=CAPABILITY, header=variant.header).offer
    if "serve" not in offer.backend.capabilities:
        raise BackendMissing(f"{offer.backend.name} cannot serve models", "use another engine")
    cluster, memory = _cluster(here, wanted, machine)
    trained = variant.architecture.get("context_length") or LEAST_CONTEXT
    header = Header(artifact)
    for context in contexts(wish):
        settings = wish.settings(min(context, trained))
        plan = engine_plan(variant, settings, memory, offer, header, cluster)
        if plan.memory.fits:
            break
    else:
        raise does_not_fit(variant.reference, plan.memory)
    for remark in plan.remarks:
        here.say(remark)
    found = Offered(
        tuple(dict.fromkeys((variant.reference, references[0]))),
        variant,
        artifact,
        offer,
        FixedSize(plan.memory),
        template_of(artifact),
        cluster=cluster,
    )
    return PlannedModels((found,), {found.name: plan.memory}, wish, memory, fit_together=True)


def cluster_settings(plan: MemoryPlan, offered: Offered) -> Settings:
    """What the engine is told: what was planned, without the memory that the plan was for."""
    cluster = offered.cluster or Cluster()
    found = settings_for(plan.settings, None, offered.offer)
    return replace(found, cluster=replace(cluster, memory=()))


def _cluster(
    here: Installation, wanted: WantedCluster, machine: Machine
) -> tuple[Cluster, MachineMemory]:
    """The GPUs: those of the hosts of the settings where the engine finds machines by an address,
    else of this machine; unknown ones where no hosts are named."""
    if not wanted.address and (wanted.nodes or 1) == 1:
        return cluster_of(wanted, machine)
    if not wanted.address:
        raise UsageError(
            f"{wanted.nodes} machines need a Ray cluster",
            "start Ray on them, and give its address: --on ray://head:10001",
        )
    if here.config.hosts:
        from gemmahub.hardware.described import ALL_HOSTS, described_machine

        return cluster_of(wanted, described_machine(ALL_HOSTS, here.config.hosts))
    here.say(
        "the memory of these machines is unknown, so nothing is checked: describe them in the "
        "setting machines.hosts"
    )
    found = Cluster(wanted.gpus or 1, wanted.nodes or 1, wanted.address)
    count = found.gpus * found.nodes
    places = tuple(DeviceMemory(f"gpu:{n}", "cuda", _UNKNOWN, _UNKNOWN) for n in range(count))
    return found, MachineMemory(places, _UNKNOWN, _UNKNOWN)
