"""``gemmahub list`` and ``gemmahub inspect``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.text import format_bytes, format_parameters, percent, plural
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import ServedModel
    from gemmahub.planning.fit import Fit
    from gemmahub.registry.variants import Variant
    from gemmahub.service import Library

_REASONS = 3


@click.command(name="list")
@click.option("--all", "catalogue", is_flag=True, help="Also what the catalogue knows.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Also the model files below this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(catalogue: bool, folders: tuple[Path, ...], as_json: bool) -> None:
    """Models on this machine, each with its precision."""
    from gemmahub.service import Library

    library = Library(folders=folders)
    models = library.models(catalogue=catalogue)
    fits = library.fits(models.variants)
    rows = list(zip(models.variants, fits, strict=True))
    if as_json:
        output.json_data(
            {
                "models": [v.as_json() | {"fit": fit.as_json()} for v, fit in rows],
                "broken": [
                    {"path": str(entry.path), "store": entry.store, "reason": entry.reason}
                    for entry in models.broken
                ],
            }
        )
        return
    if models.variants:
        output.table(
            ("model", "precision", "bits/weight", "size", "fit", "in"),
            [_row(variant, fit) for variant, fit in rows],
            right=("bits/weight", "size"),
        )
        _explain(rows)
    else:
        output.note("no models here yet: gemmahub list --all shows what the catalogue knows")
    for entry in models.broken:
        output.warning(f"{entry.path} ({entry.store}): not read: {entry.reason}")


def _explain(rows: list[tuple[Variant, Fit]]) -> None:
    """What a question mark in the column means, each reason once."""
    reasons = Counter(
        fit.reason.replace(variant.reference, "it") for variant, fit in rows if fit.fits is None
    )
    for reason, count in reasons.most_common(_REASONS):
        output.note(f"fit ? of {plural(count, 'model')}: {reason}")
    if len(reasons) > _REASONS:
        output.note(f"and {plural(len(reasons) - _REASONS, 'other reason')}: see --json")


def _row(variant: Variant, fit: Fit) -> tuple[str, ...]:
    bits = variant.precision.bits_per_weight
    return (
        variant.reference,
        variant.precision.short,
        "?" if bits is None else f"{bits:.2f}",
        format_bytes(variant.size_bytes),
        fit.short,
        ", ".join(variant.places) or "not installed",
    )


@click.command(name="inspect")
@click.argument("reference")
@click.option("--remote", is_flag=True, help="Read the header on Hugging Face in any case.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Say what was moved over the network.")
def inspect_command(reference: str, remote: bool, as_json: bool, verbose: bool) -> None:
    """What a model file really is, measured from its tensors.

    REFERENCE is a catalogue name, a file, a folder or a repository (user/repo:Q4_0). What is
    neither here nor in the catalogue is read from its header on Hugging Face, and not fetched.
    """
    from gemmahub.service import Library

    library = Library(say=output.note)
    variant = library.inspect(reference, remote=remote)
    if as_json:
        output.json_data(variant.as_json())
    elif variant.served is not None:
        _show_served(variant.served, variant)
    else:
        _show(variant, reference)
    if verbose:
        say_moved(library, variant.size_bytes)


def say_moved(library: Library, size_bytes: int | None) -> None:
    """What was moved to look at a model that is on the hub."""
    from gemmahub.service.remote import moved_text

    traffic = library.traffic
    output.note("the hub was not asked" if traffic is None else moved_text(traffic, size_bytes))


def _show_served(model: ServedModel, variant: Variant) -> None:
    """What its server states; nothing of it can be measured."""

    def tokens(count: int | None) -> str:
        return "not stated" if count is None else f"{count:,} tokens"

    images = {True: "yes", False: "no", None: "not stated"}[model.images]
    output.facts(
        [
            ("model", f"{model.name} ({model.reference})"),
            ("precision", variant.precision.summary),
            ("server", f"{model.place or '?'} (backend {model.backend})"),
            ("architecture", model.architecture or "not stated"),
            ("context", f"{tokens(model.context)}, trained for: {tokens(model.context_trained)}"),
            ("takes images", images),
            ("note", "no file here: what the server states is not measured"),
        ]
    )


def _show(variant: Variant, reference: str) -> None:
    precision, architecture = variant.precision, variant.architecture
    shape = [
        architecture.get("name") or "not known",
        f"{architecture['layers']} layers" if architecture.get("layers") else "",
        f"width {architecture['embedding_length']:,}"
        if architecture.get("embedding_length")
        else "",
        f"window {architecture['sliding_window']:,}" if architecture.get("sliding_window") else "",
    ]
    context = architecture.get("context_length")
    measured = (
        "measured from its header on the hub"
        if variant.remote
        else "measured from the file"
        if variant.artifacts
        else "from the catalogue, not the file"
    )
    output.facts(
        [
            ("model", f"{variant.name} ({variant.reference})"),
            ("precision", precision.summary),
            ("mismatch", precision.mismatch or ""),
            ("training", f"{precision.training.value}: {precision.training.basis}"),
            ("", precision.training.note),
            ("weights", _counted(variant.parameters)),
            ("size", f"{format_bytes(variant.size_bytes)} ({variant.format}), {measured}"),
            (
                "architecture",
                " · ".join([architecture.get("name") or "not known", *filter(None, shape)]),
            ),
            ("context", f"{context:,} tokens at most" if context else ""),
            ("takes", ", ".join(variant.capabilities)),
            ("chat template", _template(variant.chat_template)),
            *(("installed", f"{a.path} ({a.store or 'file'})") for a in variant.artifacts),
            ("read from", variant.remote),
            ("not here", "" if variant.artifacts else command_line("pull", reference)),
            ("download", variant.download),
            ("licence", variant.licence),
            *(("note", note) for note in variant.notes),
        ]
    )
    output.data("")
    total = sum(entry.parameters for entry in precision.mix) or 1
    output.table(
        ("role", "type", "tensors", "weights", "share", "size"),
        [
            (
                entry.role,
                entry.type,
                str(entry.tensors),
                f"{entry.parameters:,}",
                percent(entry.parameters / total),
                format_bytes(entry.bytes),
            )
            for entry in precision.mix
        ],
        right=("tensors", "weights", "share", "size"),
    )


def _counted(weights: int) -> str:
    return f"{weights:,} ({format_parameters(weights)})" if weights else "how many is not known"


def _template(present: bool | None) -> str:
    if present is None:
        return "unknown until the file is here"
    return "in the file" if present else "none: answers are plain completions"
