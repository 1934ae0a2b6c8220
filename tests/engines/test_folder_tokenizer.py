"""Tokens to bytes, control tokens, beginnings and ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.folder_tokenizer import Tokenizer, read_tokenizer
from gemmahub.errors import LoadFailed
from gemmahub.testing.folder_writer import CONFIG, vocabulary, write_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tokenizers", reason="the tokenizers library is missing")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    write_tokenizer(tmp_path)
    return read_tokenizer(tmp_path, CONFIG)


@pytest.mark.parametrize("text", ["Hello, world", "東京 и Париж", "😀 ", "aé😂ß\x00\t", ""])
def test_pieces_make_up_the_text(tokenizer: Tokenizer, text: str) -> None:
    """Also letters that the vocabulary lacks: they come as bytes."""
    tokens = tokenizer.tokenize(text, special=False, start=False)
    assert b"".join(map(tokenizer.piece, tokens)) == text.encode()


def test_a_letter_that_is_not_a_word_is_several_tokens(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokenize("é", special=False, start=False)
    assert [tokenizer.piece(token) for token in tokens] == [b"\xc3", b"\xa9"]


def test_control_tokens_have_no_text_and_count_only_where_asked(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokenize("<end_of_turn>", special=True, start=False) == [5]
    assert len(tokenizer.tokenize("<end_of_turn>", special=False, start=False)) > 5
    assert tokenizer.piece(5) == b""
    assert tokenizer.control_texts("a <bos> b <end_of_turn>") == {"<bos>", "<end_of_turn>"}


def test_the_beginning(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert tokenizer.tokenize("a", special=True, start=True)[0] == 2
    assert (tokenizer.bos, tokenizer.eos) == ("<bos>", "<eos>")
    data = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    data["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    assert read_tokenizer(tmp_path, CONFIG).tokenize("a", special=True, start=True)[0] != 2
    settings = {"bos_token": "<bos>", "add_bos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    assert read_tokenizer(tmp_path, CONFIG).tokenize("a", special=True, start=True)[0] == 2


def test_ends_come_from_every_place_that_names_them(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    plain = read_tokenizer(tmp_path, {})
    assert [number for number in range(20) if plain.is_end(number)] == [1, 5]  # <eos>, end of turn
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [1, 9]}', "utf-8")
    found = read_tokenizer(
        tmp_path, {"eos_token_id": 7, "text_config": {"eos_token_id": [8, True]}}
    )
    assert [number for number in range(20) if found.is_end(number)] == [1, 5, 7, 8, 9]


def test_surrogates_are_taken(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokenize("a\ud800b", special=True, start=False)
    assert b"".join(map(tokenizer.piece, tokens)) == b"a?b"


def test_a_byte_level_vocabulary(tmp_path: Path) -> None:
    """As GPT-2 has it: each byte is written as a letter."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(letters)}
    made = Library(models.BPE(vocab=words, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = read_tokenizer(tmp_path, {})
    text = "a é 東 😀\n"
    tokens = tokenizer.tokenize(text, special=True, start=False)
    assert b"".join(map(tokenizer.piece, tokens)) == text.encode()


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"version": "1.0"}'])
def test_a_folder_without_a_usable_tokenizer(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(LoadFailed, match=r"tokenizer\.json"):
        read_tokenizer(tmp_path, CONFIG)


def test_the_vocabulary_of_the_tests_is_complete() -> None:
    assert sorted(vocabulary().values()) == list(range(len(vocabulary())))
    assert len(vocabulary()) <= CONFIG["vocab_size"]
