"""``gemmahub du``, ``gemmahub rm`` and ``gemmahub dedupe``: what lies on the disks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.errors import ExitCode, GemmahubError, UsageError
from gemmahub.text import format_bytes, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gemmahub.engines.contract import Kept
    from gemmahub.service.disk import Removing
    from gemmahub.stores.dedupe import DedupePlan
    from gemmahub.stores.usage import DiskUsage


@click.command(name="du")
@answer_options("du")
def du_command(form: Form) -> None:
    """Show disk usage by model, with duplicates."""
    from gemmahub.service import Library, disk

    library = Library()
    _finish(library)
    usage = disk.usage(library)
    form.answer(usage.as_json, lambda: _show_usage(usage))


def _show_usage(usage: DiskUsage) -> None:
    output.table(
        ("store", "models", "size", "other", "at"),
        [
            (
                row.store or "files",
                str(row.models),
                format_bytes(row.model_bytes),
                format_bytes(row.other_bytes) if row.other_bytes else "",
                str(row.root or ""),
            )
            for row in usage.stores
        ],
        right=("models", "size", "other"),
    )
    output.data("")
    if usage.models:
        largest = sorted(usage.models, key=lambda row: -row.disk_bytes)
        output.table(
            ("model", "size", "on disk", "in"),
            [
                (
                    row.reference,
                    format_bytes(row.size_bytes),
                    format_bytes(row.disk_bytes),
                    ", ".join(dict.fromkeys(store or "file" for store, _ in row.places)),
                )
                for row in largest
            ],
            right=("size", "on disk"),
        )
    output.data(f"{format_bytes(usage.disk_bytes)} total")
    for left in usage.unfinished:
        output.note(
            f"unfinished: {format_bytes(left.bytes)} of {left.reference}: gemmahub pull "
            "continues it, gemmahub rm removes it"
        )
    extra = sum(duplicate.linkable_bytes for duplicate in usage.duplicates)
    for duplicate in usage.duplicates:
        paths = ", ".join(map(str, duplicate.paths))
        output.note(f"duplicate: {format_bytes(duplicate.extra_bytes)} could be freed: {paths}")
    if extra:
        output.note(f"gemmahub dedupe would free {format_bytes(extra)}")
    if usage.unknown:
        files = plural(len(usage.unknown), "file")
        output.note(f"{files} of the same size were not compared; gemmahub dedupe reads them")


@click.command(name="rm")
@click.argument("reference")
@click.option("--store", "stores", multiple=True, help="Only from this store.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rm_command(
    reference: str, stores: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Remove a model from this machine.

    It first shows what would be removed, and asks. Models that belong to another tool (Ollama,
    LM Studio) are removed only with --store.
    """
    from gemmahub.service import Library, disk

    library = Library()
    _finish(library)
    removing = disk.plan_removal(library, reference, stores)
    if not as_json:
        _show_removal(removing)
    elif dry_run:
        output.json_data(removing.plan.as_json())
    if not removing.plan.stores:
        raise GemmahubError(
            f"nothing of {removing.reference} can be removed",
            next((kept.reason for kept in removing.plan.refused), "gemmahub list shows its places"),
        )
    if dry_run:
        return ExitCode.DONE
    if not _agreed(f"Remove {removing.reference}?", yes=yes):
        output.note("nothing was removed")
        return ExitCode.FAILED
    removed = disk.remove(library, removing)
    if as_json:
        output.json_data(removed.as_json())
    else:
        output.data(f"freed {format_bytes(removed.freed_bytes)}")
        _show_kept("not removed", removed.failed)
    return ExitCode.FAILED if removed.failed else ExitCode.DONE


def _show_removal(removing: Removing) -> None:
    plan = removing.plan
    what = removing.variant.precision.summary if removing.variant else "unfinished downloads"
    output.data(f"{removing.reference} · {what}")
    for store in plan.stores:
        output.data(f"{store.store}: {format_bytes(store.freed_bytes)} freed")
        for step in store.removal.steps:
            if step.kind != "folder":
                output.data(f"  {step.path}")
        for name in store.lost:
            output.warning(f"also removed: {name}")
    _show_kept("stays", plan.kept)
    _show_kept("in use", plan.in_use)
    _show_kept("not touched", plan.refused)


def _show_kept(word: str, kept: Iterable[Kept]) -> None:
    for entry in kept:
        output.note(f"{word}: {entry.path}: {entry.reason}")


@click.command(name="dedupe")
@click.option("--apply", "apply_", is_flag=True, help="Apply the plan [only show it].")
@click.option("--reflink", is_flag=True, help="Share blocks instead of links (Btrfs, XFS).")
@click.option("--undo", is_flag=True, help="Undo the last run of dedupe.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def dedupe_command(apply_: bool, reflink: bool, undo: bool, yes: bool, as_json: bool) -> int:
    """Deduplicate identical model files.

    Identical files in several stores then share disk space.
    """
    from gemmahub.service import Library, disk

    library = Library()
    if undo:
        if apply_ or reflink:
            raise UsageError("--undo takes no other option", "gemmahub dedupe --undo")
        undone = disk.undo_dedupe(library, _counting("copied"))
        output.progress("")
        if as_json:
            output.json_data(undone.as_json())
        else:
            output.data(f"{plural(len(undone.copied), 'file')} copied back")
            _show_kept("left unchanged", undone.skipped)
        return ExitCode.FAILED if undone.skipped else ExitCode.DONE
    plan = disk.plan_dedupe(library, reflink=reflink, on_bytes=_counting("read"))
    output.progress("")
    if not as_json:
        _show_plan(plan)
    if not apply_ or not plan.shares:
        if as_json:
            output.json_data(plan.as_json())
        elif plan.shares:
            output.note("nothing was changed: run gemmahub dedupe --apply")
        return ExitCode.DONE
    if not _agreed(f"Share {plural(len(plan.shares), 'file')}?", yes=yes):
        output.note("nothing was changed")
        return ExitCode.FAILED
    done = disk.dedupe(library, plan, _counting("compared"))
    output.progress("")
    if as_json:
        output.json_data(done.as_json())
    else:
        output.data(f"freed {format_bytes(done.freed_bytes)}; gemmahub dedupe --undo reverts it")
        _show_kept("left unchanged", done.skipped)
    return ExitCode.DONE


def _show_plan(plan: DedupePlan) -> None:
    for share in plan.shares:
        output.data(
            f"{share.path}\n  would share {format_bytes(share.size_bytes)} with {share.kept}"
        )
    if plan.shares:
        output.data(f"{format_bytes(plan.freed_bytes)} would be freed ({plan.method})")
    else:
        output.data("no duplicate files were found that could be shared")
    _show_kept("left unchanged", plan.refused)


def _counting(word: str) -> Callable[[int], None]:
    """Shows bytes as they are done."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        output.progress(f"{word} {format_bytes(done)}")

    return count


def _agreed(question: str, *, yes: bool) -> bool:
    """Whether a person says yes.

    Raises: UsageError where nobody can be asked.
    """
    if yes:
        return True
    if not output.interactive():
        raise UsageError(
            "cannot ask for confirmation: standard input is not a terminal",
            "use --yes, or look first with --dry-run",
        )
    return output.confirm(question)


def _finish(library: Any) -> None:
    """End a removal that a crash cut off, and say so."""
    from gemmahub.service import disk

    ended = disk.finish_removals(library)
    if ended is not None:
        output.note(f"finished an interrupted removal: freed {format_bytes(ended.freed_bytes)}")
