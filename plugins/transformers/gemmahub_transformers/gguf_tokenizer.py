"""The tokenizer of a GGUF file, as Transformers' own reader makes it of the file's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.engines.folder_tokenizer import Tokenizer
from gemmahub.errors import LoadFailed
from gemmahub.text import one_line
from gemmahub_transformers.engine import how_to_install
from gemmahub_transformers.model import LOCAL, refused, source

if TYPE_CHECKING:
    from gemmahub_transformers.engine import TorchModules
    from gemmahub_transformers.header import CheckpointHeader


def read_gguf_tokenizer(library: TorchModules, header: CheckpointHeader) -> Tokenizer:
    """Raises: LoadFailed."""
    where, named = source(header)
    try:
        made: Any = library.transformers.AutoTokenizer.from_pretrained(where, **named, **LOCAL)
        words = made.backend_tokenizer
    except ImportError as error:
        raise LoadFailed(
            f"Transformers needs a package to read GGUF files: {one_line(str(error), 200)}",
            f"{how_to_install('gguf')}, or use llama.cpp for it",
        ) from None
    except Exception as error:  # noqa: BLE001 - the library raises what its parts raise
        raise refused(library, header, error) from None
    settings = {
        "bos_token": str(made.bos_token or ""),
        "eos_token": str(made.eos_token or ""),
        "add_bos_token": header.config.get("tokenizer.ggml.add_bos_token") is not False,
    }
    template = made.chat_template if isinstance(made.chat_template, str) else None
    ends = [] if made.eos_token_id is None else [int(made.eos_token_id)]
    return Tokenizer(words, settings, template, ends)
