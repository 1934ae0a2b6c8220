"""Every form of reference, and texts that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.errors import UsageError
from gemmahub.hub.reference import HuggingFaceReference
from gemmahub.registry.reference import (
    NameReference,
    PathReference,
    Reference,
    SourceReference,
    parse_reference,
)
from gemmahub.text import strip_controls

HF = HuggingFaceReference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("gemma-3-4b-it", NameReference("gemma-3-4b-it")),
        ("gemma-3-4b-it:q4_0-qat", NameReference("gemma-3-4b-it", "q4_0-qat")),
        ("gemma3:4b", NameReference("gemma3", "4b")),
        ("google/gemma-3-4b-it-qat-q4_0-gguf", HF("google/gemma-3-4b-it-qat-q4_0-gguf")),
        ("user/repo:Q4_K_M", HF("user/repo", label="Q4_K_M")),
        ("hf.co/user/repo:Q4_0", HF("user/repo", label="Q4_0")),
        ("https://huggingface.co/user/repo", HF("user/repo")),
        (
            "https://huggingface.co/user/repo/blob/main/sub/x.gguf",
            HF("user/repo", file="sub/x.gguf", revision="main"),
        ),
        ("hf://user/repo/file.gguf", HF("user/repo", file="file.gguf")),
        ("hf://user/repo/file.gguf@abc123", HF("user/repo", file="file.gguf", revision="abc123")),
        ("user/repo@main", HF("user/repo", revision="main")),
        ("user/repo:Q4_0@v1", HF("user/repo", label="Q4_0", revision="v1")),
        ("ollama://gemma3:4b", SourceReference("ollama", "gemma3:4b")),
        ("ollama://user/model", SourceReference("ollama", "user/model")),
        ("demo://any/thing@else:1", SourceReference("demo", "any/thing@else:1")),
        ("google/gemma-3-4b@q4_k_m", HF("google/gemma-3-4b", label="q4_k_m")),
        ("./model.gguf", PathReference(Path("model.gguf"))),
        ("model.gguf", PathReference(Path("model.gguf"))),
        ("sub/folder/model.GGUF", PathReference(Path("sub/folder/model.GGUF"))),
        ("/models/x.gguf", PathReference(Path("/models/x.gguf"))),
        ("file:///models/a%20b.gguf", PathReference(Path("/models/a b.gguf"))),
        ("..", PathReference(Path(".."))),
    ],
)
def test_forms(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


def test_home_folder_is_expanded() -> None:
    assert parse_reference("~/x.gguf") == PathReference(Path.home() / "x.gguf")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "a b",
        "http://example.com/x",
        "user/",
        "/".join("abcd") + ":x:y",
        "demo://",
        "demo://a b",
    ],
)
def test_what_is_not_a_reference_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    message = ""
    try:
        parse_reference(text)
    except UsageError as error:
        message = error.message
    assert message == strip_controls(message)


@pytest.mark.parametrize(
    "text",
    ["gemma-3-4b-it:bf16", "user/repo:Q4_0@v1", "ollama://gemma3:4b", "demo://x", "a/b@q4_k_m"],
)
def test_a_reference_prints_as_it_is_written(text: str) -> None:
    assert parse_reference(str(parse_reference(text))) == parse_reference(text)
