"""What the shapes of a checkpoint do not say, by model: the only place here that names a family.

Source: ``gemma/gm/nn/_gemma.py`` of google-deepmind/gemma 4.0.1; the contexts that models were
trained for: the model cards (ai.google.dev/gemma/docs/core/model_card_3 and _2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_KEYS: Final = ("sliding_window", "layer_types", "sliding_window_pattern")
"""Of a ``config.json``, what a model with windows has to say."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a model computes. ``pattern``: every so many layers one is global, 1 for all of them;
    ``global_types`` says it layer by layer where it is no pattern. ``query_scalar`` is the number
    whose root divides the queries. ``tokenizer`` is the library's version of it."""

    tokenizer: int
    window: int | None = None
    pattern: int = 1
    global_types: tuple[bool, ...] = ()
    query_scalar: float | None = None
    attention_cap: float | None = None
    output_cap: float | None = None
    local_base: float = 10_000
    global_base: float = 10_000
    global_scale: float = 1.0
    context: int = 0

    def is_global(self, layer: int) -> bool:
        """Whether a layer sees all of the context."""
        if self.global_types:
            return self.global_types[layer]
        return layer % self.pattern == self.pattern - 1


_FIRST: Final = Habits(2, context=8192)
_SECOND: Final = Habits(
    2, window=4096, pattern=2, attention_cap=50.0, output_cap=30.0, context=8192
)
_THIRD: Final = Habits(3, window=512, pattern=6, global_base=1_000_000, context=32_768)
_THIRD_LARGE: Final = Habits(
    3, window=1024, pattern=6, global_base=1_000_000, global_scale=8.0, context=131_072
)
# Architecture, layers and width tell the published models apart.
_PUBLISHED: Final[dict[tuple[str, int, int], Habits]] = {
    ("gemma", 18, 2048): _FIRST,
    ("gemma", 28, 3072): _FIRST,
    ("gemma2", 26, 2304): _SECOND,
    ("gemma2", 42, 3584): _SECOND,
    ("gemma2", 46, 4608): Habits(
        2,
        window=4096,
        pattern=2,
        query_scalar=144,
        attention_cap=50.0,
        output_cap=30.0,
        context=8192,
    ),
    ("gemma3", 18, 640): _THIRD,
    ("gemma3", 26, 1152): _THIRD,
    ("gemma3", 34, 2560): _THIRD_LARGE,
    ("gemma3", 48, 3840): _THIRD_LARGE,
    ("gemma3", 62, 5376): Habits(
        3,
        window=1024,
        pattern=6,
        query_scalar=168,
        global_base=1_000_000,
        global_scale=8.0,
        context=131_072,
    ),
}
_BY_NORMS: Final = {(False, False): "gemma", (True, False): "gemma2", (True, True): "gemma3"}
_TOKENIZERS: Final = {"gemma": 2, "gemma2": 2, "gemma3": 3}
TOKENIZER_FILES: Final = ("tokenizer.model", "tokenizer_gemma3.model", "tokenizer_gemma2.model")
"""As Kaggle and Google's storage call the tokenizer."""
BASES: Final = {"gemma": 10_000.0, "gemma2": 10_000.0, "gemma3": 1_000_000.0}

TEMPLATE: Final = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""Turns as all of these families have them; checkpoints carry no template. Source: ``dialog``'s
format for these models, which ``gm.text.ChatSampler`` writes, and the documentation at
ai.google.dev/gemma/docs/core/prompt-structure. What is refused as a system message, gemmahub puts
before the first question."""


def architecture_of(*, post_norms: bool, query_norm: bool) -> str:
    """The family that has these norms, as llama.cpp calls it; empty for none."""
    return _BY_NORMS.get((post_norms, query_norm), "")


def habits_of(
    architecture: str, layers: int, width: int, config: Mapping[str, Any]
) -> Habits | None:
    """Of a published model by its shape; of others by a ``config.json`` in Transformers' words.

    None where neither says it.
    """
    known = _PUBLISHED.get((architecture, layers, width))
    return known or _of_config(architecture, layers, config)


def _of_config(architecture: str, layers: int, config: Mapping[str, Any]) -> Habits | None:
    inner = config.get("text_config")
    said = {**config, **inner} if isinstance(inner, dict) else config
    types, window = said.get("layer_types"), said.get("sliding_window")
    kinds: tuple[bool, ...] = ()
    pattern = said.get("sliding_window_pattern", said.get("_sliding_window_pattern", 1))
    if isinstance(types, list):
        kinds = tuple(kind == "full_attention" for kind in types)
        if len(kinds) != layers:
            return None
    if not said or type(pattern) is not int or pattern < 1:
        return None
    if (pattern > 1 or not all(kinds)) and (type(window) is not int or window < 1):
        return None
    scaling = said.get("rope_scaling")
    return Habits(
        tokenizer=_TOKENIZERS[architecture],
        window=window if type(window) is int else None,
        pattern=pattern,
        global_types=kinds,
        query_scalar=_number(said, "query_pre_attn_scalar"),
        attention_cap=_number(said, "attn_logit_softcapping"),
        output_cap=_number(said, "final_logit_softcapping"),
        local_base=_number(said, "rope_local_base_freq") or 10_000.0,
        global_base=_number(said, "rope_theta") or BASES[architecture],
        global_scale=(_number(scaling, "factor") if isinstance(scaling, dict) else None) or 1.0,
        context=int(_number(said, "max_position_embeddings") or 0),
    )


def _number(said: Mapping[str, Any], key: str) -> float | None:
    """A number from 0 to 2**40 that is not 0; None for anything else."""
    value = said.get(key)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 2**40
    return value if fits else None
