"""The use cases: what lies on the disks, and what can go or be shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.errors import NotFound, UsageError
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.contract import Artifact
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.stores.dedupe import DedupePlan
    from gemmahub.stores.linking import Deduped, Undone
    from gemmahub.stores.removal import RemovalPlan
    from gemmahub.stores.removal_steps import Removed
    from gemmahub.stores.usage import DiskUsage


@dataclass(frozen=True, slots=True)
class Removing:
    """A model and what removing it would do."""

    variant: Variant
    plan: RemovalPlan


def usage(here: Installation) -> DiskUsage:
    """What the models on this machine take, by store and by model, and what lies here twice."""
    from gemmahub.stores.usage import disk_usage

    return disk_usage(here.registry.installed().files, here.stores, here.sums)


def plan_removal(here: Installation, reference: str, stores: Sequence[str] = ()) -> Removing:
    """What removing a model would do; ``stores`` names those to remove it from.

    Raises: NotFound when the model is not here; UsageError for a store that does not exist;
    GemmahubError when a store cannot be read.
    """
    from gemmahub.stores.removal import plan_removal as planned

    _check_names(here, stores)
    variant = here.registry.resolve(reference)
    if variant.served is not None:
        server = variant.served.place or variant.served.backend
        raise NotFound(
            f"{variant.reference} is a model of the server {server}, and no file here",
            "remove it there",
        )
    if variant.artifacts and not any(artifact.store for artifact in variant.artifacts):
        variant = here.registry.at(variant.artifacts[0].path) or variant
    if not any(artifact.store for artifact in variant.artifacts):
        what = "is in no store" if variant.artifacts else "is not on this machine"
        raise NotFound(f"{variant.reference} {what}", "gemmahub list shows what is here")
    return Removing(variant, planned(variant.artifacts, here.stores, named=tuple(stores)))


def remove(here: Installation, removing: Removing) -> Removed:
    """Carry the plan out. What could not be removed is in the answer with its reason."""
    from gemmahub.stores.removal import remove as carried_out

    return carried_out(removing.plan, here.stores, data=here.config.data)


def finish_removals(here: Installation) -> Removed | None:
    """End what a crash cut off; None when nothing was."""
    from gemmahub.stores.removal import finish_removals as finished
    from gemmahub.stores.removal import unfinished_removals

    if not unfinished_removals(here.config.data):
        return None
    return finished(here.config.data, here.stores)


def plan_dedupe(
    here: Installation, *, reflink: bool = False, on_bytes: Callable[[int], None] | None = None
) -> DedupePlan:
    """Which files of the same content could share their place; ``on_bytes`` hears of the bytes
    that are read to compare them."""
    from gemmahub.stores.dedupe import plan_dedupe as planned

    return planned(_artifacts(here), here.stores, here.sums, reflink=reflink, on_bytes=on_bytes)


def dedupe(
    here: Installation, plan: DedupePlan, on_bytes: Callable[[int], None] | None = None
) -> Deduped:
    """Carry the plan out; the record that comes back can undo it.

    Raises: GemmahubError when the record cannot be written: nothing is changed then.
    """
    from gemmahub.stores.linking import dedupe as carried_out

    return carried_out(plan, data=here.config.data, on_bytes=on_bytes)


def undo_dedupe(here: Installation, on_bytes: Callable[[int], None] | None = None) -> Undone:
    """Give each file of the last sharing a place of its own again.

    Raises: NotFound when there is nothing to undo; DoesNotFit when the disk is too small.
    """
    from gemmahub.stores.linking import dedupe_records
    from gemmahub.stores.linking import undo_dedupe as undone

    records = dedupe_records(here.config.data)
    if not records:
        raise NotFound("nothing was shared here", "gemmahub dedupe --apply does")
    return undone(records[-1], on_bytes=on_bytes)


def _artifacts(here: Installation) -> list[Artifact]:
    return [a for variant in here.registry.installed().files for a in variant.artifacts]


def _check_names(here: Installation, names: Sequence[str]) -> None:
    known = [str(store.name) for store in here.stores]
    for name in names:
        if name not in known:
            near = nearest(name, known) or known
            raise UsageError(
                f"there is no store {one_line(name)!r}", f"stores here: {', '.join(near)}"
            )
