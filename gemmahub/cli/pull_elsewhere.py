"""``gemmahub pull`` of what a plugin's source has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.cli import output
from gemmahub.cli.pull_view import View, Watched, agree, disk_text, fit_text
from gemmahub.errors import ExitCode
from gemmahub.text import format_bytes
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.engines.sources import Pulled
    from gemmahub.service import Gemmahub
    from gemmahub.service.fetching import FetchPlan


def pull_elsewhere(hub: Gemmahub, plan: FetchPlan, options: dict[str, Any]) -> int:
    """Say what it is, then get it; the exit code."""
    if options["dry_run"] and options["as_json"]:
        output.json_data(plan.as_json())
        return ExitCode.DONE
    show(plan, aside=not options["dry_run"])
    if options["dry_run"]:
        return ExitCode.DONE
    pulled = fetch(hub, plan, yes=options["yes"], as_json=options["as_json"])
    return ExitCode.INTERRUPTED if pulled is None else ExitCode.DONE


def show(plan: FetchPlan, *, aside: bool = True) -> None:
    """What a plan would get, where it lands, and whether it fits."""
    variant = plan.variant
    size = format_bytes(plan.elsewhere.artifact.download_bytes)
    output.facts(
        [
            ("model", f"{variant.name} ({variant.reference})"),
            ("precision", variant.precision.summary),
            ("mismatch", variant.precision.mismatch or ""),
            ("training", f"{variant.precision.training.value}: {variant.precision.training.basis}"),
            ("from", variant.remote),
            ("size", f"{size}; {format_bytes(plan.fetch_bytes)} to fetch"),
            ("into", plan.landing.how),
            ("disk", disk_text(plan)),
            ("memory", fit_text(plan.fit)),
            ("licence", variant.licence),
            *(("note", note) for note in variant.notes),
        ],
        aside=aside,
    )


def fetch(hub: Gemmahub, plan: FetchPlan, *, yes: bool, as_json: bool = False) -> Pulled | None:
    """Get what a plan says, showing how far it is; None where somebody interrupted it.

    Raises: DoesNotFit for a disk that is too small, and for a model that will not fit in memory
    unless somebody says yes; what the source raises.
    """
    from gemmahub.service.fetching import check_disk

    check_disk(plan)
    agree(plan, plan.variant.reference, yes=yes)
    seen = Watched()
    try:
        with View() as view:
            pulled = hub.fetch(plan, seen.through(view.show))
    except KeyboardInterrupt:
        output.note(f"interrupted: {seen.kept}; the same command continues")
        return None
    if as_json:
        output.json_data(plan.as_json() | _done(pulled))
    else:
        output.note(f"{format_bytes(pulled.moved_bytes)} fetched")
        output.data(str(pulled.path or pulled.reference))
        output.note(f"run it: {_done(pulled)['command']}")
    return pulled


def _done(pulled: Pulled) -> dict[str, Any]:
    return {
        "path": str(pulled.path) if pulled.path else None,
        "fetched_bytes": pulled.moved_bytes,
        "command": command_line("run", pulled.reference),
    }
