"""Which packed weights Transformers loads, and what each needs besides it.

Source: huggingface/transformers 5.24.0 ``quantizers/auto.py`` (``AUTO_QUANTIZER_MAPPING``) and the
``validate_environment`` of each ``quantizers/quantizer_*.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.engines.contract import Loadable
from gemmahub.errors import LoadFailed
from gemmahub.formats.tensor import UNKNOWN_PACKING
from gemmahub.python_environment import install_command
from gemmahub.text import one_line
from gemmahub_transformers.devices import HOST
from gemmahub_transformers.engine import how_to_install, version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.formats.reader import ModelFile


class PackingNeeds(NamedTuple):
    """What one way of packing needs: a distribution, and whether the CPU will do."""

    needs: str
    cpu: bool
    extra: str = ""

    @property
    def command(self) -> str:
        """What installs it."""
        return how_to_install(self.extra) if self.extra else f"`{install_command(self.needs)}`"


PACKINGS: Final = {
    "bitsandbytes": PackingNeeds("bitsandbytes", True, "bitsandbytes"),
    "compressed-tensors": PackingNeeds("compressed-tensors", True, "compressed-tensors"),
    "torchao": PackingNeeds("torchao", True, "torchao"),
    "gptq": PackingNeeds("gptqmodel", True),
    "awq": PackingNeeds("gptqmodel", True),
    "auto-round": PackingNeeds("auto-round", True),
    "hqq": PackingNeeds("hqq", True),
    "quanto": PackingNeeds("optimum-quanto", True),
    "fp8": PackingNeeds("kernels", False),
    "mxfp4": PackingNeeds("kernels", False),
    "fbgemm_fp8": PackingNeeds("fbgemm-gpu-genai", False),
    "aqlm": PackingNeeds("aqlm", True),
    "gemma": PackingNeeds("", True),
}
"""By the ``quant_method`` of ``config.json``."""

# How gemmahub names the types of packed tensors (``gemmahub.formats.layouts``), by their beginning.
_BY_TYPE: Final = {
    "bnb": "bitsandbytes",
    "GPTQ": "gptq",
    "AWQ": "awq",
    "auto-round": "auto-round",
    "HQQ": "hqq",
    "quanto": "quanto",
    "torchao": "torchao",
}
_NEVER: Final = ("EXL2", "EXL3")
_SAID: Final = ("quantization_config", "compression_config")
_HINT: Final = "use a folder in BF16, or a GGUF file of the model"


def method_of(config: Mapping[str, Any]) -> str:
    """The ``quant_method`` of a folder; empty where its weights are plain."""
    for key in _SAID:
        said = config.get(key)
        if not isinstance(said, dict):
            continue
        method = said.get("quant_method")
        if method is None and (said.get("load_in_4bit") or said.get("load_in_8bit")):
            return "bitsandbytes"
        return str(method or "compressed-tensors").lower()
    return ""


def transformers_loads(header: ModelFile) -> Loadable:
    """Whether Transformers can load a model with this header, as far as its packing tells."""
    if header.format == "gguf":
        return _gguf(header)
    if header.metadata.get("quantization") is not None:
        return Loadable(False, "it is packed by MLX, which Transformers does not read", _HINT)
    types = [one_line(tensor.type, 60) for tensor in header.tensors]
    bad = next((kind for kind in types if kind.startswith((UNKNOWN_PACKING, *_NEVER))), None)
    if bad is not None:
        return Loadable(
            False, f"it has tensors stored as {bad}, which Transformers does not read", _HINT
        )
    method = method_of(header.metadata)
    found = (_BY_TYPE.get(kind.split(" ")[0], "") for kind in types)
    method = method or next(filter(None, found), "")
    return _of_method(method) if method else Loadable(True)


def _gguf(header: ModelFile) -> Loadable:
    if len(header.files) > 1:
        return Loadable(
            False, "it is in several parts, and Transformers reads GGUF files of one part only",
            "use llama.cpp for it",
        )  # fmt: skip
    return Loadable(True)


def _of_method(method: str) -> Loadable:
    packing = PACKINGS.get(method)
    shown = one_line(method, 40)
    if packing is None:
        return Loadable(
            False, f"it is packed by {shown}, which was not tested with Transformers", _HINT
        )
    if packing.needs and not version(packing.needs):
        return Loadable(
            False,
            f"it is packed by {shown}, which Transformers reads with {packing.needs}, and that is "
            "missing",
            f"{packing.command}, or {_HINT}",
        )
    return Loadable(True)


def check_device(method: str, device: str) -> None:
    """Whether weights of this packing can be computed with on a device.

    Raises: LoadFailed.
    """
    packing = PACKINGS.get(method)
    if packing is not None and device == HOST and not packing.cpu:
        raise LoadFailed(
            f"the model is packed by {one_line(method, 40)}, which Transformers computes on a GPU "
            "only",
            _HINT,
        )
