"""Types as people write them: what a model, a role or a tensor is to become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import UsageError
from gemmahub.formats.ggml_types import FILE_TYPE_LABELS
from gemmahub.precision.quantizer import BASE_TYPES, TENSOR_TYPES, is_quantizable
from gemmahub.precision.roles import EMBEDDING, ROLES, tensor_role
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.formats.tensor import Tensor

# As llama.cpp's tool takes them (``QUANT_OPTIONS``, tools/quantize/quantize.cpp).
_ALIASES: Final = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}


def label_of(text: str) -> str:
    """The label that is meant; "" for "". Raises: UsageError for one that llama.cpp has not."""
    name = text.strip().upper().replace("-", "_")
    name = _ALIASES.get(name, name)
    if not name or name in BASE_TYPES:
        return name
    shown = one_line(text, 40)
    if name in FILE_TYPE_LABELS.values():
        hint = "use Q4_0: it is repacked for the processor at load time" if "Q4_0_" in name else ""
        raise UsageError(
            f"llama.cpp no longer makes {shown}", hint or f"it makes {', '.join(BASE_TYPES)}"
        )
    near = nearest(name, BASE_TYPES)
    meant = f"did you mean {', '.join(near)}? " if near else ""
    raise UsageError(f"llama.cpp has no type {shown!r}", f"{meant}all: {', '.join(BASE_TYPES)}")


def exceptions_of(
    tensors: Sequence[Tensor],
    embedding: str,
    keep: Iterable[str],
    may: Callable[[Tensor], bool] = is_quantizable,
    named: Callable[[str], str] | None = None,
) -> dict[str, str]:
    """Types by tensor name, of ``ROLE=TYPE`` and of the embedding; the last one counts. ``may``
    says which tensors can be quantized, ``named`` what a type is called that a person wrote; both
    are llama.cpp's otherwise.

    A role is one of precision reports, or a part of tensors' names (``attn_v``).
    Raises: UsageError for a role without tensors that are quantized, and for a type that is none.
    """
    found: dict[str, str] = {}
    wanted = [f"{EMBEDDING}={embedding}"] if embedding else []
    for text in (*wanted, *keep):
        role, separator, type_ = text.partition("=")
        if not separator or not role.strip():
            raise UsageError(f"{one_line(text, 60)!r} is not ROLE=TYPE", "--keep attention=Q8_0")
        meant = (named or _tensor_type)(type_)
        matching = _matching(filter(may, tensors), role.strip())
        if not matching:
            roles = dict.fromkeys(tensor_role(t.name) for t in tensors if may(t))
            shown = ", ".join(r.replace(" ", "-") for r in ROLES if r in roles)
            raise UsageError(
                f"the model has no {one_line(role, 40)!r} that can be quantized",
                f"roles here: {shown}; or part of a tensor name, such as attn_v",
            )
        found |= dict.fromkeys(matching, meant)
    return found


def _matching(tensors: Iterable[Tensor], role: str) -> list[str]:
    plain = role.casefold().replace("-", " ").replace("_", " ")
    by_role = plain in {each.replace("-", " ") for each in ROLES}
    return [
        tensor.name
        for tensor in tensors
        if (
            tensor_role(tensor.name).replace("-", " ") == plain
            if by_role
            else role.casefold() in tensor.name
        )
    ]


def _tensor_type(text: str) -> str:
    """Raises: UsageError."""
    name = text.strip().upper().replace("-", "_")
    if name in TENSOR_TYPES:
        return name
    label = _ALIASES.get(name, name)
    if label in BASE_TYPES:
        return BASE_TYPES[label]
    near = nearest(name, TENSOR_TYPES) or sorted(TENSOR_TYPES)
    raise UsageError(
        f"{one_line(text, 40)!r} is not a type for tensors", f"types: {', '.join(near)}"
    )
