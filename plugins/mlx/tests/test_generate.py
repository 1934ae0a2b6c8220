"""Answers: cache, context, sampling, chat template, and what is refused."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import (
    Artifact,
    FinishReason,
    Message,
    PromptRead,
    Sampling,
    Settings,
    Usage,
)
from gemmahub.errors import ContextExceeded, GenerationFailed, TemplateError
from gemmahub_mlx.sampling import make_sampler

if TYPE_CHECKING:
    from gemmahub.engines.contract import Prompt
    from gemmahub_mlx.backend import MlxBackend
    from gemmahub_mlx.session import MlxSession

PROMPT = "The capital of France is a large city"
LONG = "One day a small dog went to the market. " * 5  # 200 tokens: three windows


def ask(session: MlxSession, prompt: Prompt, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 12, "temperature": 0.0} | sampling
    chunks = list(session.generate(prompt, Sampling(**wanted)))  # type: ignore[arg-type]
    usage = chunks[-1].usage
    assert usage is not None
    return "".join(chunk.text for chunk in chunks), usage


# --- usage and the cache ------------------------------------------------------------------------


def test_usage_counts(session: MlxSession) -> None:
    _, usage = ask(session, PROMPT, max_tokens=5)
    count = 1 + len(PROMPT)  # <bos>, and a token for each letter
    assert (usage.prompt_tokens, usage.prefill_tokens, usage.tokens) == (count, count, 5)
    assert (usage.context_used, usage.context) == (count + 4, 512)  # the last is not evaluated
    assert usage.finish_reason is FinishReason.LENGTH


def test_a_conversation_that_continues_computes_only_what_is_new(session: MlxSession) -> None:
    text, usage = ask(session, LONG)
    more = LONG + text + " and then"
    continued, usage_more = ask(session, more)
    assert usage_more.prefill_tokens == usage_more.prompt_tokens - usage.context_used
    session.cache.clear()
    fresh, usage_fresh = ask(session, more)
    assert usage_fresh.prefill_tokens == usage_fresh.prompt_tokens
    assert continued == fresh  # also beyond the window, which has rotated by then


def test_a_prompt_that_only_begins_like_the_cache_is_computed_again(session: MlxSession) -> None:
    ask(session, LONG)
    _, usage = ask(session, LONG[:150])
    assert usage.prefill_tokens == usage.prompt_tokens
    ask(session, LONG)
    _, usage = ask(session, LONG[:150] + "something else that is longer " * 4)
    assert usage.prefill_tokens == usage.prompt_tokens


def test_window_layers_hold_no_more_than_their_window(session: MlxSession) -> None:
    ask(session, LONG)
    sizes = {type(layer).__name__: layer.keys.shape[2] for layer in session.cache.layers}
    assert sizes == {"RotatingKVCache": 64, "KVCache": 256}


def test_the_context_is_honoured_to_the_token(session: MlxSession) -> None:
    whole = "x" * 511  # and <bos>
    text, usage = ask(session, whole, max_tokens=50)
    assert (usage.prompt_tokens, usage.tokens, usage.context_used) == (512, 1, 512)
    assert usage.finish_reason is FinishReason.CONTEXT
    assert len(text) == 1
    text, usage = ask(session, whole[:500], max_tokens=50)
    assert (usage.tokens, usage.context_used) == (12, 512)
    assert usage.finish_reason is FinishReason.CONTEXT
    with pytest.raises(ContextExceeded, match="513 tokens"):
        ask(session, whole + "x")


def test_a_cancelled_prompt_is_continued_where_it_stopped(session: MlxSession) -> None:
    expected, _ = ask(session, LONG)
    session.cache.clear()
    session.cancelled.clear()
    steps = session.tokens(session.encode(LONG), Sampling(temperature=0, max_tokens=4))
    clear = session._library.core.clear_cache

    class Cancelling:
        def __getattr__(self, name: str) -> object:
            return getattr(core, name)

        def clear_cache(self) -> None:  # called after each step of a prompt
            clear()
            session.cancelled.set()

    core = session._library.core
    session._library = session._library._replace(core=Cancelling())
    try:
        assert list(steps) == [PromptRead(64, 201)]
    finally:
        session._library = session._library._replace(core=core)
    assert len(session.cache.tokens) == 64  # one step
    text, usage = ask(session, LONG)
    assert text == expected
    assert usage.prefill_tokens == usage.prompt_tokens - 64


def test_a_quantised_cache_answers(backend: MlxBackend, artifact: Artifact) -> None:
    settings = Settings(256, "q8_0", "q8_0", ubatch=64)
    with backend.load(artifact, settings) as session:
        text, _ = ask(session, LONG)
        kinds = [type(layer).__name__ for layer in session.cache.layers]
        assert kinds == ["RotatingKVCache", "QuantizedKVCache"]
        assert session.info.settings.cache_type_k == "q8_0"
        assert len(text) == 12


def test_an_error_of_the_engine_leaves_a_usable_session(
    session: MlxSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = ask(session, PROMPT)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("[metal::malloc] Attempting to allocate too much")

    with monkeypatch.context() as patch:
        patch.setattr(session, "_model", fail)
        with pytest.raises(GenerationFailed, match="Attempting to allocate"):
            ask(session, PROMPT + " and")
    assert session.cache.tokens == []
    assert ask(session, PROMPT)[0] == expected


def test_closing_in_the_middle_of_a_step(backend: MlxBackend, artifact: Artifact) -> None:
    """Another thread closes the session while this one computes."""
    session = backend.load(artifact, Settings(128))
    begun = threading.Event()
    failures: list[str] = []

    def answer() -> None:
        try:
            while True:
                for _ in session.generate(PROMPT, Sampling(temperature=0)):
                    begun.set()
        except GenerationFailed as error:
            failures.append(error.message)

    thread = threading.Thread(target=answer)
    thread.start()
    begun.wait()
    session.close()
    thread.join()
    assert "closed" in failures[0]


# --- sampling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(top_k=2, top_p=1.0), {0, 1}),
        (Sampling(top_k=0, top_p=0.75), {0, 1}),
        (Sampling(top_k=0, top_p=0.65), {0}),
        (Sampling(top_k=0, top_p=0.0), {0}),
        (Sampling(top_k=0, top_p=1.0, min_p=0.12), {0, 1, 2}),
        (Sampling(top_k=99, top_p=1.0), {0, 1, 2, 3}),
        # top-k first: of the three that it leaves, two make up 0.9 of what is left.
        (Sampling(top_k=3, top_p=0.88), {0, 1}),
        (Sampling(temperature=0.01, top_k=0, top_p=1.0), {0}),
    ],
)
def test_filters(backend: MlxBackend, sampling: Sampling, expected: set[int]) -> None:
    """Of four words with the probabilities 0.7, 0.18, 0.09 and 0.03, in another order."""
    import mlx.core as mx

    logits = mx.log(mx.array([[0.03, 0.18, 0.7, 0.09]]))
    place = {2: 0, 1: 1, 3: 2, 0: 3}
    sampler = make_sampler(mx, dataclasses.replace(sampling, seed=1))
    drawn = [int(sampler(logits).item()) for _ in range(600)]
    assert {place[word] for word in drawn} == expected


def test_a_seed_gives_the_same_text_again_and_another_seed_another(session: MlxSession) -> None:
    hot = {"temperature": 1.5, "top_k": 0, "top_p": 1.0}
    one, again, other = (ask(session, PROMPT, seed=seed, **hot)[0] for seed in (7, 7, 8))
    assert one == again != other
    assert len({ask(session, PROMPT, **hot)[0] for _ in range(3)}) > 1


# --- prompts ------------------------------------------------------------------------------------


def tokens_of(session: MlxSession, text: str) -> list[int]:
    return session.tokenizer.tokenize(text, special=True, start=False)


def test_the_chat_template_of_the_folder_is_used(session: MlxSession) -> None:
    assert session.info.chat_template
    found = session.encode([Message("user", " Hello ")])
    expected = "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n"
    assert found == tokens_of(session, expected)
    assert found[:2] == [2, 4]


def test_a_control_token_in_a_message_stays_text(session: MlxSession) -> None:
    found = session.encode([Message("user", "a<end_of_turn>b")])
    assert found.count(5) == 1  # the template's own
    assert session.encode("a<end_of_turn>b").count(5) == 1  # a raw text may write it


def test_text_before_the_control_tokens(session: MlxSession) -> None:
    assert session.encode("<bos>x") == session.encode("x")  # not doubled


def test_without_a_chat_template_a_conversation_is_plain_text(
    session: MlxSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.tokenizer, "chat_template", None)
    assert session.encode([Message("user", "Hello")]) == session.encode("Hello")


@pytest.mark.parametrize(
    "template", ["{% for", "{{ raise_exception('no') }}", "{{ 'x' * 10**9 }}", "{{ none.x.y }}"]
)
def test_a_broken_template_is_a_template_error(
    session: MlxSession, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    monkeypatch.setattr(session.tokenizer, "chat_template", template)
    with pytest.raises(TemplateError):
        ask(session, [Message("user", "Hello")])


def test_images_are_refused(session: MlxSession) -> None:
    with pytest.raises(GenerationFailed, match="images"):
        ask(session, [Message("user", "What is this?", (Path("x.png"),))])


def test_the_end_of_a_turn_ends_the_answer_and_is_not_shown(
    session: MlxSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = ask(session, PROMPT)
    third = tokens_of(session, text)[2]
    first = tokens_of(session, text).index(third)
    monkeypatch.setattr(session.tokenizer, "_ends", {third})
    ended, usage = ask(session, PROMPT)
    assert ended == text[:first]
    assert usage.finish_reason is FinishReason.STOP
    assert usage.tokens == first
