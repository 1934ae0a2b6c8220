"""What is said of a model that would be made: precision, fit and quality, and what it will say
of its making."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.planning.model import catalogued
from gemmahub.precision.provenance import provenance
from gemmahub.precision.quantizer import UNQUANTIZED
from gemmahub.precision.training import PTQ, QAT
from gemmahub.recommend.quality import Quality, quality_of
from gemmahub.registry.artifacts import summary_of
from gemmahub.service.quantize_records import QuantizePlan
from gemmahub.service.quantize_target import free_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Artifact
    from gemmahub.planning.quantized import QuantizedFile
    from gemmahub.precision.quantizer import Recipe
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.quantize_records import QuantizeOptions


def described_plan(
    here: Installation,
    source: Variant,
    artifact: Artifact,
    choice: BackendChoice,
    file: QuantizedFile,
    target: Path,
    recipe: Recipe,
    options: QuantizeOptions,
    said: dict[str, str],
    *,
    lattice: bool,
) -> QuantizePlan:
    """A plan, with what the listing will say of what is made."""
    name = target.stem if file.model.format == "gguf" else target.name
    place = replace(
        artifact, format=file.model.format, path=target, files=file.model.files, name=name,
        store="", repository="", revision="", sha256=None, projector=None, reference="", parts=(),
    )  # fmt: skip
    made = here.registry.described(place, summary_of(file.model))
    return QuantizePlan(
        source=source,
        made=made,
        file=file,
        fit=here.fits([made])[0],
        quality=_quality(here, source, made, file),
        choice=choice,
        artifact=artifact,
        label=recipe.label,
        exceptions=dict(recipe.exceptions),
        metadata=said,
        target=target,
        importance=options.importance,
        text=options.text,
        lattice=lattice,
        force=options.force,
        free_bytes=free_bytes(target.parent),
        notes=tuple(filter(None, (made.precision.training.note, made.precision.mismatch))),
    )


def said_of(
    here: Installation,
    source: Variant,
    artifact: Artifact,
    choice: BackendChoice,
    file: QuantizedFile,
    options: QuantizeOptions,
    label: str,
    *,
    lattice: bool,
) -> dict[str, str]:
    """What it will say of its making. No path of this machine is in it."""
    from gemmahub import __version__

    report, offer = source.precision, choice.offer
    engine = here.plugins_manager.availability(offer)
    build = " ".join(filter(None, (engine.version, engine.commit)))
    recipe = [label or "as it was"]
    recipe += [f"embedding={options.embedding}"] if options.embedding else []
    recipe += [*options.keep, *(["lattice"] if lattice else [])]
    training = report.training.value
    if training != QAT:
        whole = (report.bits or 0) >= 16
        quantized = label not in (*UNQUANTIZED, "")
        training = PTQ if training == PTQ or (whole and quantized) else ""
    return provenance(
        source=artifact.reference or artifact.path.name,
        source_sha256=artifact.sha256 or "",
        source_label=report.label,
        by=f"{offer.backend.name} {build}, gemmahub {__version__}",
        recipe=", ".join(recipe),
        training=training,
        again=report.label if file.quantizes_again else "",
        importance=options.importance.name if options.importance else "",
        dataset=options.text.replace("\\", "/").rpartition("/")[2],
    )


def _quality(here: Installation, source: Variant, made: Variant, file: QuantizedFile) -> Quality:
    known = catalogued(source, here.registry.catalog)
    found = quality_of(
        known[0] if known else None, made.precision.label, made.precision.training.value
    )
    if not file.quantizes_again:
        return found
    doubt = f"made from a file in {source.precision.label}: its loss adds up"
    return replace(found, loss=replace(found.loss, doubt=doubt))
