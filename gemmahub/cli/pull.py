"""``gemmahub pull``: get a model, after saying what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.pull_view import View, Watched, agree, disk_text, fit_text
from gemmahub.engines.sources import DRAFTER, PROJECTOR
from gemmahub.errors import ExitCode
from gemmahub.text import format_bytes, one_line, plural
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.engines.sources import Pulled
    from gemmahub.errors import NotInstalled
    from gemmahub.registry.variants import Variant
    from gemmahub.service import Library, PullPlan


@click.command(name="pull")
@click.argument("reference")
@click.option("--revision", help="A branch, tag or commit [main].")
@click.option(
    "--projector/--no-projector", default=True, help="Also download the image projector [yes]."
)
@click.option("--draft", is_flag=True, help="Also download the model's draft head.")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the file [the source's own place].",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be downloaded.")
@click.option("--yes", is_flag=True, help="Do not ask, even if the model will not fit in memory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show how much was downloaded to look at it.")
def pull_command(reference: str, **options: Any) -> int:
    """Download a model.

    It shows what the model is first. REFERENCE is a catalogue name (gemma-3-4b-it:q4_0-qat), a
    repository (user/repo:Q4_0) or a tag of Ollama's registry (ollama://gemma3:4b). An interrupted
    download is kept: run the same command to continue it.
    """
    from gemmahub.service import Library, PullOptions

    library = Library(say=output.note)
    chosen = PullOptions(options["revision"], options["projector"], options["to"], options["draft"])
    plan = library.plan_pull(reference, chosen)
    if options["dry_run"] and options["as_json"]:
        output.json_data(plan.as_json())
        return ExitCode.DONE
    show_plan(plan, aside=not options["dry_run"])
    if options["verbose"]:
        from gemmahub.cli.models import say_moved

        say_moved(library, plan.variant.size_bytes)
    if options["dry_run"]:
        return ExitCode.DONE
    if plan.remote is None:
        _already(plan, as_json=options["as_json"])
        return ExitCode.DONE
    pulled = fetch(library, plan, reference, yes=options["yes"], as_json=options["as_json"])
    return ExitCode.INTERRUPTED if pulled is None else ExitCode.DONE


def fetch(
    library: Library, plan: PullPlan, reference: str, *, yes: bool, as_json: bool = False
) -> Pulled | None:
    """Get what a plan says, showing how far it is; None where somebody interrupted it.

    Raises: DoesNotFit for a disk that is too small, and for a model that will not fit in memory
    unless somebody says yes; what :meth:`Library.pull` raises.
    """
    from gemmahub.service.pulling import check_disk

    check_disk(plan)
    agree(plan, reference, yes=yes)
    seen = Watched()
    try:
        with View() as view:
            pulled = library.pull(plan, on_progress=seen.through(view.show))
    except KeyboardInterrupt:
        output.note(f"interrupted: {seen.kept}; run {command_line('pull', reference)} to continue")
        return None
    command = plan.use(pulled.reference)
    if as_json:
        output.json_data(_as_json(plan, pulled) | {"command": command})
    else:
        output.note(_summary(plan, pulled))
        beside = {file.name for file in plan.files if file.kind in (PROJECTOR, DRAFTER)}
        output.data(str(pulled.path or pulled.reference))
        for file in pulled.files:
            if file.name in beside:
                output.data(str(file.path))
        output.note(f"use it: {command}" if not plan.variant.is_model else f"run it: {command}")
    return pulled


def offer(library: Library, missing: NotInstalled) -> str:
    """Ask whether to get a model that is not here, and get it; what names it from now on.

    Raises: ``missing`` when the answer is no; KeyboardInterrupt; as :func:`fetch`.
    """
    plan = library.plan_pull(missing.reference)
    show_plan(plan)
    variant, bits = plan.variant, plan.variant.precision.bits_per_weight
    rate = "" if bits is None else f", {bits:.2f} bits/weight"
    what = f"{variant.precision.short}{rate}, downloads {format_bytes(plan.fetch_bytes)}"
    if not output.confirm(f"{variant.reference} is not on this machine ({what}). Download it?"):
        raise missing
    pulled = fetch(library, plan, missing.reference, yes=False)
    if pulled is None:
        raise KeyboardInterrupt
    return pulled.reference


def show_plan(plan: PullPlan, *, aside: bool = True) -> None:
    """What a plan would get, and whether it fits; on standard error when ``aside``."""
    variant = plan.variant
    facts = [
        ("model", f"{variant.name} ({variant.reference})"),
        ("kind", "" if variant.kind == "text" else _kind(variant)),
        ("precision", variant.precision.summary),
        ("mismatch", variant.precision.mismatch or ""),
        ("training", f"{variant.precision.training.value}: {variant.precision.training.basis}"),
    ]
    if plan.landing is not None:
        facts += [
            ("from", variant.remote),
            ("size", _size(plan)),
            ("draft head", _head(plan)),
            ("into", plan.landing.how),
            ("disk", disk_text(plan)),
        ]
    facts += [
        ("outdated", variant.outdated.advice if variant.outdated else ""),
        ("memory", fit_text(plan.fit)),
        *(("here", str(artifact.path)) for artifact in variant.artifacts),
        ("licence", variant.licence),
        *(("note", note) for note in variant.notes),
    ]
    output.facts(facts, aside=aside)


def _kind(variant: Variant) -> str:
    return f"{variant.what}{'' if variant.is_model else '; not a model by itself'}"


def _size(plan: PullPlan) -> str:
    here = plan.size_bytes - plan.fetch_bytes
    text = f"{format_bytes(plan.size_bytes)} in {plural(len(plan.files), 'file')}"
    for kind, words in ((PROJECTOR, "the image projector"), (DRAFTER, "the draft head")):
        if any(file.kind == kind for file in plan.files):
            text += f", one of them {words}"
    if plan.landing and not plan.landing.files:  # which files are here is not known
        return f"{text}; downloads {format_bytes(plan.fetch_bytes)}"
    return f"{text}; {format_bytes(here)} are here already" if here > 0 else text


def _head(plan: PullPlan) -> str:
    """Name and size of the head that drafts, empty where none comes."""
    heads = (file for file in plan.files if file.kind == DRAFTER)
    return next((f"{one_line(f.name, 120)} · {format_bytes(f.size)}" for f in heads), "")


def _already(plan: PullPlan, *, as_json: bool) -> None:
    """The model is in another store: nothing to fetch."""
    if as_json:
        output.json_data(plan.as_json())
        return
    stores = ", ".join(dict.fromkeys(a.store or "a folder" for a in plan.variant.artifacts))
    output.note(f"it is on this machine already, in {stores}: nothing to download")
    for artifact in plan.variant.artifacts:
        output.data(str(artifact.path))
    output.note(f"run it: {plan.command}")


def _summary(plan: PullPlan, pulled: Pulled) -> str:
    files = pulled.files
    if files and not pulled.moved_bytes and len(files) >= len(plan.files):
        return "all files were here already; they are verified"
    verified = f", {plural(len(files), 'file')} verified" if files else ""
    done = (
        f"{format_bytes(pulled.moved_bytes)} fetched"
        if pulled.moved_bytes
        else "nothing downloaded"
    )
    return f"{done}{verified}"


def _as_json(plan: PullPlan, pulled: Pulled) -> dict[str, Any]:
    found = plan.as_json()
    done = {file.name: file for file in pulled.files}
    for entry in found["files"]:
        if (file := done.get(entry["file"])) is not None:
            entry |= {"path": str(file.path), "fetched_bytes": file.moved_bytes, "verified": True}
    return found | {
        "path": str(pulled.path) if pulled.path else None,
        "fetched_bytes": pulled.moved_bytes,
    }
