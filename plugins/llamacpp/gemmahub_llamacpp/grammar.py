"""Answers that keep to a grammar, or to a JSON schema made into one, by llama.cpp's own sampler."""

from __future__ import annotations

import ctypes
import json
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormRefused
from gemmahub.text import one_line
from gemmahub_llamacpp.engine import library

if TYPE_CHECKING:
    from gemmahub.engines.contract import Sampling

_ROOT: Final = b"root"


def grammar_of(sampling: Sampling) -> str | None:
    """The grammar, in llama.cpp's own notation, that an answer keeps to; None where it is free.

    Raises: FormRefused for a schema that cannot be made into one.
    """
    if sampling.schema is None:
        return sampling.grammar
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        found: str = json_schema_to_gbnf(json.dumps(dict(sampling.schema)))
    except Exception as error:  # noqa: BLE001 - another's code, and a schema can be anything
        said = one_line(str(error), 200) or type(error).__name__
        raise FormRefused(
            f"llama.cpp cannot constrain an answer to this schema or grammar: {said}",
            "simplify it, or use --backend llama-server",
        ) from None
    return found


class Grammar:
    """Which tokens may come next. Whoever makes it frees its ``sampler``."""

    def __init__(self, vocab: Any, text: str) -> None:
        """Raises: FormRefused for what is no grammar."""
        self._llama = library()
        self.sampler = self._llama.llama_sampler_init_grammar(vocab, text.encode(), _ROOT)
        if not self.sampler:
            raise FormRefused(
                "llama.cpp cannot use this grammar: it is invalid or too large",
                "write it in GBNF, with a rule named root",
            )
        self._token = self._llama.llama_token_data()
        self._alone = self._llama.llama_token_data_array(
            data=ctypes.pointer(self._token), size=1, selected=-1, sorted=False
        )

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        self._token.id, self._token.logit = token, 1.0
        self._llama.llama_sampler_apply(self.sampler, ctypes.byref(self._alone))
        return bool(self._token.logit == 1.0)

    def accept(self, token: int) -> None:
        """Go on behind a token that it allows."""
        self._llama.llama_sampler_accept(self.sampler, token)
