from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import (
    Chunk,
    ChunkKind,
    FinishReason,
    Message,
    PromptRead,
    Sampling,
    Settings,
    Usage,
)
from gemmahub.errors import ContextExceeded, GenerationFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemmahub.engines.contract import Artifact, Prompt
    from gemmahub_llamacpp.backend import LlamaCppBackend
    from gemmahub_llamacpp.session import LlamaCppSession

PROMPT = "The capital of France is"
LONG = "One day a small dog went to the market to buy a bone. " * 90  # about 1,200 tokens


def read(chunks: Iterable[Chunk]) -> tuple[str, Usage]:
    """The whole text, and the usage that only the last chunk may carry."""
    seen = list(chunks)
    assert [chunk.usage is None for chunk in seen] == [True] * (len(seen) - 1) + [False]
    usage = seen[-1].usage
    assert usage is not None
    return "".join(chunk.text for chunk in seen), usage


def ask(session: LlamaCppSession, prompt: Prompt, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 24, "temperature": 0.0} | sampling
    return read(session.generate(prompt, Sampling(**wanted)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(artifact: Artifact, backend: LlamaCppBackend) -> Iterator[LlamaCppSession]:
    """A session with a context of 256 tokens."""
    with backend.load(artifact, Settings(context=256)) as session:
        yield session


# --- the same prompt, the same text -------------------------------------------------------------


def test_temperature_zero_gives_the_same_text_in_a_used_and_in_a_fresh_session(
    session: LlamaCppSession, small: LlamaCppSession
) -> None:
    texts = [ask(session, PROMPT)[0]]
    ask(session, LONG, max_tokens=3)
    texts.append(ask(session, PROMPT)[0])
    texts.append(ask(session, PROMPT)[0])
    texts.append(ask(small, PROMPT)[0])
    assert texts == [texts[0]] * 4
    assert len(texts[0]) > 20


def test_a_long_prompt_tells_how_much_of_it_is_read(session: LlamaCppSession) -> None:
    ask(session, PROMPT)  # nothing of it is in the cache
    chunks = list(session.generate(LONG, Sampling(max_tokens=2, temperature=0.0)))
    told = [chunk.prompt_read for chunk in chunks if chunk.kind is ChunkKind.PREFILL]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens == usage.prefill_tokens
    step = session.context.ubatch
    expected = range(step, usage.prompt_tokens or 0, step)
    assert told == [PromptRead(read, expected.stop) for read in expected]
    assert len(told) > 1
    kinds = [chunk.kind for chunk in chunks]
    assert kinds[: len(told)] == [ChunkKind.PREFILL] * len(told)  # all before the answer


def test_a_long_prompt_repeated_gives_the_same_text(session: LlamaCppSession) -> None:
    first, usage = ask(session, LONG)
    again, usage_again = ask(session, LONG)
    assert first == again
    assert usage.prefill_tokens == usage_again.prefill_tokens == usage.prompt_tokens


def test_a_seed_gives_the_same_text_again_and_another_seed_another(
    session: LlamaCppSession,
) -> None:
    hot = {"temperature": 1.5, "top_k": 0, "top_p": 1.0}
    one, again, other = (ask(session, PROMPT, seed=seed, **hot)[0] for seed in (7, 7, 8))
    assert one == again != other


def test_without_a_seed_answers_differ(session: LlamaCppSession) -> None:
    hot = {"temperature": 2.0, "top_k": 0, "top_p": 1.0}
    assert len({ask(session, PROMPT, **hot)[0] for _ in range(3)}) > 1


# --- usage and the cache ------------------------------------------------------------------------


def test_usage_counts(session: LlamaCppSession) -> None:
    _, usage = ask(session, PROMPT, max_tokens=5)
    assert (usage.prompt_tokens, usage.prefill_tokens, usage.tokens) == (6, 6, 5)
    assert (usage.context_used, usage.context) == (6 + 4, 2048)  # the last is not evaluated
    assert usage.finish_reason is FinishReason.LENGTH
    assert usage.prefill_seconds > 0
    assert usage.decode_seconds > 0


def test_a_conversation_that_continues_computes_only_what_is_new(session: LlamaCppSession) -> None:
    text, usage = ask(session, PROMPT, max_tokens=12)
    _, more = ask(session, PROMPT + text + " And the capital of Italy is", max_tokens=3)
    assert more.prefill_tokens == more.prompt_tokens - usage.context_used
    assert usage.context_used == 6 + 11


def test_a_prompt_that_only_begins_like_the_cache_is_computed_again(
    session: LlamaCppSession,
) -> None:
    ask(session, PROMPT, max_tokens=12)
    changed, usage = ask(session, "The capital of France was")
    assert usage.prefill_tokens == usage.prompt_tokens
    session.context.clear()
    assert ask(session, "The capital of France was")[0] == changed


def test_a_longer_prompt_that_differs_is_computed_again(session: LlamaCppSession) -> None:
    ask(session, PROMPT, max_tokens=2)
    other = "The capital of Spain is a large city in the middle of the country"
    text, usage = ask(session, other)
    assert usage.prefill_tokens == usage.prompt_tokens > 10
    session.context.clear()
    assert ask(session, other)[0] == text


def test_reuse_beyond_the_sliding_window(session: LlamaCppSession) -> None:
    text, _ = ask(session, LONG, max_tokens=8)
    more, usage = ask(session, LONG + text + LONG[:200], max_tokens=8)
    assert 0 < usage.prefill_tokens < 100
    session.context.clear()
    assert ask(session, LONG + text + LONG[:200], max_tokens=8)[0] == more


# --- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt", ["😀 👍🏽 🇫🇷 😀 👍🏽 🇫🇷 😀 👍🏽", "日本の首都は東京です。", "Привет, мир. Привет,"]
)
def test_streamed_text_is_the_detokenised_whole(session: LlamaCppSession, prompt: str) -> None:
    tokens: list[int] = []
    keep, original = tokens.append, session.model.piece
    session.model.piece = lambda token, calls: (keep(token), original(token, calls=calls))[1]  # type: ignore[method-assign]
    try:
        text, usage = ask(session, prompt, max_tokens=40)
    finally:
        del session.model.piece
    assert len(tokens) == usage.tokens == 40
    assert text == b"".join(map(session.model.piece, tokens)).decode("utf-8", "replace")
    assert not text.isascii()


def test_chunks_are_whole_characters(session: LlamaCppSession) -> None:
    tokens = [238 + byte for byte in "é👍".encode()]  # SentencePiece byte tokens
    assert b"".join(map(session.model.piece, tokens)).decode() == "é👍"
    pending = iter(tokens)
    session.context.sample = lambda sampler: next(pending)  # type: ignore[method-assign]
    try:
        chunks = list(session.generate("Emoji:", Sampling(max_tokens=len(tokens))))
    finally:
        del session.context.sample
    assert [chunk.text for chunk in chunks] == ["é", "👍", ""]


def test_a_stop_text_ends_the_answer_and_is_not_shown(session: LlamaCppSession) -> None:
    whole, _ = ask(session, PROMPT)
    stop = whole[12:17]
    text, usage = ask(session, PROMPT, stop=("\0", stop))
    assert text == whole[: whole.index(stop)]
    assert usage.finish_reason is FinishReason.STOP
    assert usage.tokens < 24


def test_the_model_ends_its_turn(session: LlamaCppSession) -> None:
    end = session.model.tokenize("<end_of_turn>", special=True, start=False)
    assert len(end) == 1
    pending = iter([*session.model.tokenize(" yes", special=False, start=False), *end])
    session.context.sample = lambda sampler: next(pending)  # type: ignore[method-assign]
    try:
        text, usage = ask(session, PROMPT)
    finally:
        del session.context.sample
    assert (text, usage.tokens, usage.finish_reason) == (" yes", 1, FinishReason.STOP)


# --- limits -------------------------------------------------------------------------------------


def test_a_prompt_longer_than_the_context_is_refused_before_anything_is_computed(
    small: LlamaCppSession,
) -> None:
    ask(small, PROMPT, max_tokens=2)
    cached = list(small.context.cached)
    with pytest.raises(ContextExceeded, match=r"1,\d\d\d tokens.* 256") as caught:
        small.generate(LONG, Sampling())
    assert "--ctx-size" in caught.value.hint
    assert small.context.cached == cached


def test_a_full_context_ends_the_answer(small: LlamaCppSession) -> None:
    _, usage = ask(small, PROMPT, max_tokens=None)
    assert usage.finish_reason is FinishReason.CONTEXT
    assert usage.context_used == usage.context == 256
    assert usage.tokens == 256 - 6 + 1  # the last token needs no cell
    assert ask(small, PROMPT, max_tokens=2)[1].tokens == 2


def test_no_tokens_asked_for(session: LlamaCppSession) -> None:
    text, usage = ask(session, PROMPT, max_tokens=0)
    assert (text, usage.tokens, usage.prefill_tokens) == ("", 0, 0)  # nothing to compute
    assert usage.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=-1),
        Sampling(temperature=float("nan")),
        Sampling(max_tokens=-1),
        Sampling(top_k=-2),
        Sampling(top_p=1.5),
        Sampling(min_p=float("nan")),
    ],
)
def test_sampling_that_is_invalid(session: LlamaCppSession, sampling: Sampling) -> None:
    with pytest.raises(GenerationFailed, match="are invalid"):
        session.generate(PROMPT, sampling)


def test_nothing_to_complete(session: LlamaCppSession, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(session, "", max_tokens=1)[1].prompt_tokens == 1  # only <bos>
    monkeypatch.setattr(type(session.model), "tokenize", lambda *args, **kwargs: [])
    with pytest.raises(GenerationFailed, match="empty"):
        session.generate("", Sampling())
    with pytest.raises(GenerationFailed, match="empty"):
        session.generate([], Sampling())


def test_images_are_refused_without_a_projector(
    session: LlamaCppSession, model_path: object
) -> None:
    message = Message("user", "what is this?", images=(model_path,))  # type: ignore[arg-type]
    with pytest.raises(GenerationFailed, match="no image projector"):
        session.generate([message], Sampling())


# --- stopping -----------------------------------------------------------------------------------


def test_cancel_in_the_middle_of_a_batch(artifact: Artifact, backend: LlamaCppBackend) -> None:
    with backend.load(artifact, Settings(context=2048, ubatch=2048)) as session:
        timer = threading.Timer(0.2, session.cancel)
        timer.start()
        # All of it is one batch: without the engine's abort, a token would follow.
        text, usage = ask(session, LONG)
        timer.join()
        assert (text, usage.tokens, usage.prefill_tokens) == ("", 0, 0)
        assert usage.finish_reason is FinishReason.CANCELLED
        assert usage.context_used == 0
        assert ask(session, PROMPT)[1].tokens == 24


def test_cancel_while_decoding_leaves_the_session_usable(session: LlamaCppSession) -> None:
    expected = ask(session, PROMPT)[0]
    chunks = session.generate(PROMPT, Sampling(temperature=0))
    seen = [next(chunks), next(chunks)]
    thread = threading.Thread(target=session.cancel)
    thread.start()
    thread.join()
    text, usage = read([*seen, *chunks])
    assert expected.startswith(text)
    assert usage.finish_reason is FinishReason.CANCELLED
    assert ask(session, PROMPT)[0] == expected


def test_cancel_before_the_first_chunk_counts(session: LlamaCppSession) -> None:
    chunks = session.generate(PROMPT, Sampling())
    session.cancel()
    assert read(chunks)[1].finish_reason is FinishReason.CANCELLED


def test_cancel_without_an_answer_does_not_reach_the_next_one(session: LlamaCppSession) -> None:
    session.cancel()
    assert ask(session, PROMPT)[1].finish_reason is FinishReason.LENGTH


def test_closing_the_iterator_leaves_the_session_usable(session: LlamaCppSession) -> None:
    expected = ask(session, PROMPT)[0]
    chunks = session.generate(PROMPT, Sampling(temperature=0))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert ask(session, PROMPT)[0] == expected


def test_a_new_answer_ends_the_one_before(session: LlamaCppSession) -> None:
    expected = ask(session, PROMPT)[0]
    old = session.generate(PROMPT, Sampling(temperature=0))
    next(old)
    new = session.generate(PROMPT, Sampling(max_tokens=24, temperature=0))
    first = next(new)
    assert read(old)[1].finish_reason is FinishReason.CANCELLED
    assert read([first, *new])[0] == expected


def test_closing_from_another_thread_ends_the_answer(
    artifact: Artifact, backend: LlamaCppBackend
) -> None:
    session = backend.load(artifact, Settings(context=2048, ubatch=2048))
    timer = threading.Timer(0.2, session.close)
    timer.start()
    with pytest.raises(GenerationFailed, match="closed"):
        ask_until_closed(session)
    timer.join()
    assert session.model.handle is None


def ask_until_closed(session: LlamaCppSession) -> None:
    while True:
        assert ask(session, LONG)[1].tokens == 0  # stopped in the prefill, every time
