"""Loading with Transformers, from this disk only, and without code of the folder."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, LoadFailed
from gemmahub.python_environment import update_command
from gemmahub.text import one_line, plural
from gemmahub_transformers.devices import HOST, torch_name
from gemmahub_transformers.packings import check_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.engines.contract import OnProgress
    from gemmahub_transformers.engine import TorchModules
    from gemmahub_transformers.header import CheckpointHeader
    from gemmahub_transformers.settings import TorchSettings

# Names of the text model's tensors in checkpoints that also see and hear, and in one of the text
# alone; the first as transformers 4.49 wrote them, the second as versions since 4.52 do.
TEXT_NAMES: Final = {
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
    r"^model\.language_model\.": "model.",
}
_NAMES: Final = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
# ``trust_remote_code`` False: a folder with code of its own is refused, or loaded by the library's.
LOCAL: Final = {"local_files_only": True, "trust_remote_code": False}


def load_model(
    library: TorchModules,
    header: CheckpointHeader,
    chosen: TorchSettings,
    on_progress: OnProgress | None,
) -> Any:
    """The model, ready to compute, with all its weights on its device.

    Raises: LoadFailed; what ``on_progress`` raises.
    """
    if not header.loads.ok:
        raise LoadFailed(f"{_name(header)} cannot be loaded: {header.loads.reason}",
                         header.loads.hint)  # fmt: skip
    check_device(header.method, chosen.device)
    torch = library.torch
    with _refusals(library, header), _heard(library, on_progress) as heard:
        config = read_model_config(library, header)
        where, named = source(header)
        model, told = library.transformers.AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            dtype=getattr(torch, chosen.dtype),
            attn_implementation="sdpa" if chosen.fused else "eager",
            device_map={"": torch_name(chosen.device)} if _mapped(header, chosen) else None,
            use_safetensors=True,  # never pickles, which run code
            output_loading_info=True,
            **named,
            **({"key_mapping": TEXT_NAMES} if header.text_only else {}),
            **_unpacked(library, header),
            **LOCAL,
        )
        heard(1.0)
        _check_whole(header, told)
        return model.eval()


def read_model_config(library: TorchModules, header: CheckpointHeader) -> Any:
    """The library's own configuration object, of the text model where only that is loaded.

    Raises: what the library raises.
    """
    where, named = source(header)
    config = library.transformers.AutoConfig.from_pretrained(where, **named, **LOCAL)
    return config.get_text_config(decoder=True) if header.text_only else config


def source(header: CheckpointHeader) -> tuple[str, dict[str, str]]:
    """What ``from_pretrained`` is given: a folder, and the name of a GGUF file in it."""
    if header.gguf:
        return str(header.path.parent), {"gguf_file": header.path.name}
    return str(header.path), {}


def _unpacked(library: TorchModules, header: CheckpointHeader) -> dict[str, Any]:
    """A GGUF file's weights as plain numbers: kernels for packed ones would be fetched from a hub,
    and they are code. Versions before 5.24 always unpack.
    """
    kind = getattr(library.transformers, "GgufConfig", None)
    return {"quantization_config": kind(dequantize=True)} if header.gguf and kind else {}


def precision_label(header: CheckpointHeader, chosen: TorchSettings) -> str:
    """``BF16``, ``F32``: what plain weights are in memory; empty for packed ones."""
    return "" if header.method else _NAMES[chosen.dtype]


def _mapped(header: CheckpointHeader, chosen: TorchSettings) -> bool:
    return chosen.device != HOST or bool(header.method)


def _check_whole(header: CheckpointHeader, told: Any) -> None:
    """Transformers makes up numbers for tensors that a checkpoint lacks; a person would see
    nonsense, and no error.

    Raises: LoadFailed.
    """
    missing = sorted(told.get("missing_keys", ()))
    wrong = sorted(str(key[0] if isinstance(key, tuple) else key) for key in
                   told.get("mismatched_keys", ()))  # fmt: skip
    for names, what in ((missing, "lacks"), (wrong, "has wrong shapes in")):
        if names:
            raise LoadFailed(
                f"{_name(header)} {what} {plural(len(names), 'tensor')} that its config.json asks "
                f"for, the first is {one_line(names[0], 80)}",
                "fetch the folder again: weights and config.json belong to different models",
            )


@contextmanager
def _refusals(library: TorchModules, header: CheckpointHeader) -> Iterator[None]:
    """What the library raises as an error for people."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that Transformers imports as it loads
            yield
    except BackendError:
        raise
    except library.torch.OutOfMemoryError as error:
        raise LoadFailed(
            f"{_name(header)} does not fit the memory of the GPU: {one_line(str(error), 200)}",
            "use a smaller variant, or --gpu-layers 0; `gemmahub plan` shows its memory use",
        ) from None
    except Exception as error:  # noqa: BLE001 - the library raises what its parts raise
        raise refused(library, header, error) from None


def refused(library: TorchModules, header: CheckpointHeader, error: Exception) -> LoadFailed:
    """Why a model was not loaded, and what to do about it."""
    said, kind = one_line(str(error), 300), type(error).__name__
    version = library.transformers.__version__
    family = one_line(str(header.config.get("model_type")), 60)
    if "trust_remote_code" in said or ("auto_map" in header.config and "custom code" in said):
        return LoadFailed(
            f"{_name(header)} comes with its own code, which gemmahub never runs",
            "use a model type that Transformers supports, or a GGUF file of it",
        )
    if "does not recognize this architecture" in said or isinstance(error, KeyError):
        return LoadFailed(
            f"transformers {version} does not know models of the type {family}",
            f"`{update_command('transformers')}` may add it; else use a GGUF file of the model",
        )
    if isinstance(error, ImportError):
        return LoadFailed(
            f"{_name(header)} needs a missing package: {said}",
            "install it, or use a folder in BF16",
        )
    if "size mismatch" in said.lower() or "ignore_mismatched_sizes" in said:
        return LoadFailed(
            f"{_name(header)} has tensors of other shapes than its config.json states: {said}",
            "fetch the folder again: weights and config.json belong to different models",
        )
    return LoadFailed(
        f"Transformers cannot load {_name(header)}: {kind}: {said}",
        "check it with `gemmahub inspect`; fetch it again when it is damaged",
    )


def _name(header: CheckpointHeader) -> str:
    return one_line(header.path.name, 120)


@contextmanager
def _heard(
    library: TorchModules, on_progress: OnProgress | None
) -> Iterator[Callable[[float], None]]:
    """Hears of the library's own progress bar, which counts tensors, and passes on fractions."""
    if on_progress is None:
        yield lambda fraction: None
        return
    most = 0.0

    def tell(fraction: float) -> None:
        nonlocal most
        most = max(most, min(1.0, fraction))
        on_progress(most)

    def hook(factory: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        bar = factory(*arguments, **named)
        over: Any = arguments[0] if arguments else named.get("iterable")
        if not hasattr(over, "__len__") or "Loading weights" not in str(named.get("desc")):
            return bar
        return _counted(bar, len(over), tell)

    before = library.logging.set_tqdm_hook(hook)
    try:
        yield tell
    finally:
        library.logging.set_tqdm_hook(before)


def _counted(items: Any, count: int, tell: Callable[[float], None]) -> Iterator[Any]:
    for number, item in enumerate(items, 1):
        yield item
        tell(number / count)
