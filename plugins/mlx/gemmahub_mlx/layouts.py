"""Which stored weights mlx-lm loads, told from a header.

Source: ml-explore/mlx-lm 0.32.2 ``mlx_lm/utils.py`` (``load_model``: MLX's own ``quantization``,
else the ``quant_method`` of another tool; ``_transform_awq_weights``: words of AWQ of 4 bits, no
order of columns) and ``sanitize`` of ``mlx_lm/models/gemma*.py``, which renames none of another
tool's tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Loadable
from gemmahub.formats.tensor import UNKNOWN_PACKING
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.formats.reader import ModelFile

_NEVER: Final = ("GPTQ", "AWQ", "bnb", "EXL2", "EXL3", "HQQ", "quanto", "torchao", "auto-round")
_READ: Final = "AWQ 4-bit"
_NOT_OF_GEMMA: Final = ("F8", "MXFP", "NVFP", "INT")
"""What mlx-lm reads for architectures whose ``sanitize`` knows it."""
_HINT: Final = "use an MLX folder of the model (mlx-community has them), or a GGUF file"


def mlx_loads(header: ModelFile) -> Loadable:
    """Whether mlx-lm can load a model with this header."""
    architecture = header.metadata.get("general.architecture") or header.metadata.get("model_type")
    gemma = str(architecture).startswith("gemma")
    never = (UNKNOWN_PACKING, *_NEVER, *(_NOT_OF_GEMMA if gemma else ()))
    for tensor in header.tensors:
        if tensor.type.startswith(never) and not tensor.type.startswith(_READ):
            kind = one_line(tensor.type, 60)
            return Loadable(False, f"it has tensors stored as {kind}, which mlx-lm does not read",
                            _HINT)  # fmt: skip
    return Loadable(True)
