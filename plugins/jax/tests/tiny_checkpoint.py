"""Writes tiny random checkpoints with the real library, and a tokenizer for them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final[dict[str, Any]] = {
    "model_type": "gemma3_text",
    "sliding_window": 64,
    "sliding_window_pattern": 2,
    "rope_theta": 1_000_000,
    "rope_local_base_freq": 10_000,
    "max_position_embeddings": 4096,
}
SIZES: Final = {
    "num_embed": 640,
    "embed_dim": 64,
    "hidden_dim": 128,
    "num_heads": 4,
    "head_dim": 32,
    "num_kv_heads": 2,
}
_LETTERS: Final = [
    *map(chr, range(0x21, 0x7F)),
    "\u2581",
    *map(chr, range(0x410, 0x450)),
    *map(chr, range(0x1F600, 0x1F620)),
    *"日本の首都は東京です",
]
CONTROLS: Final = [
    "<mask>",
    "[multimodal]",
    *(f"<unused{number}>" for number in range(99)),
    "<start_of_turn>",
    "<end_of_turn>",
    "\n",
]
FIRST_LETTER: Final = 4 + len(CONTROLS) + 256  # after <pad>, <eos>, <bos>, <unk> and the bytes
WORDS: Final = FIRST_LETTER + len(dict.fromkeys(_LETTERS))


def write_tokenizer(path: Path) -> int:
    """A SentencePiece model with Gemma 3's control tokens at their numbers, the 256 bytes and some
    letters; returns how many words it has."""
    from sentencepiece import SentencePieceTrainer

    made = io.BytesIO()
    letters = list(dict.fromkeys(_LETTERS))
    SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(letters)] * 3),
        model_writer=made,
        model_type="bpe",
        vocab_size=WORDS,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        user_defined_symbols=CONTROLS,
        required_chars="".join(letters),
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=5,
    )
    path.write_bytes(made.getvalue())
    return WORDS


def random_model(dtype: str = "bfloat16", layers: int = 2, **sizes: int) -> tuple[Any, Any]:
    """A Gemma 3 of the library with random weights, and its parameters; it says letters only."""
    import jax
    import jax.numpy as jnp
    from gemma.gm.nn import Transformer, _config, _modules

    kinds = _modules.AttentionType
    config = _config.TransformerConfig(
        **(SIZES | sizes),
        final_logit_softcap=None,
        use_post_attn_norm=True,
        use_post_ffw_norm=True,
        use_qk_norm=True,
        attention_types=_config.make_attention_layers_types(
            (kinds.LOCAL_SLIDING, kinds.GLOBAL), num_layers=layers
        ),
        sliding_window_size=CONFIG["sliding_window"],
        transpose_gating_einsum=True,
        local_base_frequency=10_000,
        global_base_frequency=1_000_000,
    )
    model = Transformer(config=config, dtype=getattr(jnp, dtype))
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.ones((1, 4), jnp.int32))["params"]
    )
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    drawn = [
        jnp.zeros(leaf.shape, leaf.dtype)
        if len(leaf.shape) == 1  # Gemma's norms multiply by one more than this
        else (0.1 * jax.random.normal(key, leaf.shape)).astype(leaf.dtype)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    params = jax.tree.unflatten(tree, drawn)
    # Letters only are ever said: the output is the embedding, and all other words are zeros there.
    table = params["embedder"]["input_embedding"]
    letters = (jnp.arange(table.shape[0]) >= FIRST_LETTER) & (jnp.arange(table.shape[0]) < WORDS)
    params["embedder"]["input_embedding"] = jnp.where(letters[:, None], table, 0)
    return model, params


def write_checkpoint(folder: Path, params: Any, *, words: bool = True) -> Path:
    """The checkpoint of these parameters as the library saves it, with what it needs to run."""
    from gemma import gm

    gm.ckpts.save_params(params, str(folder.absolute()), wait_until_finished=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    if words:
        write_tokenizer(folder / "tokenizer.model")
    return folder
