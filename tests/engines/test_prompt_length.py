"""Prompts that cannot fit are refused before tokens are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Message, SessionInfo, Settings
from gemmahub.engines.prompt_length import LONGEST_TOKEN, check_text
from gemmahub.errors import ContextExceeded
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile

if TYPE_CHECKING:
    from pathlib import Path


def info(context: int | None, trained: int | None = None) -> SessionInfo:
    return SessionInfo(
        engine="x", context=context, context_trained=trained, chat_template=True, device="CPU",
        settings=Settings(),
    )  # fmt: skip


def test_a_text_of_more_tokens_than_the_context_however_they_are_cut() -> None:
    text = "word " * 100_000  # 400,000 bytes without the spaces
    with pytest.raises(ContextExceeded, match=r"more than 6,250 tokens \(400 KB\)") as caught:
        check_text(text, info(4096))
    assert "--ctx-size 6656" in caught.value.hint
    with pytest.raises(ContextExceeded) as caught:
        check_text([Message("user", text)], info(4096, trained=4096))
    assert "trained for 4,096" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["x" * LONGEST_TOKEN * 4097, "é" * LONGEST_TOKEN * 2050, "\ud800" * 64 * 4097]
)
def test_the_bound_counts_bytes(text: str) -> None:
    with pytest.raises(ContextExceeded):
        check_text(text, info(4096))


@pytest.mark.parametrize("text", ["", "x" * LONGEST_TOKEN * 4096, " \n" * 10_000_000])
def test_what_may_fit_is_left_to_the_engine(text: str) -> None:
    check_text(text, info(4096))
    check_text([Message("system", ""), Message("user", text)], info(4096))


def test_a_context_that_is_not_known_bounds_nothing() -> None:
    check_text("x" * 10_000_000, info(None))


def test_no_token_of_gemma_is_longer(real_model: Path) -> None:
    with LocalFile(real_model) as source:
        words = read_gguf(source).read_array(source, "tokenizer.ggml.tokens")
    assert len(words) == 262_144
    lengths = [len(str(word).replace("▁", "").encode("utf-8", "replace")) for word in words]
    assert max(lengths) <= LONGEST_TOKEN
