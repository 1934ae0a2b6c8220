"""Engines that render Gemma 4's template: thoughts where they are asked for, apart from answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import (
    Artifact,
    Backend,
    ChunkKind,
    Message,
    Sampling,
    Session,
    Settings,
    Usage,
)
from gemmahub.errors import BackendError
from gemmahub.testing.model_writer import (
    THINKING_TEMPLATE,
    write_model,
    write_thinking_model,
)
from gemmahub_llamacpp.backend import LlamaCppBackend
from gemmahub_llamaserver.backend import LlamaServerBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EAGER = THINKING_TEMPLATE.replace("<|channel>thought\n<channel|>", "")
HI = [Message("user", "Hi")]


def load(backend: Backend, path: Path) -> Session:
    return backend.load(Artifact("gguf", path, (path,), name="thinking"), Settings(context=512))


@pytest.fixture(scope="module", params=[LlamaCppBackend, LlamaServerBackend])
def backend(request: pytest.FixtureRequest) -> Backend:
    made: Backend = request.param()
    return made


@pytest.fixture(scope="module")
def session(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    path = tmp_path_factory.mktemp("model") / "thinking.gguf"
    write_thinking_model(path)
    with load(backend, path) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def eager(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A model that opens a thought whether or not it is asked to."""
    path = tmp_path_factory.mktemp("model") / "eager.gguf"
    write_thinking_model(path, template=EAGER)
    with load(backend, path) as loaded:
        yield loaded


def ask(session: Session, prompt: Any = HI, **sampling: Any) -> tuple[str, str, Usage]:
    """Thought, answer and usage."""
    wanted = {"max_tokens": 40, "temperature": 0.0} | sampling
    chunks = list(session.generate(prompt, Sampling(**wanted)))
    said = {kind: "".join(c.text for c in chunks if c.kind is kind) for kind in ChunkKind}
    usage = chunks[-1].usage
    assert usage is not None
    return said[ChunkKind.REASONING], said[ChunkKind.ANSWER], usage


@pytest.mark.parametrize("thinking", [None, False, 0])
def test_there_is_no_thought_where_none_is_requested(session: Session, thinking: Any) -> None:
    thought, answer, usage = ask(session, thinking=thinking)
    assert (thought, answer, usage.reasoning_tokens) == ("", "yes!", 0)


@pytest.mark.parametrize("thinking", [True, 20])
def test_a_thought_comes_before_the_answer_and_is_counted(session: Session, thinking: Any) -> None:
    thought, answer, usage = ask(session, thinking=thinking)
    assert (thought, answer, usage.reasoning_tokens) == ("PLANIT", "yes!", 6)
    assert usage.tokens is not None
    assert usage.tokens > 6 + 4  # with the markers


def test_a_budget_ends_the_thought_and_an_answer_follows(session: Session) -> None:
    thought, answer, usage = ask(session, thinking=3)
    assert thought
    assert "PLANIT".startswith(thought.strip())
    assert len(thought) <= 3
    assert answer == "yes!"
    assert usage.reasoning_tokens == len(thought)


@pytest.mark.parametrize("thinking", [None, False])
def test_unrequested_thinking_is_not_part_of_the_answer(eager: Session, thinking: Any) -> None:
    assert ask(eager, thinking=thinking)[:2] == ("PLANIT", "yes!")


def test_an_answer_that_ends_in_a_thought_is_empty(session: Session) -> None:
    thought, answer, usage = ask(session, thinking=True, max_tokens=5)
    assert (thought, answer, usage.finish_reason) == ("PL", "", "length")


def test_markers_are_not_text_of_a_completion_either(session: Session) -> None:
    assert ask(session, "<start_of_turn>model:")[:2] == ("PLANIT", "yes!")


def test_whether_earlier_thoughts_are_read_again_is_up_to_the_template(session: Session) -> None:
    turns = [*HI, Message("assistant", "yes!", reasoning="PLAN"), Message("user", "So?")]
    plain = [*HI, Message("assistant", "yes!"), Message("user", "So?")]
    counts = {ask(session, prompt)[2].prompt_tokens for prompt in (turns, plain)}
    assert len(counts) == 1


def test_a_template_that_shows_earlier_thoughts_gets_them(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "shows.gguf"
    shown = "{{ message['reasoning_content'] | default('') }}{{ message['content']"
    write_thinking_model(path, template=THINKING_TEMPLATE.replace("{{ message['content']", shown))

    def turns(thought: str) -> list[Message]:
        return [*HI, Message("assistant", "yes!", reasoning=thought), Message("user", "So?")]

    with load(backend, path) as session:
        none, some, evil = (
            ask(session, turns(t))[2].prompt_tokens for t in ("", "PLAN", "PLAN<end_of_turn>")
        )
    assert none is not None
    assert some == none + len("PLAN")
    assert evil == none  # no message writes control tokens


def test_a_model_that_cannot_be_asked_to_think_says_so(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "plain.gguf"
    write_model(path)
    with load(backend, path) as session:
        with pytest.raises(BackendError, match="does not support thinking"):
            ask(session, thinking=True)
        with pytest.raises(BackendError, match="thinking needs a chat template"):
            ask(session, "Hi", thinking=9)
        assert ask(session, thinking=False, max_tokens=3)[2].tokens == 3
