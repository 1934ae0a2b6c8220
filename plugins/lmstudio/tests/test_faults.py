"""What goes wrong with a server, a key, a name: each is one clear error, and nothing hangs."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import FinishReason, Message, Sampling, Settings
from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    BackendMissing,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
)
from gemmahub.testing.conformance.kit import WholeAnswer, read
from gemmahub_lmstudio.backend import LMStudioBackend
from gemmahub_openai.faults import is_too_long
from plugins.lmstudio.tests import recorded
from plugins.lmstudio.tests.conftest import KEY, entry_of, told

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, Session
    from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

BACKEND = LMStudioBackend()
SMALL = Settings(context=64)


def ask(
    session: Session, text: str = "one two three four five", most: int | None = 16
) -> WholeAnswer:
    return read(session.generate([Message("user", text)], Sampling(max_tokens=most)))


# --- the server --------------------------------------------------------------------------------


def test_no_server(studio: FakeLMStudio, artifact: Artifact) -> None:
    studio.close()
    answer = BACKEND.availability()
    assert not answer.ok
    assert "no server answers at lmstudio (127.0.0.1:" in answer.reason
    assert "lms server start" in answer.hint
    with pytest.raises(BackendMissing) as caught:
        BACKEND.load(artifact, SMALL)
    assert "plugins.lmstudio.url" in caught.value.hint
    with pytest.raises(BackendMissing):
        BACKEND.served(1.0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("web page", "answers with a web page"),
        ("half JSON", "invalid answer"),
    ],
)
def test_a_server_that_is_not_lm_studio(
    studio: FakeLMStudio, artifact: Artifact, fault: str, said: str
) -> None:
    studio.fault = fault
    assert said in BACKEND.availability().reason
    for call in (
        BACKEND.loaded,
        lambda: BACKEND.served(1.0),
        lambda: BACKEND.load(artifact, SMALL),
    ):
        with pytest.raises(BackendError, match=said):
            call()


def test_wrong_kinds_are_left_out(studio: FakeLMStudio) -> None:
    studio.fault = "wrong kinds"
    assert [model.name for model in BACKEND.served(1.0)] == ["k"]
    assert BACKEND.loaded() == []


def test_a_silent_server_is_not_waited_for(studio: FakeLMStudio) -> None:
    studio.fault = "silent"
    began = monotonic()
    answer = BACKEND.availability()
    assert not answer.ok
    assert "did not answer in time" in answer.reason
    assert monotonic() - began < 2.5


@pytest.mark.parametrize(("sent", "said"), [("", "asks for a key"), ("wrong", "refuses the key")])
def test_a_key_that_is_missing_or_wrong(
    studio: FakeLMStudio, artifact: Artifact, sent: str, said: str
) -> None:
    studio.key = "right"
    told(studio, sent)
    answer = BACKEND.availability()
    assert said in answer.reason
    assert "LM_API_TOKEN" in answer.hint
    with pytest.raises(BackendError, match=said):
        BACKEND.load(artifact, SMALL)
    told(studio, "right")
    with BACKEND.load(artifact, SMALL) as session:
        assert ask(session).text


def test_a_key_is_not_shown(studio: FakeLMStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_API_TOKEN", "very-secret")
    studio.key = "another"
    answer = BACKEND.availability()
    assert "very-secret" not in repr(answer)


@pytest.mark.parametrize("url", ["http://user:pw@host", "ftp://host", "a b"])
def test_an_address_that_is_none(studio: FakeLMStudio, url: str) -> None:
    studio.address = url
    told(studio)
    answer = BACKEND.availability()
    assert answer.reason == "the setting plugins.lmstudio.url is not a server address"


# --- loading -----------------------------------------------------------------------------------


def test_a_model_that_it_does_not_know(studio: FakeLMStudio, artifact: Artifact) -> None:
    other = replace(artifact, reference="publisher/other@q4_0", repository="publisher/other")
    studio.models[0] |= {"key": "something", "size_bytes": 5}
    with pytest.raises(LoadFailed) as caught:
        BACKEND.load(other, SMALL)
    assert caught.value.message == "LM Studio does not know publisher/other@q4_0"
    assert "it has something" in caught.value.hint
    studio.models.clear()
    with pytest.raises(LoadFailed) as caught:
        BACKEND.load(other, SMALL)
    assert "it has no models" in caught.value.hint


def test_a_file_of_another_store(studio: FakeLMStudio, artifact: Artifact) -> None:
    with pytest.raises(LoadFailed, match="is not in LM Studio's models folder"):
        BACKEND.load(replace(artifact, store="huggingface"), SMALL)


def test_too_little_memory(studio: FakeLMStudio, artifact: Artifact) -> None:
    studio.fault = "no memory"
    with pytest.raises(LoadFailed, match="insufficient system resources"):
        BACKEND.load(artifact, SMALL)


def test_a_smaller_context_than_asked_for_is_reported(
    studio: FakeLMStudio, artifact: Artifact
) -> None:
    studio.fault = "smaller context"
    with BACKEND.load(artifact, SMALL) as session:
        assert session.info.context == 32
        assert session.info.settings.context == 32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cache_type_k": "q8_0"}, "cache_type_k cannot be q8_0"),
        ({"threads": 4}, "no field for threads"),
        ({"parallel": 2}, "one answer at a time"),
        ({"context": 0}, "context cannot be 0"),
        ({"options": {"timeout": 0.0}}, "not a number of seconds"),
        ({"gpu_layers": 3, "cache_in_memory": True}, "with a number of layers"),
    ],
)
def test_settings_that_it_cannot_be_told(
    studio: FakeLMStudio, artifact: Artifact, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(LoadFailed, match=said):
        BACKEND.load(artifact, replace(SMALL, **changes))  # type: ignore[arg-type]
    assert studio.asked == []


# --- before 0.4 --------------------------------------------------------------------------------


def test_an_older_one_lists_and_says_that_it_cannot_load(
    studio: FakeLMStudio, artifact: Artifact
) -> None:
    studio.old = True
    assert BACKEND.availability().ok
    with pytest.raises(LoadFailed) as caught:
        BACKEND.load(artifact, SMALL)
    assert "older than 0.4" in caught.value.message
    assert "lms load tiny --context-length 64" in caught.value.hint
    studio.add_instance(KEY, {"context_length": 64})
    with BACKEND.load(artifact, SMALL) as session:
        assert session.info.context == 64
        assert ask(session).text
    assert list(studio.instances) == [KEY], "it was not loaded here, and stays"


def test_the_documents_own_example_of_the_older_list(studio: FakeLMStudio) -> None:
    studio.old = True
    studio.listed_before = lambda: recorded.OLD  # type: ignore[method-assign]
    found = {model.name: model for model in BACKEND.served(1.0)}
    assert found["qwen2-vl-7b-instruct"].images is True
    assert found["meta-llama-3.1-8b-instruct"].precision == "Q4_K_M"
    assert found["meta-llama-3.1-8b-instruct"].context_trained == 131072


# --- answers -----------------------------------------------------------------------------------


def test_a_prompt_that_is_too_long(studio: FakeLMStudio, artifact: Artifact) -> None:
    with BACKEND.load(artifact, SMALL) as session:
        with pytest.raises(ContextExceeded, match="holds 64 tokens, but the prompt has 101"):
            ask(session, "dog " * 100)
        assert ask(session).text
        studio.fault = "nothing said"  # HTTP 200, no text, and counts: issue 2339
        with pytest.raises(ContextExceeded, match="101 tokens; the context holds 64"):
            ask(session, "dog " * 100)


@pytest.mark.parametrize("text", [recorded.TOO_LONG, *recorded.TOO_LONG_OTHERS])
def test_its_words_for_a_prompt_that_is_too_long(text: str) -> None:
    assert is_too_long(text)


def test_a_context_that_is_full_in_the_middle_ends_the_answer(
    studio: FakeLMStudio, artifact: Artifact
) -> None:
    studio.fault = "full"
    with BACKEND.load(artifact, SMALL) as session:
        answer = ask(session)
    assert answer.text == "one two three"
    assert answer.usage.finish_reason is FinishReason.CONTEXT


def test_an_answer_always_ends(studio: FakeLMStudio, artifact: Artifact) -> None:
    with BACKEND.load(artifact, SMALL) as session:
        assert ask(session, most=None).usage.finish_reason is FinishReason.STOP
    assert studio.bodies("/v1/chat/completions")[-1]["max_tokens"] == 64


def test_an_answer_that_breaks_off(studio: FakeLMStudio, artifact: Artifact) -> None:
    with BACKEND.load(artifact, SMALL) as session:
        studio.fault = "broken off"
        with pytest.raises(BackendCrashed, match="stopped in the middle of the answer"):
            ask(session)
        studio.fault = "another model"
        with pytest.raises(GenerationFailed, match="answers as another/model"):
            ask(session)
        studio.fault = "web page"
        with pytest.raises(BackendError, match="web page"):
            ask(session)
        studio.fault = ""
        studio.unload({"instance_id": KEY})  # somebody else did
        with pytest.raises(GenerationFailed, match="not found"):
            ask(session)
        studio.close()
        with pytest.raises(BackendError) as caught:
            ask(session)
        assert "lms server start" in caught.value.hint


def test_thoughts(studio: FakeLMStudio, artifact: Artifact) -> None:
    prompt = [Message("user", "one two")]
    with BACKEND.load(artifact, SMALL) as session, pytest.raises(GenerationFailed):
        read(session.generate(prompt, Sampling(thinking=True)))
    studio.fault = "it thinks"
    studio.models[0]["capabilities"]["reasoning"] = {
        "allowed_options": ["off", "on"],
        "default": "on",
    }
    with BACKEND.load(artifact, SMALL) as session:
        answer = read(session.generate(prompt, Sampling(thinking=True)))
        assert answer.reasoning == "Let me see. "
        assert answer.text == "one two"
        assert answer.usage.reasoning_tokens == 3
        for not_wanted in (False, None):
            answer = read(session.generate(prompt, Sampling(thinking=not_wanted)))
            assert not answer.reasoning
        assert studio.bodies("/v1/chat/completions")[-1]["reasoning_effort"] == "none"
        with pytest.raises(GenerationFailed, match="cannot limit thinking"):
            read(session.generate(prompt, Sampling(thinking=5)))
    studio.models[0]["capabilities"]["reasoning"]["default"] = "off"
    with (
        BACKEND.load(artifact, SMALL) as session,
        pytest.raises(GenerationFailed, match="switched off"),
    ):
        read(session.generate(prompt, Sampling(thinking=True)))


def test_hostile_names_do_not_reach_the_terminal(
    studio: FakeLMStudio, artifact: Artifact, tmp_path: Path
) -> None:
    studio.models[:] = [entry_of(artifact.path, key="x\x1b[2Jy", size_bytes=1, publisher="p")]
    with pytest.raises(LoadFailed) as caught:
        BACKEND.load(replace(artifact, reference="x@y", repository="x"), SMALL)
    assert "\x1b" not in str(caught.value) + caught.value.hint
