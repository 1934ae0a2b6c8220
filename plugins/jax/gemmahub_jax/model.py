"""The library's model for a checkpoint, and its weights, from this disk only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.errors import BackendError, LoadFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import OnProgress
    from gemmahub_jax.engine import JaxModules
    from gemmahub_jax.families import Habits
    from gemmahub_jax.shapes import ModelShape

_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_INTEGERS = {"INT4": "int4", "INT8": "int8"}


def build_model(library: JaxModules, shape: ModelShape, habits: Habits) -> Any:
    """The ``Transformer`` of the library, wrapped for integer weights. Raises: LoadFailed."""
    from gemma.gm.nn import _config, _modules

    kinds = _modules.AttentionType
    config = _config.TransformerConfig(
        num_embed=shape.vocabulary,
        embed_dim=shape.width,
        hidden_dim=shape.feed_forward,
        num_heads=shape.heads,
        head_dim=shape.head,
        num_kv_heads=shape.kv_heads,
        final_logit_softcap=habits.output_cap,
        attn_logits_soft_cap=habits.attention_cap,
        use_post_attn_norm=shape.post_norms,
        use_post_ffw_norm=shape.post_norms,
        use_qk_norm=shape.query_norm,
        attention_types=tuple(
            kinds.GLOBAL if habits.is_global(layer) else kinds.LOCAL_SLIDING
            for layer in range(shape.layers)
        ),
        query_pre_attn_norm=_query_norm(_config.QueryPreAttentionNormalisation, shape, habits),
        sliding_window_size=habits.window,
        transpose_gating_einsum=shape.transposed,
        local_base_frequency=habits.local_base,
        global_base_frequency=habits.global_base,
        global_scale_factor=habits.global_scale,
    )
    nn = library.gm.nn
    model = nn.Transformer(config=config, dtype=_dtype(library, shape.dtype))
    if not shape.quantized:
        return model
    integers = _INTEGERS.get(shape.dtype_weights)
    if integers is None:
        raise LoadFailed(
            f"the library does not compute with {one_line(shape.dtype_weights, 40)} weights",
            "use a checkpoint in INT4, INT8 or BF16",
        )
    return nn.IntWrapper(model=model, dtype=getattr(library.numpy, integers))


def load_weights(
    library: JaxModules, folder: Path, shape: ModelShape, on_progress: OnProgress | None
) -> Any:
    """The parameters of the text model, as the library restores them.

    Raises: LoadFailed; what ``on_progress`` raises.
    """
    if on_progress is not None:
        on_progress(0.1)
    try:
        params = library.gm.ckpts.load_params(str(folder.absolute()), text_only=shape.has_vision)
        library.jax.block_until_ready(params)
    except BackendError:
        raise
    except Exception as error:  # noqa: BLE001 - Orbax and TensorStore raise what their parts raise
        said = one_line(f"{type(error).__name__}: {error}", 300)
        raise LoadFailed(
            f"the gemma library cannot load {one_line(folder.name, 120)}: {said}",
            "check the checkpoint with `gemmahub inspect`; fetch it again when it is damaged",
        ) from None
    if on_progress is not None:
        on_progress(0.8)
    return params


def _dtype(library: JaxModules, name: str) -> Any:
    if name not in _DTYPES:
        raise LoadFailed(
            f"the embedding is {one_line(name, 40)}, with which the library does not compute",
            "use a checkpoint in BF16 or F32",
        )
    return getattr(library.numpy, _DTYPES[name])


def _query_norm(norms: Any, shape: ModelShape, habits: Habits) -> Any:
    """The library's name for the number whose root divides the queries."""
    scalar = habits.query_scalar
    if scalar is None or scalar == shape.head:
        return norms.BY_ONE_OVER_SQRT_HEAD_DIM
    if scalar == shape.width // shape.heads:
        return norms.BY_ONE_OVER_SQRT_EMBED_DIM_DIV_NUM_HEADS
    raise LoadFailed(
        f"the library has no model whose queries are divided by the root of {scalar:g}",
        "check query_pre_attn_scalar in config.json",
    )
