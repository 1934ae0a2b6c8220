"""A tiny random Gemma 3 as a folder, written with MLX itself: for tests, its text means nothing.

No other than a test imports this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL: Final = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
_LETTERS: Final = [
    *map(chr, range(0x21, 0x7F)),  # without the space, which SentencePiece writes as U+2581
    "\u2581",
    "\n",
    *map(chr, range(0x410, 0x450)),  # Cyrillic
    *map(chr, range(0x1F600, 0x1F620)),  # emoji
    *"日本の首都は東京です",
]
TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
CONFIG: Final[dict[str, Any]] = {
    "model_type": "gemma3_text",
    "architectures": ["Gemma3ForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "vocab_size": 512,
    "sliding_window": 64,
    "sliding_window_pattern": 2,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "eos_token_id": [1, 5],
}


def vocabulary() -> dict[str, int]:
    """Control tokens, the 256 bytes, and letters of one to four bytes."""
    words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(_LETTERS)]
    return {word: number for number, word in enumerate(words)}


def write_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    """``tokenizer.json`` and its configuration, built as Gemma's are."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    words = vocabulary()
    made: Any = Tokenizer(models.BPE(vocab=words, merges=[], unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", words["<bos>"])]
    )
    made.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {"bos_token": "<bos>", "eos_token": {"content": "<eos>"}}
    if template is not None:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def write_model(folder: Path, dtype: str = "float32", **config: Any) -> Path:
    """A folder with a random model; ``config`` replaces entries of :data:`CONFIG`."""
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_map_with_path
    from mlx_lm.models.gemma3_text import Model, ModelArgs

    folder.mkdir(parents=True, exist_ok=True)
    values = CONFIG | config
    mx.random.seed(7)
    model: Any = Model(ModelArgs.from_dict(values))
    used = len(vocabulary())
    first = len(SPECIAL) + 256
    row = mx.arange(values["vocab_size"])[:, None]
    letters = (row >= first) & (row < used)

    def drawn(name: str, weight: Any) -> Any:
        if weight.ndim == 1:
            return mx.zeros_like(weight)  # Gemma's norms multiply by one more than this
        value = mx.random.normal(weight.shape) * (0.15 if "embed" in name else 0.1)
        # Letters only are ever said: lone bytes would be no text, and an end comes at random.
        return mx.where(letters, value, 0) if name.startswith("lm_head") else value

    model.update(tree_map_with_path(drawn, model.parameters()))
    model.set_dtype(getattr(mx, dtype))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(values), "utf-8")
    write_tokenizer(folder)
    return folder
