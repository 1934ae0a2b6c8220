"""Loading a folder with mlx-lm, from this disk only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import LoadFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import OnProgress
    from gemmahub_mlx.engine import MlxModules

NAMES: Final = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def lazy_model(library: MlxModules, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model of a folder and its configuration; its weights are not read yet.

    Code that comes with a model is never run; mlx-lm refuses such a folder. Raises: LoadFailed.
    """
    try:
        model, config = library.utils.load_model(folder, lazy=True)
    except Exception as error:  # noqa: BLE001 - mlx-lm raises what its parts raise
        raise _refused(folder, error) from None
    return model, config


def load_weights(library: MlxModules, folder: Path, on_progress: OnProgress | None) -> Any:
    """The model of a folder, its weights in memory.

    Raises: LoadFailed; what ``on_progress`` raises.
    """
    model, _ = lazy_model(library, folder)
    arrays = [array for _, array in library.tree_flatten(model.parameters())]
    whole, done = sum(array.nbytes for array in arrays) or 1, 0
    for array in arrays:
        try:
            library.core.eval(array)
        except Exception as error:  # noqa: BLE001 - no memory, or a file that ends too early
            raise _refused(folder, error) from None
        done += array.nbytes
        if on_progress is not None:
            on_progress(done / whole)
    return model


def precision_label(library: MlxModules, model: Any) -> str:
    """The bits in which most weights of a loaded model are: ``4bit``, ``MXFP4``, ``BF16``.

    Named as ``gemmahub inspect`` does: packed weights by their bits, others by their type.
    """
    counts: Counter[str] = Counter()
    for module in model.modules():
        bits, mode = getattr(module, "bits", None), getattr(module, "mode", "affine")
        for name, array in module.items():
            if not isinstance(array, library.core.array) or name in ("scales", "biases"):
                continue
            if bits is not None and name == "weight":
                label = f"{bits}bit" if mode == "affine" else str(mode).upper()
                counts[label] += array.size * 32 // bits
            else:
                kind = str(array.dtype).rpartition(".")[2]
                counts[NAMES.get(kind, kind)] += array.size
    return max(counts, key=lambda label: counts[label], default="")


def _refused(folder: Path, error: Exception) -> LoadFailed:
    said = one_line(str(error), 300)
    kind = type(error).__name__
    return LoadFailed(
        f"mlx-lm cannot load {one_line(folder.name, 120)}: {kind}: {said}",
        "check the folder with `gemmahub inspect`; fetch it again when it is damaged, or make it "
        "with mlx_lm.convert",
    )
