"""The use case: a model at another precision, made here from the files that are here."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.config.kept_names import forget_names
from gemmahub.engines import asking
from gemmahub.engines.contract import Quantization
from gemmahub.errors import BackendError, DoesNotFit, GemmahubError, IntegrityError
from gemmahub.formats.detect import open_model
from gemmahub.service.part_file import PartFile
from gemmahub.service.quantize_target import free_bytes
from gemmahub.service.scoring.texts import find_texts
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import OnProgress, Rounding
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.quantize_records import QuantizePlan

_SPARE: Final = 1 << 24  # bytes that stay free on a disk that is not full
_AGAIN: Final = "try again; the model itself was not changed"


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was made. ``rounding`` says what became of weights that were trained for the type;
    ``listed`` whether a listing shows the file."""

    variant: Variant
    rounding: Rounding | None = None
    listed: bool = True


def quantize(
    here: Installation, plan: QuantizePlan, on_progress: OnProgress | None = None
) -> Quantized:
    """Make what a plan says; it is listed and can be run afterwards.

    The file has its name only when all of it is on the disk and was read back.

    Raises: DoesNotFit for a disk that is too small, or full before the end; UsageError for a target
    that exists by now; BackendError; IntegrityError where what was written is not as planned.
    """
    check_disk(plan)
    with PartFile(plan.target) as part:
        wanted = Quantization(
            plan.label,
            part.path,
            plan.exceptions,
            plan.importance,
            plan.metadata,
            lattice=plan.lattice,
        )
        try:
            rounding = asking.quantize(plan.choice.offer, plan.artifact, wanted, on_progress)
        except BackendError as error:
            free = free_bytes(plan.target.parent)
            if free is not None and free + _written(part.path) < plan.size_bytes + _SPARE:
                raise _full(plan) from error
            raise
        _check_made(plan, part.path)
        part.keep(replace=plan.force)
    variant, listed = made_variant(here, plan.target)
    return Quantized(variant, rounding, listed=listed)


def made_variant(here: Installation, path: Path) -> tuple[Variant, bool]:
    """What was made there, and whether a listing shows it."""
    here.look_again()
    forget_names(here.config.cache)
    found = here.registry.at(path)
    return found or here.registry.resolve(_named(path)), found is not None


def _named(path: Path) -> str:
    """A file as it is named on the command line."""
    try:
        return f"./{os.path.relpath(path)}"
    except ValueError:  # Windows: it is on another drive than the current folder
        return str(path)


def make_importance(plan: QuantizePlan, on_progress: OnProgress | None = None) -> None:
    """Make the importance matrix of a plan from its text; it stays beside the new file.

    Raises: NotFound, UsageError for a text that cannot be read; BackendError, also for one that is
    too short.
    """
    if not plan.text or plan.importance is None:
        return
    text = "\n\n".join(each.text for each in find_texts((plan.text,)))
    with PartFile(plan.importance) as part:
        offer = plan.choice.offer
        asking.make_importance(offer, plan.artifact, text, part.path, on_progress)
        part.keep(replace=plan.force)


def check_disk(plan: QuantizePlan, files: int = 1) -> None:
    """Raises: DoesNotFit where the disk is too small for so many ``files`` at a time."""
    needed = plan.size_bytes * files
    if plan.free_bytes is not None and plan.free_bytes < needed:
        raise DoesNotFit(
            f"it needs {format_bytes(needed)}, but only {format_bytes(plan.free_bytes)} "
            f"is free in {one_line(str(plan.target.parent))}",
            "free some (gemmahub du, gemmahub rm), or use a file on another disk with -o",
        )


def _full(plan: QuantizePlan) -> DoesNotFit:
    return DoesNotFit(
        f"the disk with {one_line(str(plan.target.parent))} is full: the partial file was removed",
        "free some (gemmahub du, gemmahub rm), or use a file on another disk with -o",
    )


def _written(path: Path) -> int:
    with suppress(OSError):
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    return 0


def _check_made(plan: QuantizePlan, path: Path) -> None:
    """Read back what was written. Raises: IntegrityError where it is not what was planned."""
    try:
        made = open_model(path)
    except GemmahubError as error:
        raise IntegrityError(f"the written file cannot be read: {error.message}", _AGAIN) from None
    planned = {tensor.name: tensor.shape for tensor in plan.file.model.tensors}
    if {tensor.name: tensor.shape for tensor in made.tensors} != planned:
        raise IntegrityError("the written file has other tensors than the model", _AGAIN)
    missing = [key for key, text in plan.metadata.items() if made.metadata.get(key) != text]
    if missing:
        raise IntegrityError(f"the written file lacks {', '.join(missing)}", _AGAIN)
    types = {tensor.name: tensor.type for tensor in plan.file.model.tensors}
    others = [tensor for tensor in made.tensors if tensor.type != types[tensor.name]]
    if others:
        raise IntegrityError(
            f"{len(others)} tensors have another type than planned, as {one_line(others[0].name)}: "
            f"{others[0].type}, not {types[others[0].name]}",
            "the engine's rules differ from those that gemmahub knows; report it",
        )
    if plan.made.format != "gguf" and made.size_bytes != plan.size_bytes:
        raise IntegrityError(
            "the written file has another size than planned: "
            f"{format_bytes(made.size_bytes)}, not {format_bytes(plan.size_bytes)}",
            _AGAIN,
        )
