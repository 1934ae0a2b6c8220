"""What the catalogue says of a variant, whether it is here or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.catalog.records import WHOLE
from gemmahub.catalog.tensors import tensors_by_layer
from gemmahub.formats.kinds import EMBEDDING, TEXT, WHAT
from gemmahub.memory.families import embeds
from gemmahub.precision.mix import MixEntry, mix_of_counted, total_parameters
from gemmahub.precision.report import precision_report
from gemmahub.precision.training import UNKNOWN, Evidence, Training
from gemmahub.registry.variants import Variant
from gemmahub.text import format_bytes
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.catalog.members import FamilyMember
    from gemmahub.catalog.records import Catalog, CatalogVariant, Model
    from gemmahub.catalog.replaced import Outdated
    from gemmahub.engines.contract import Artifact


def declared(catalog: Catalog, model: Model, variant: CatalogVariant) -> Variant:
    """A variant that is not here, by the catalogue alone."""
    architecture = model.architecture
    mix: tuple[MixEntry, ...] = ()
    if variant.types is not None:
        mix = mix_of_counted(tensors_by_layer(architecture, variant.types).counted())
    evidence = Evidence(
        {}, variant.repository, variant.file, Training(variant.training, variant.training_basis)
    )
    kind = EMBEDDING if embeds(architecture.name) else TEXT
    return Variant(
        reference=variant.reference,
        name=model.title,
        format=variant.format,
        parameters=total_parameters(mix) or architecture.parameters,
        size_bytes=variant.bytes,
        precision=precision_report(mix, variant.label, evidence),
        architecture={
            "name": architecture.name,
            "layers": architecture.layers,
            "embedding_length": architecture.embedding_length,
            "context_length": architecture.context_length,
            "sliding_window": architecture.sliding_window,
        },
        capabilities=architecture.capabilities if variant.projector else ("text",),
        chat_template=None,
        download=download_of(variant),
        licence=licence_of(catalog, model),
        notes=tuple(_notes(variant)),
        kind=kind,
        confirmed=variant.confirmed,
        what=WHAT[kind],
    )


def _notes(variant: CatalogVariant) -> Iterator[str]:
    """What is to be known of a variant before it is here."""
    if variant.types is None:
        yield f"inside: {variant.content}"
    elif variant.types.by_label:
        yield f"its types were derived from its label, not read: {variant.content}"
    if variant.note:
        yield variant.note
    if variant.open:
        command = command_line("inspect", variant.reference, remote=True)
        yield f"unknown: {', '.join(variant.open)}; {command} reads its header"
    if not variant.confirmed:
        yield "unconfirmed: only one public source"


def licence_of(catalog: Catalog, model: Model | None, member: FamilyMember | None = None) -> str:
    """The licence of a model's family, or its own, with the address; "" where it is not known."""
    family = catalog.family(model.family) if model else member
    return f"{family.licence} ({family.licence_url})" if family else ""


def known_training(known: CatalogVariant, artifact: Artifact) -> Training | None:
    """What the catalogue knows of the training of this very file, with the basis of the match."""
    if known.training == UNKNOWN:
        return None
    if artifact.sha256 and known.sha256 == artifact.sha256:
        basis = f"known sha256 {known.sha256[:12]}…: {known.training_basis}"
    else:
        basis = f"file name and size as in the catalogue: {known.training_basis}"
    return Training(known.training, basis)


def training_then(was: CatalogVariant | None, outdated: Outdated | None) -> Training | None:
    """What the catalogue knows of the training of a file that was replaced."""
    if was is None or outdated is None or was.training == UNKNOWN:
        return None
    return Training(was.training, f"a replaced file{outdated.of_date}: {was.training_basis}")


def download_of(variant: CatalogVariant) -> str:
    """Where its file is, how large it is, and what it takes to get it."""
    size = f", {format_bytes(variant.bytes)}" if variant.bytes else ""
    gated = ", gated: accept the licence there first" if variant.gated else ""
    file = "" if variant.file == WHOLE else f" {variant.file}"
    return f"hf.co/{variant.repository}{file}{size}{gated}"
