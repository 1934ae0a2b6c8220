"""What interrupted downloads left: each is removed after a question of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gemmahub.engines.contract import CheckResult, DownloadStore, ManagedStore
from gemmahub.service.disk import remove_unfinished
from gemmahub.service.repairs.repair import Repair
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.service.installation import Installation


def interrupted_downloads(here: Installation) -> list[Repair]:
    """A repair for each repository with an unfinished download; pulling continues it instead."""
    found: dict[str, int] = {}
    for store in here.stores:
        if isinstance(store, DownloadStore) and isinstance(store, ManagedStore):
            for left in store.unfinished():
                found[left.reference] = found.get(left.reference, 0) + left.bytes
    return [_repair(here, reference, size) for reference, size in found.items()]


def _repair(here: Installation, reference: str, size: int) -> Repair:
    shown, room = one_line(reference, 100), format_bytes(size)
    hint = f"{command_line('pull', shown)} continues it"
    what = f"{room} of {shown} were downloaded, and the rest was not"
    check = CheckResult("interrupted download", "warning", what, hint)
    text = f"remove {room} that were downloaded of {shown}"
    return Repair(check, text, partial(remove_unfinished, here, reference), asks=True)
