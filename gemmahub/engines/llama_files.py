"""What llama.cpp refuses to load, told from a header: for all engines that are built on it.

Source: ggml-org/llama.cpp@0c1e57098, ``ggml/src/gguf.cpp`` (byte order),
``src/llama-model-loader.cpp`` (types of keys, number of tensors), ``src/llama-model.cpp``
(``load_hparams``: keys that must be there) and ``src/llama-arch.cpp`` (architectures).
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Loadable
from gemmahub.formats.ggml_types import GGML_TYPES_BY_NAME
from gemmahub.formats.gguf_values import PRE_TOKENIZER, VOCABULARY_KIND, VOCABULARY_LISTS
from gemmahub.memory import known_build
from gemmahub.memory.builds import SERVER_BUILD
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gemmahub.formats.reader import ModelFile

ARCHITECTURES: Final = frozenset(
    [
        "llama",
        "llama4",
        "deci",
        "falcon",
        "grok",
        "gpt2",
        "gptj",
        "gptneox",
        "mpt",
        "baichuan",
        "starcoder",
        "refact",
        "bert",
        "modern-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "eurobert",
        "bloom",
        "stablelm",
        "qwen",
        "qwen2",
        "qwen2moe",
        "qwen2vl",
        "qwen3",
        "qwen3moe",
        "qwen3next",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen4exp",
        "phi2",
        "phi3",
        "phimoe",
        "plamo",
        "plamo2",
        "plamo3",
        "codeshell",
        "orion",
        "internlm2",
        "minicpm",
        "minicpm3",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3n",
        "gemma4",
        "gemma4-assistant",
        "gemma-embedding",
        "starcoder2",
        "mamba",
        "mamba2",
        "maple",
        "jamba",
        "falcon-h1",
        "xverse",
        "command-r",
        "cohere2",
        "cohere2moe",
        "dbrx",
        "olmo",
        "olmo2",
        "olmoe",
        "muse-glimmer",
        "openelm",
        "arctic",
        "deepseek",
        "deepseek2",
        "deepseek2-ocr",
        "deepseek32",
        "deepseek4",
        "chatglm",
        "glm4",
        "glm4moe",
        "glm-dsa",
        "bitnet",
        "t5",
        "t5encoder",
        "jais",
        "jais2",
        "nemotron",
        "nemotron_h",
        "nemotron_h_moe",
        "exaone",
        "exaone4",
        "exaone-moe",
        "rwkv6",
        "rwkv6qwen2",
        "rwkv7",
        "arwkv7",
        "granite",
        "granitemoe",
        "granitehybrid",
        "graniteswitch",
        "granite_swa",
        "chameleon",
        "wavtokenizer-dec",
        "plm",
        "bailingmoe",
        "bailingmoe2",
        "bailingmoe3",
        "dots1",
        "dots3note",
        "arcee",
        "afmoe",
        "laguna",
        "ernie4_5",
        "ernie4_5-moe",
        "hunyuan-moe",
        "hunyuan-dense",
        "hunyuan_vl",
        "hy_v3",
        "hy_v4",
        "smollm3",
        "gpt-oss",
        "lfm2",
        "lfm2moe",
        "dream",
        "smallthinker",
        "llada",
        "llada-moe",
        "seed_oss",
        "grovemoe",
        "apertus",
        "minimax-01",
        "hrm_text",
        "minimax-m2",
        "minimax-m3",
        "cogvlm",
        "rnd1",
        "pangu-embedded",
        "mistral3",
        "eagle3",
        "dflash",
        "mistral4",
        "paddleocr",
        "mimo2",
        "step35",
        "spark2_5",
        "llama-embed",
        "maincoder",
        "kimi-linear",
        "kimi-k3",
        "glm5-next",
        "talkie",
        "mellum",
        "nanbeige",
        "qwen3tts",
        "pockettts",
    ]
)
"""What the checked build of llama-cpp-python knows."""

_NEWER: Final = frozenset(("clef", "gemma-embedding2", "k2-horizon"))
"""What the checked llama-server knows besides."""

_RMS_NORMED: Final = frozenset(
    [
        "afmoe",
        "apertus",
        "arcee",
        "arctic",
        "baichuan",
        "bailingmoe",
        "bailingmoe2",
        "bitnet",
        "chatglm",
        "cogvlm",
        "deci",
        "deepseek",
        "deepseek2",
        "dots1",
        "dream",
        "ernie4_5",
        "exaone",
        "exaone4",
        "falcon-h1",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3n",
        "gemma4",
        "gemma4-assistant",
        "gemma-embedding",
        "glm4",
        "glm4moe",
        "granite",
        "granitemoe",
        "grok",
        "internlm2",
        "llada",
        "llama",
        "llama4",
        "minicpm",
        "mistral3",
        "olmo2",
        "olmoe",
        "phi3",
        "phimoe",
        "qwen",
        "qwen2",
        "qwen2moe",
        "qwen3",
        "qwen3moe",
        "qwen3next",
        "qwen3vl",
        "seed_oss",
        "smollm3",
        "xverse",
    ]
)
_DENSE: Final = ("gemma-embedding",)
_MERGED: Final = ("gpt2", "hybriddna", "whitespace", "gemma4")
_VOCABULARIES: Final = frozenset((*_MERGED, "llama", "bert", "t5", "rwkv", "plamo2", "test"))
NO_VOCABULARY: Final = ("no_vocab", "none")
"""Kinds of a vocabulary that is not there: such a file is loaded, and its first text aborts."""
_LEAST_ALIGNMENT: Final = 32  # GGML_MEM_ALIGN: of the buffers that tensors are put into
_PICTURES: Final = re.compile(r"(?:v|a|mm)\.")
_ANOTHER: Final = "use another file of the model: see gemmahub search"


def llama_cpp_loads(header: ModelFile, commit: Callable[[], str]) -> Loadable:
    """Whether a llama.cpp can load a GGUF file with this header; ``commit`` tells its build, ""
    where it is not known, and is asked about architectures that not all builds know."""
    reason = _reason(header, commit)
    return Loadable(not reason, reason, _ANOTHER if reason else "")


def _reason(header: ModelFile, commit: Callable[[], str]) -> str:
    """Why it cannot, as a sentence about "it"; "" where nothing speaks against it."""
    keys = header.metadata
    architecture = keys.get("general.architecture")
    if header.big_endian != (sys.byteorder == "big"):
        return f"its numbers are {'big' if header.big_endian else 'little'}-endian"
    if not isinstance(architecture, str) or not architecture:
        return "its header names no architecture"
    if architecture not in ARCHITECTURES and architecture not in (
        _known(commit()) or (architecture,)
    ):
        return f"its architecture {one_line(architecture, 60)} is unknown to this build"
    alignment = keys.get("general.alignment", _LEAST_ALIGNMENT)
    if not isinstance(alignment, int) or alignment % _LEAST_ALIGNMENT:
        return f"its tensors are aligned to {alignment} B instead of {_LEAST_ALIGNMENT} B"
    file_type = keys.get("general.file_type", 0)
    if not isinstance(file_type, int):
        return "general.file_type is not a number"
    odd = next((t for t in header.tensors if t.type not in GGML_TYPES_BY_NAME), None)
    if odd is not None:
        return f"it has tensors stored as {one_line(odd.type, 60)}, which llama.cpp does not read"
    inside = next((t for t in header.tensors if _PICTURES.match(t.name)), None)
    if inside is not None:
        name = one_line(inside.name, 60)
        return f"its image encoder is inside the file ({name}), which only Ollama supports"
    return _missing(architecture, keys) or _wordless(keys, commit)


def _missing(architecture: str, keys: Mapping[str, Any]) -> str:
    if f"{architecture}.dense_2_feat_out" in keys and architecture not in _DENSE:
        return f"it has dense layers, which llama.cpp reads for {' and '.join(_DENSE)} only"
    wanted = ["context_length", "embedding_length", "block_count"]
    if architecture in _RMS_NORMED:
        wanted.append("attention.layer_norm_rms_epsilon")
    for name in wanted:
        value = keys.get(f"{architecture}.{name}")
        if value is None:
            return f"its header lacks {architecture}.{name}"
        if not isinstance(value, int | float):
            return f"{architecture}.{name} is not a number"
    return ""


def _wordless(keys: Mapping[str, Any], commit: Callable[[], str]) -> str:
    """What is missing of its vocabulary (``src/llama-vocab.cpp``, ``llama_vocab::impl::load``)."""
    kind = keys.get(VOCABULARY_KIND)
    if kind in NO_VOCABULARY:
        return ""  # its memory can be asked for
    if not isinstance(kind, str):
        return f"its vocabulary is missing ({VOCABULARY_KIND})"
    if kind not in _VOCABULARIES and _known(commit()):
        return f"its vocabulary is of a kind that llama.cpp does not know: {one_line(kind, 60)}"
    words, merges = VOCABULARY_LISTS
    if words not in keys:
        return f"the tokens of its vocabulary are missing ({words})"
    if kind in _MERGED and merges not in keys and keys.get(PRE_TOKENIZER) != "kimi-k2":
        return f"its vocabulary has no merges ({merges})"
    return ""


def _known(commit: str) -> frozenset[str] | None:
    """The architectures of a build; None of one that was not looked at."""
    build = known_build(commit) if commit else None
    if build is None:
        return None
    return ARCHITECTURES | _NEWER if build is SERVER_BUILD else ARCHITECTURES
