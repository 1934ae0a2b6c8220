"""A folder at another precision, by MLX's own ``nn.quantize``, as ``mlx_lm.convert`` does.

Weights are computed and written one by one, so that the whole model need not be in memory. The
files are laid out here and not by MLX, whose order of tensors, and with it the header's length, is
that of a hash table: sizes are then known before anything is written.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import DryQuantization, WeightToWrite
from gemmahub.errors import LoadFailed
from gemmahub.formats.mlx_packing import Packing
from gemmahub.precision.mlx_labels import MADE, UNPACKED, packing_of
from gemmahub.text import one_line
from gemmahub_mlx.model import NAMES, lazy_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import OnProgress, Quantization
    from gemmahub_mlx.engine import MlxModules

    Arrays = dict[str, Any]

_STORED: Final = NAMES | {"uint32": "U32", "uint8": "U8", "int32": "I32", "int64": "I64"}
_DEFAULT: Final = Packing(4, 64, "affine")
_ALIGNED: Final = 8
_BESIDE: Final = (".json", ".jinja", ".model", ".txt")
_OWN: Final = ("config.json", "model.safetensors.index.json")


@dataclass(frozen=True, slots=True)
class _Shard:
    """A file to be written: its header, and the names of its arrays in their order."""

    header: bytes
    names: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A model that is quantized, but not computed yet."""

    model: Any
    config: dict[str, Any]
    arrays: Arrays
    shards: dict[str, _Shard]
    weights: tuple[WeightToWrite, ...]


def dry_quantize(library: MlxModules, folder: Path, wanted: Quantization) -> DryQuantization:
    """What :func:`quantize` would write; no weights are read. Raises: LoadFailed."""
    found = _prepared(library, folder, wanted)
    sizes = {name: shard.size_bytes for name, shard in found.shards.items()}
    return DryQuantization(found.weights, sizes)


def quantize(
    library: MlxModules, folder: Path, wanted: Quantization, on_progress: OnProgress | None
) -> None:
    """Write a folder of packed weights; where that fails nothing of it stays.

    Raises: LoadFailed; what ``on_progress`` raises.
    """
    if wanted.importance is not None:
        raise LoadFailed("MLX uses no importance matrix", "leave it out")
    found = _prepared(library, folder, wanted)
    try:
        wanted.target.mkdir()
        _write(library, found, wanted.target, on_progress)
        vision = "vision_tower" in getattr(found.model, "model", {})
        config = found.config | dict(wanted.metadata)
        library.utils.save_config(config, wanted.target / "config.json", keep_vision_config=vision)
        for path in sorted(folder.iterdir()):
            if path.suffix in _BESIDE and path.name not in _OWN and path.is_file():
                shutil.copyfile(path, wanted.target / path.name)
    except OSError as error:
        shutil.rmtree(wanted.target, ignore_errors=True)
        raise LoadFailed(
            f"{one_line(wanted.target.name)} cannot be written: {error.strerror or error}",
            "check whether the disk is full and the folder exists",
        ) from None
    except BaseException:
        shutil.rmtree(wanted.target, ignore_errors=True)
        raise


def _prepared(library: MlxModules, folder: Path, wanted: Quantization) -> _Prepared:
    general = _packing(wanted.label)
    own = {name: _packing(type_) for name, type_ in wanted.types.items()}
    model, config = lazy_model(library, folder)
    if any(hasattr(module, "bits") for module in model.modules()) or "quantization" in config:
        raise LoadFailed(
            f"the weights of {one_line(folder.name, 120)} are packed already, but MLX packs "
            "only those of 16 or 32 bits",
            "use the 16-bit model: see gemmahub search",
        )
    _cast(library, model, config)
    before = {name: _stored(array) for name, array in _flat(library, model).items()}
    asked: dict[str, Packing] = {}
    base = general or _DEFAULT
    modules: dict[str, Any] = _as_config(base)
    says = getattr(model, "quant_predicate", None)

    def chosen(path: str, module: Any) -> bool | dict[str, Any]:
        said = says(path, module) if says is not None else True
        if said is False or not hasattr(module, "to_quantized"):
            return False
        name = f"{path}.weight"
        packing = own.get(name, general)
        if packing is not None and isinstance(said, dict) and name not in own:
            packing = Packing(said["bits"], said["group_size"], said.get("mode", "affine"))
        if packing is None:
            return False
        asked[name] = packing
        if module.weight.shape[-1] % packing.group_size:
            return False
        if packing != base:
            modules[path] = _as_config(packing)
        return _as_config(packing)

    try:
        library.quantize(model, class_predicate=chosen)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise LoadFailed(f"MLX cannot make that: {one_line(str(error), 300)}") from None
    config = config | {"quantization": modules}
    arrays = _flat(library, model)
    shards = list(map(_shard, library.utils.make_shards(arrays)))
    names = [
        f"model-{number:05d}-of-{len(shards):05d}.safetensors" if shards[1:] else
        "model.safetensors"
        for number in range(1, len(shards) + 1)
    ]  # fmt: skip
    weights = tuple(_weights(arrays, _packings(model), before, asked))
    return _Prepared(model, config, arrays, dict(zip(names, shards, strict=True)), weights)


def _packing(text: str) -> Packing | None:
    """None for weights that stay as they are. Raises: LoadFailed."""
    if not text or text in UNPACKED:
        return None
    if (found := packing_of(text)) is None:
        raise LoadFailed(
            f"MLX cannot pack weights as {one_line(text, 40)}", f"it has {', '.join(MADE)}"
        )
    return found


def _as_config(packing: Packing) -> dict[str, Any]:
    return {"group_size": packing.group_size, "bits": packing.bits, "mode": packing.mode}


def _cast(library: MlxModules, model: Any, config: dict[str, Any]) -> None:
    """The numbers that the configuration says, as ``mlx_lm.convert`` has it."""
    text = config.get("text_config")
    said = config.get("torch_dtype") or (text if isinstance(text, dict) else {}).get("dtype")
    if said not in NAMES:
        return
    core, kept = library.core, getattr(model, "cast_predicate", lambda _: True)
    arrays = [
        (name, array.astype(getattr(core, said)))
        if kept(name) and core.issubdtype(array.dtype, core.floating)
        else (name, array)
        for name, array in _flat(library, model).items()
    ]
    model.load_weights(arrays, strict=False)


def _flat(library: MlxModules, model: Any) -> Arrays:
    return dict(library.tree_flatten(model.parameters()))


def _stored(array: Any) -> str:
    kind = str(array.dtype).rpartition(".")[2]
    return _STORED.get(kind, kind.upper())


def _packings(model: Any) -> dict[str, Packing]:
    return {
        path: Packing(module.bits, module.group_size, getattr(module, "mode", "affine"))
        for path, module in model.named_modules()
        if hasattr(module, "bits")
    }


def _weights(
    arrays: Arrays, packings: dict[str, Packing], before: dict[str, str], asked: dict[str, Packing]
) -> Iterator[WeightToWrite]:
    for name, array in arrays.items():
        module, _, part = name.rpartition(".")
        packing = packings.get(module)
        if packing is not None and part in ("scales", "biases"):
            continue
        type_, count, size = _stored(array), array.size, array.nbytes
        if packing is not None and part == "weight":
            type_, count = packing.name, array.size * 32 // packing.bits
            beside = (arrays.get(f"{module}.{each}") for each in ("scales", "biases"))
            size += sum(each.nbytes for each in beside if each is not None)
        was = before.get(name, type_)
        wanted = asked[name].name if name in asked else type_
        yield WeightToWrite(name, type_, was, wanted, tuple(array.shape), count, size)


def _shard(arrays: Arrays) -> _Shard:
    """How a file is laid out. Source: huggingface/safetensors, "Format"."""
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _stored(array),
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % _ALIGNED)
    return _Shard(raw, tuple(arrays), 8 + len(raw) + end)


def _write(
    library: MlxModules, found: _Prepared, target: Path, on_progress: OnProgress | None
) -> None:
    core, arrays = library.core, found.arrays
    # The model must not hold what was written: each weight is let go.
    found.model.update(library.tree_map(lambda _: core.array([]), found.model.parameters()))
    whole, done = sum(array.nbytes for array in arrays.values()) or 1, 0
    index = {name: file for file, shard in found.shards.items() for name in shard.names}
    for file, shard in found.shards.items():
        with (target / file).open("wb") as opened:
            opened.write(len(shard.header).to_bytes(8, "little") + shard.header)
            for name in shard.names:
                array = arrays.pop(name)
                done += array.nbytes
                opened.write(_bytes(core, array))
                if on_progress is not None:
                    on_progress(done / whole)
    stated = {"metadata": {"total_size": whole}, "weight_map": dict(sorted(index.items()))}
    (target / "model.safetensors.index.json").write_text(json.dumps(stated, indent=4), "utf-8")


def _bytes(core: Any, array: Any) -> memoryview:
    try:
        flat = core.contiguous(array).reshape(-1).view(core.uint8)
        core.eval(flat)
    except (RuntimeError, ValueError) as error:  # no memory, or a file that ends too early
        raise LoadFailed(f"MLX cannot compute a weight: {one_line(str(error), 300)}") from None
    return memoryview(flat)
