"""``gemmahub list`` and ``gemmahub inspect``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.selecting import selection_options
from gemmahub.text import format_bytes, format_parameters, percent, plural
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from gemmahub.engines.contract import ServedModel
    from gemmahub.planning.fit import Fit
    from gemmahub.recommend.speed import SeenSpeed
    from gemmahub.registry.variants import Variant
    from gemmahub.service import Library
    from gemmahub.service.listing import ListedModels
    from gemmahub.service.model_filter import Selection

_REASONS = 3
_WEIGHTY = ("drafter", "projector", "adapter")  # what has weights that an engine computes with


@click.command(name="list")
@click.option("--all", "catalogue", is_flag=True, help="Also list the models of the catalogue.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Also list the model files below this folder.",
)
@click.option("--outdated", is_flag=True, help="Only list files that their publisher has replaced.")
@click.option("--plot", is_flag=True, help="Draw size against quality instead.")
@selection_options
@answer_options("list")
def list_command(
    catalogue: bool,
    folders: tuple[Path, ...],
    outdated: bool,
    plot: bool,
    selection: Selection,
    form: Form,
) -> None:
    """List the models on this machine."""
    from gemmahub.service import Library
    from gemmahub.service.listing import listed_models

    library = Library(folders=folders)
    if plot:
        from gemmahub.cli.size_plot import show_library

        show_library(library, catalogue=catalogue)
        return
    listed = listed_models(library, catalogue=catalogue, outdated=outdated, selection=selection)
    form.answer(listed.as_json, lambda: _show_list(listed, _nothing(outdated, selection)))


def _nothing(outdated: bool, selection: Selection) -> str:
    """What is said where no model is shown."""
    if selection.conditions:
        return "no installed model passes the filter; --all filters the catalogue, too"
    if outdated:
        return "no installed model is known to have been replaced by its publisher"
    return "no models are installed yet: gemmahub list --all shows the catalogue"


def _show_list(listed: ListedModels, nothing: str) -> None:
    rows, beside = listed.rows, listed.beside
    if rows:
        _table(rows, beside, listed.speeds)
        _explain(rows)
    else:
        output.note(nothing)
    for each, _ in rows:
        if each.member is not None:
            output.note(f"{each.reference}: {each.member.text}")
    for each, why in listed.outdated:
        output.warning(f"{each.reference}: {why.advice}")
    for each, owner in beside:
        if owner is None:
            output.note(f"{each.reference} ({format_bytes(each.size_bytes)}): {each.what}")
    for entry in listed.broken:
        output.warning(f"{entry.path} ({entry.store}): not read: {entry.reason}")


def _table(
    rows: Sequence[tuple[Variant, Fit]],
    beside: Sequence[tuple[Variant, Variant | None]],
    speeds: Mapping[str, SeenSpeed],
) -> None:
    """The models; with the speeds that were measured here, where there are some."""
    from gemmahub.service.known_speeds import rate_of

    columns = ["model", "precision", "bits/weight", "size", "fit", "in"]
    found = [(v, row) for v, fit in rows for row in _rows(v, fit, beside)]
    cells = [list(row) for _, row in found]
    if any(variant.reference in speeds for variant, _ in rows):
        columns.insert(5, "tokens/s")
        for (variant, row), cell in zip(found, cells, strict=True):
            own = speeds.get(variant.reference) if row[0] == variant.reference else None
            cell.insert(5, "" if own is None else rate_of(own))
        output.note("tokens/s: as measured on this machine")
    output.table(columns, cells, right=("bits/weight", "size", "tokens/s"))


def _explain(rows: Sequence[tuple[Variant, Fit]]) -> None:
    """What a question mark in the column means, each reason once."""
    reasons = Counter(
        f"{'fit ?' if fit.loadable else fit.short} of {{}}: "
        + fit.reason.replace(variant.reference, "it").replace("{", "{{").replace("}", "}}")
        for variant, fit in rows
        if fit.fits is None or not fit.loadable
    )
    for reason, count in reasons.most_common(_REASONS):
        output.note(reason.format(plural(count, "model")))
    if len(reasons) > _REASONS:
        output.note(f"and {plural(len(reasons) - _REASONS, 'other reason')}: see --json")


def _rows(
    variant: Variant, fit: Fit, beside: Sequence[tuple[Variant, Variant | None]]
) -> Iterator[tuple[str, ...]]:
    """The model, and what lies beside it and belongs to it."""
    yield _row(variant, fit)
    from gemmahub.service.companions import companions_of

    for each in companions_of(variant, beside):
        yield (f"  + {each.name}", each.kind, "", format_bytes(each.size_bytes), "", "")


def _row(variant: Variant, fit: Fit) -> tuple[str, ...]:
    bits = variant.precision.bits_per_weight
    return (
        variant.reference,
        f"{variant.precision.short}{', embedding' if variant.embeds else ''}",
        "?" if bits is None else f"{bits:.2f}",
        format_bytes(variant.size_bytes),
        fit.short,
        ", ".join(variant.places) or f"not installed{'' if variant.confirmed else ', unconfirmed'}",
    )


@click.command(name="inspect")
@click.argument("reference")
@click.option("--remote", is_flag=True, help="Always read the header on Hugging Face.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show how much was downloaded.")
def inspect_command(reference: str, remote: bool, as_json: bool, verbose: bool) -> None:
    """Show what is really in a model file.

    REFERENCE is a catalogue name, a file, a folder or a repository (user/repo:Q4_0). For a model
    that is neither installed nor in the catalogue, only the header is read from Hugging Face.
    """
    from gemmahub.service import Library

    library = Library(say=output.note)
    variant = library.inspect(reference, remote=remote)
    if as_json:
        output.json_data(variant.as_json())
    elif variant.served is not None:
        _show_served(variant.served, variant)
    elif not variant.is_model:
        _show_other(variant)
    else:
        _show(variant, reference)
    if verbose:
        say_moved(library, variant.size_bytes)


def say_moved(library: Library, size_bytes: int | None) -> None:
    """What was moved to look at a model that is on the hub."""
    from gemmahub.service.remote import moved_text

    traffic = library.traffic
    output.note("the hub was not contacted" if traffic is None else moved_text(traffic, size_bytes))


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
            ("accepts images", images),
            ("in memory", {True: "yes", False: "no", None: "not stated"}[model.loaded]),
            ("note", (*variant.notes, "this is what the server states; it was not measured")[0]),
        ]
    )


def _show_other(variant: Variant) -> None:
    """What is no model: what it is, and where."""
    output.facts(
        [
            ("file", f"{variant.name} ({variant.reference})"),
            ("kind", f"{variant.what}; not a model by itself"),
            ("family", variant.member.text if variant.member else ""),
            ("runs in", variant.member.runs if variant.member else ""),
            ("weights", f"{variant.parameters:,}" if variant.kind in _WEIGHTY else ""),
            ("precision", variant.precision.summary if variant.kind in _WEIGHTY else ""),
            ("size", f"{format_bytes(variant.size_bytes)} ({variant.format})"),
            ("architecture", variant.architecture.get("name") or ""),
            ("outdated", variant.outdated.advice if variant.outdated else ""),
            *(("installed", place) for place in variant.installed_at),
            ("read from", variant.remote),
            ("licence", variant.licence),
            *(("note", note) for note in variant.notes),
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
    parts = dict.fromkeys(part for place in variant.artifacts[:1] for part, _ in place.parts)
    gives = ", gives embeddings" if variant.embeds else ""
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
            ("kind", variant.what if variant.embeds else ""),
            ("family", variant.member.text if variant.member else ""),
            ("runs in", variant.member.runs if variant.member else ""),
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
            ("context", f"up to {context:,} tokens" if context else ""),
            ("not loadable", variant.problem),
            ("outdated", variant.outdated.advice if variant.outdated else ""),
            ("takes", f"{', '.join(variant.capabilities)}{gives}"),
            ("chat template", _template(variant.chat_template, parts)),
            ("its tag has", ", ".join(parts)),
            *(("installed", place) for place in variant.installed_at),
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
    return f"{weights:,} ({format_parameters(weights)})" if weights else "number unknown"


def _template(present: bool | None, parts: Collection[str]) -> str:
    if present is None:
        return "unknown until the file is downloaded"
    if not present and "TEMPLATE" in parts:
        return "in its tag: only Ollama uses it"
    return "in the file" if present else "none: it completes plain text"
