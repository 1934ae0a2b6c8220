"""What a model at another precision would be, and from what it would be made."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.declared import check_capability
from gemmahub.errors import NotInstalled, UsageError
from gemmahub.formats.detect import open_model
from gemmahub.formats.foreign_types import unread_by_llamacpp
from gemmahub.formats.reader import FOLDER_FORMATS
from gemmahub.planning.quantized import quantized_file
from gemmahub.precision.quantizer import Recipe
from gemmahub.precision.training import QAT, QAT_TYPES
from gemmahub.service.part_file import exists
from gemmahub.service.purpose import check_is_model
from gemmahub.service.quantize_described import described_plan, said_of
from gemmahub.service.quantize_folder import plan_folder
from gemmahub.service.quantize_target import chosen_target
from gemmahub.service.quantize_types import exceptions_of, label_of
from gemmahub.service.scoring.texts import find_texts
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact
    from gemmahub.formats.reader import ModelFile
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.quantize_records import QuantizeOptions, QuantizePlan

_LATTICE: Final = "Q4_0"


def plan_quantize(here: Installation, reference: str, options: QuantizeOptions) -> QuantizePlan:
    """What quantizing a model would make.

    Raises: UsageError for a type or a role that there is not, for what is no model, and for a
    target that exists; NotFound, NotInstalled; BackendMissing where no engine here quantizes.
    """
    variant, artifact = _source(here, reference)
    if artifact.format in FOLDER_FORMATS:
        return plan_folder(here, variant, artifact, options)
    label = label_of(options.to)
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
                f"{one_line(str(matrix))} exists already: an importance matrix from an earlier run",
                f"use it: --imatrix {matrix}; or add --force",
            )
        options = replace(options, importance=matrix)
    recipe = Recipe(label, exceptions, options.importance is not None)
    if options.compare:
        _check_comparable(variant, label, options)
    trained = options.compare or _is_checkpoint(variant)
    lattice = options.lattice and trained and label in QAT_TYPES
    file = quantized_file(model, target, recipe, {})
    if not file.changes:
        raise UsageError(
            f"{one_line(variant.reference)} has that precision already: no tensor would change",
            f"copy it: {one_line(str(artifact.path))}",
        )
    if (type_ := file.needs_importance) and options.importance is None:
        raise UsageError(f"{type_} needs an importance matrix", "--imatrix make, or --imatrix FILE")
    said = said_of(here, variant, artifact, choice, file, options, label, lattice=lattice)
    file = quantized_file(model, target, recipe, said)
    return described_plan(
        here, variant, artifact, choice, file, target, recipe, options, said, lattice=lattice
    )


def _source(here: Installation, reference: str) -> tuple[Variant, Artifact]:
    """Raises: NotInstalled for a model that is not here, UsageError for one of a server."""
    variant, _ = here.chosen(reference)
    check_is_model(variant)
    if variant.served is not None:
        raise UsageError(
            f"{one_line(variant.reference)} is a model of a server, not a file on this machine",
            "gemmahub list shows the installed files",
        )
    if not variant.artifacts:
        raise NotInstalled(
            f"{variant.reference} is not on this machine",
            f"gemmahub pull {variant.reference} downloads it ({variant.download})",
            variant.reference,
        )
    return variant, variant.artifacts[0]


def _check_quantizable(variant: Variant, model: ModelFile) -> None:
    """Raises: UsageError for a file that llama.cpp's quantizer cannot read."""
    name = one_line(variant.reference)
    if model.big_endian:
        raise UsageError(
            f"{name} is big-endian",
            "use a little-endian file",
        )
    for tensor in model.tensors:
        if (why := unread_by_llamacpp(tensor.type)) or tensor.bytes is None:
            raise UsageError(
                f"{name} cannot be quantized: {why or f'nothing reads {tensor.type}'}",
                "use another file of the model: see gemmahub search",
            )


def _check_target(target: Path, model: ModelFile, *, force: bool) -> None:
    """Raises: UsageError."""
    shown = one_line(str(target))
    for file in model.files:
        with suppress(OSError):
            if target.samefile(file):
                raise UsageError(
                    f"{shown} is the file that is quantized", "choose another file with -o"
                )
    if target.suffix.lower() != ".gguf":
        raise UsageError(
            f"{shown} would not be recognised as a model", "use a name that ends in .gguf"
        )
    if os.path.lexists(target) and not force:
        raise exists(target)


def _is_checkpoint(variant: Variant) -> bool:
    """Whether the weights were trained for a precision that they are not stored in yet."""
    report = variant.precision
    return report.training.value == QAT and (report.bits or 0) >= 16


def _check_comparable(variant: Variant, label: str, options: QuantizeOptions) -> None:
    """Raises: UsageError where there are no two roundings."""
    name = one_line(variant.reference)
    if not options.lattice:
        raise UsageError("--compare and --no-lattice cannot be combined", "leave out one of them")
    if label not in QAT_TYPES:
        raise UsageError(f"--compare works for {_LATTICE} only", f"--to {_LATTICE}")
    if (variant.precision.bits or 0) < 16:
        raise UsageError(
            f"{name} is quantized already: the scales of its training are lost",
            "quantize the 16-bit model: see gemmahub search",
        )
