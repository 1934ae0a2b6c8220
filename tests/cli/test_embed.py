"""``gemmahub embed`` with a small model of EmbeddingGemma's architecture, and its plan."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.formats.detect import open_model
from gemmahub.memory import (
    MachineMemory,
    MemoryArchitecture,
    MemorySettings,
    plan_memory,
    weights_of,
)
from gemmahub.memory.gguf_architecture import from_gguf
from gemmahub.testing.model_writer import WIDTH, write_embedding_model, write_model
from gemmahub_llamaserver.backend import LlamaServerBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "embeds-F32.gguf"
    write_embedding_model(path)
    return path


def numbers(line: str) -> list[float]:
    return [float(word) for word in line.split()]


def test_a_text_becomes_a_line_of_numbers_of_length_one(command: Command, model: Path) -> None:
    found = command("embed", model, "hello there")
    assert found.code == 0
    (line,) = found.out.splitlines()
    assert len(numbers(line)) == WIDTH
    assert math.isclose(sum(number * number for number in numbers(line)), 1, rel_tol=1e-4)


def test_each_line_of_a_pipe_is_its_own_text(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hello there\nsomething else\nhello there\n"))
    first, other, again = map(numbers, command("embed", model, "-").out.splitlines())
    assert first == again != other


def test_json_has_each_text_with_its_vector_and_what_made_it(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    found = json.loads(command("embed", model, "--json").out)
    assert [each["text"] for each in found["embeddings"]] == ["one", "two"]
    assert {len(each["vector"]) for each in found["embeddings"]} == {found["dimensions"]} == {WIDTH}
    assert found["precision"]["label"] == "F32"
    assert (found["backend"], found["context"]) == ("llama-server", 4096)


@pytest.mark.parametrize("given", ["", "one\n\ntwo\n"])
def test_a_text_that_is_none_is_refused(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    found = command("embed", model)
    assert found.code == 2
    assert "text" in found.err
    assert not found.out


def test_a_text_longer_than_the_context_is_refused_and_the_size_named(
    command: Command, model: Path
) -> None:
    found = command("embed", model, "-c", 256, "x" * 300)
    assert found.code == 4
    assert "302 tokens, but the context holds 256" in found.err
    assert "--ctx-size 768" in found.err


def test_a_model_that_writes_makes_no_vectors_and_the_other_way_round(
    command: Command, model: Path, tmp_path: Path
) -> None:
    writes = tmp_path / "writes.gguf"
    write_model(writes)
    found = command("embed", writes, "hello")
    assert found.code == 2
    assert "cannot embed" in found.err
    assert f"gemmahub run {writes}" in found.err
    found = command("run", model, "hello")
    assert found.code == 2
    assert "does not generate text" in found.err
    assert f"gemmahub embed {model} TEXT" in found.err


def test_an_engine_that_does_not_embed_is_refused(command: Command, model: Path) -> None:
    found = command("embed", model, "hello", "--backend", "llamacpp")
    assert found.code == 5
    assert "llama.cpp has no embed" in found.err


def test_a_plan_counts_what_whole_texts_take_and_no_cache(model: Path) -> None:
    header = open_model(model)
    architecture = from_gguf(header.metadata, header.tensors)
    assert isinstance(architecture, MemoryArchitecture)
    room = MachineMemory((), 1 << 34, 1 << 34)
    weights = weights_of(header.tensors)
    plan = plan_memory(architecture, weights, MemorySettings(2048, parallel=2, outputs_max=2), room)
    assert (plan.kv_cache.bytes, plan.settings.ubatch) == (0, 1024)
    assert plan.places[-1].output_bytes == 4 * architecture.vocabulary * 1024
    with LlamaServerBackend().load(
        Artifact("gguf", model), Settings(context=2048, parallel=2)
    ) as session:
        assert session.info.memory is not None
        (use,) = session.info.memory
        assert use.kv_cache_bytes == 0
        assert use.compute_bytes <= plan.places[-1].compute_bytes
