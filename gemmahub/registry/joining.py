"""One row for one model: what is the same content, whatever it is called, has several places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.stores.identity import OTHER_MODEL, ContentSums, content_of, inode_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from gemmahub.registry.variants import Variant


def join_places(variants: Iterable[Variant], sums: ContentSums | None = None) -> list[Variant]:
    """Variants of one place each, joined where they are the same model.

    The same are those of one reference, those whose content is known to be the same, and names of
    one file (hard links, and links to one blob). A joined variant is described by its first place
    that the catalogue knows, else by its first; reads no weights.
    """
    sums = sums or ContentSums(None)
    groups: list[list[Variant] | None] = []
    of_key: dict[Hashable, int] = {}
    for variant in variants:
        keys = list(_keys(variant, sums))
        mine = {of_key[key] for key in keys if key in of_key}
        target = min(mine, default=len(groups))
        if target == len(groups):
            groups.append([])
        merged = [each for number in sorted(mine) for each in groups[number] or ()]
        groups[target] = [*merged, variant]
        for number in mine - {target}:
            groups[number] = None
        of_key |= {key: target for key, number in of_key.items() if number in mine - {target}}
        of_key |= dict.fromkeys(keys, target)
    return [_joined(group) for group in groups if group]


def _keys(variant: Variant, sums: ContentSums) -> Iterator[Hashable]:
    yield variant.reference
    for artifact in variant.artifacts:
        made_of = frozenset(part for part in artifact.parts if part[0] in OTHER_MODEL)
        if content := content_of(artifact, sums):
            # A store's record may be of a file that was damaged since: the length has to agree.
            yield content, variant.size_bytes, made_of
        if inode := inode_of(artifact):
            yield inode, made_of


def _joined(group: list[Variant]) -> Variant:
    first = next((variant for variant in group if variant.download), group[0])
    places = (artifact for variant in group for artifact in variant.artifacts)
    return replace(first, artifacts=tuple(dict.fromkeys(places)))
