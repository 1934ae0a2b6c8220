"""The use cases: what lies on the disks, and what can go or be shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.config.kept_names import forget_names
from gemmahub.errors import NotFound, NotInstalled, UsageError
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
    """A model, by the name that was asked for, and what removing it would do. ``variant`` is None
    where interrupted downloads are all that is here of it."""

    variant: Variant | None
    plan: RemovalPlan
    reference: str


def usage(here: Installation) -> DiskUsage:
    """What the models on this machine take, by store and by model, and what lies here twice."""
    from gemmahub.stores.usage import disk_usage

    return disk_usage(here.registry.installed().files, here.stores, here.sums)


def plan_removal(here: Installation, reference: str, stores: Sequence[str] = ()) -> Removing:
    """What removing a model would do; ``stores`` names those to remove it from. A name that a store
    has for it (a tag, a path, a revision) removes what has that name there, and no other name of
    the same content; the name that ``list`` shows removes it from the other stores, too.

    Raises: NotFound when the model is not here; UsageError for a store that does not exist;
    GemmahubError when a store cannot be read.
    """
    from gemmahub.stores.removal import plan_removal as planned

    _check_names(here, stores)
    try:
        variant = here.registry.resolve(reference)
    except NotInstalled:
        left = _plan_unfinished(here, reference)
        if left is None:
            raise
        return left
    if variant.served is not None:
        server = variant.served.place or variant.served.backend
        raise NotFound(
            f"{variant.reference} is a model of the server {server}, not a file on this machine",
            "remove it there",
        )
    if variant.artifacts and not any(artifact.store for artifact in variant.artifacts):
        variant = here.registry.at(variant.artifacts[0].path) or variant
    if not variant.artifacts and (left := _plan_unfinished(here, reference, variant)) is not None:
        return left
    if not any(artifact.store for artifact in variant.artifacts):
        what = "is in no store" if variant.artifacts else "is not on this machine"
        raise NotFound(f"{variant.reference} {what}", "gemmahub list shows the installed models")
    places = [place for place in here.registry.places_named(reference, variant) if place.store]
    named = (places[0].reference or reference) if places else variant.reference
    if not places:
        places = list(variant.artifacts)
    elif named == variant.reference:  # which is what `list` calls the model: its other stores, too
        stores_named = {place.store for place in places}
        places += [place for place in variant.artifacts if place.store not in stores_named]
    return Removing(variant, planned(places, here.stores, named=tuple(stores)), named)


def remove(here: Installation, removing: Removing) -> Removed:
    """Carry the plan out. What could not be removed is in the answer with its reason."""
    from gemmahub.stores.removal import remove as carried_out

    removed = carried_out(removing.plan, here.stores, data=here.config.data)
    forget_names(here.config.cache)
    return removed


def remove_unfinished(here: Installation, reference: str) -> Removed | None:
    """Remove what interrupted downloads left of a repository; None where that is nothing by now.

    Raises: GemmahubError.
    """
    from gemmahub.stores.removal import plan_unfinished

    plan = plan_unfinished(reference, here.stores)
    return None if plan is None else remove(here, Removing(None, plan, reference))


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


def _plan_unfinished(
    here: Installation, reference: str, known: Variant | None = None
) -> Removing | None:
    """What interrupted downloads left of the repository that is named, or that the catalogue knows
    for it; None where that is nothing."""
    from gemmahub.registry.reference import parse_reference
    from gemmahub.stores.removal import plan_unfinished

    names = [str(parse_reference(here.registry.model_in(reference)))]
    model, _, variant = known.reference.partition(":") if known else ("", "", "")
    if (published := here.registry.catalog.variant(model, variant)) is not None:
        names.append(f"hf://{published.repository}")
    for name in names:
        if (plan := plan_unfinished(name, here.stores)) is not None:
            return Removing(None, plan, name)
    return None


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
