"""Thoughts and calls of a model that says a chain of words, whatever its weights are."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import (
    Artifact,
    ChunkKind,
    FinishReason,
    Message,
    Sampling,
    Settings,
    Tool,
)
from gemmahub.errors import BackendError
from gemmahub.testing.folder_writer import vocabulary, write_model_folder
from gemmahub.testing.model_writer import THINKING_TEMPLATE, TOOLS_TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub_mlx.backend import MlxBackend
    from gemmahub_mlx.session import MlxSession

WORDS = ("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "call:look_up{on:")
MARKERS = {word: number for number, word in enumerate(WORDS, len(vocabulary()))}
CHAIN = (":", "<|channel>", *"PLANIT", "<channel|>", *"yes!", "<end_of_turn>")
CALL = (":", "<|tool_call>", "call:look_up{on:", "8", "}", "<tool_call|>", "<end_of_turn>")


class ChainModel:
    """The likeliest word after each of the chain is the next; the cache is the real model's."""

    def __init__(self, model: Any, chain: tuple[str, ...]) -> None:
        self._model = model
        words = vocabulary() | MARKERS
        self._next = {words[a]: words[b] for a, b in pairwise(chain)}

    def __call__(self, tokens: Any, cache: Any) -> Any:
        import mlx.core as mx

        logits = self._model(tokens, cache=cache)
        rows = [self._next.get(token, 0) for token in tokens[0].tolist()]
        return 0 * logits + mx.array([[[10.0 * (w == row) for w in range(512)] for row in rows]])


@pytest.fixture(params=[(THINKING_TEMPLATE, CHAIN)])
def session(
    request: pytest.FixtureRequest, backend: MlxBackend, tmp_path: Path
) -> Iterator[MlxSession]:
    template, chain = request.param
    folder = write_model_folder(tmp_path / "thinking", template=template)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    usual = tokenizer["added_tokens"][0]
    for word, number in MARKERS.items():
        added = {**usual, "id": number, "content": word, "special": word.startswith("<")}
        tokenizer["added_tokens"].append(added)
        tokenizer["model"]["vocab"][word] = number
    path.write_text(json.dumps(tokenizer), "utf-8")
    artifact = Artifact("mlx", folder, (folder / "model.safetensors",), name="thinking")
    with backend.load(artifact, Settings(context=512)) as loaded:
        loaded._model = ChainModel(loaded._model, chain)
        yield loaded


def ask(session: MlxSession, thinking: Any) -> tuple[str, str, int | None]:
    """Thought, answer, and tokens of the thought."""
    sampling = Sampling(temperature=0.0, max_tokens=40, thinking=thinking)
    chunks = list(session.generate([Message("user", "Hi")], sampling))
    said = {kind: "".join(c.text for c in chunks if c.kind is kind) for kind in ChunkKind}
    assert chunks[-1].usage is not None
    return said[ChunkKind.REASONING], said[ChunkKind.ANSWER], chunks[-1].usage.reasoning_tokens


def test_thoughts_are_apart_from_answers_and_have_a_budget(session: MlxSession) -> None:
    assert ask(session, False) == ("", "yes!", 0)
    thought, answer, tokens = ask(session, True)
    assert (thought, answer) == ("PLANIT", "yes!")
    assert tokens is not None
    assert tokens > 3
    thought, answer, tokens = ask(session, 3)
    assert "PLANIT".startswith(thought)
    assert len(thought) < 6
    assert (answer, tokens) == ("yes!", 3)


def test_a_model_that_cannot_be_asked_to_think_says_so(backend: MlxBackend, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "plain")
    artifact = Artifact("mlx", folder, (folder / "model.safetensors",), name="plain")
    with (
        backend.load(artifact, Settings(context=512)) as session,
        pytest.raises(BackendError, match="does not support thinking"),
    ):
        ask(session, True)


@pytest.mark.parametrize("session", [(TOOLS_TEMPLATE, CALL)], indirect=True)
def test_a_call_comes_whole_where_there_are_tools(session: MlxSession) -> None:
    asked = [Message("user", "Hi")]
    tool = Tool("look_up", "", {"type": "object"})
    with_tool, without = (Sampling(temperature=0.0, max_tokens=9, tools=t) for t in ((tool,), ()))
    *_, call, last = session.generate(asked, with_tool)
    assert call.tool_call is not None
    assert (call.tool_call.name, call.tool_call.values()) == ("look_up", {"on": 8})
    assert last.usage is not None
    assert last.usage.finish_reason is FinishReason.TOOL_CALLS
    assert all(chunk.tool_call is None for chunk in session.generate(asked, without))
