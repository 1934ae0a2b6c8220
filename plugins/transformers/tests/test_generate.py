"""Answers: cache, context, sampling, chat template, cancel."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, FinishReason, Message, Sampling, Settings, Usage
from gemmahub.errors import GenerationFailed
from gemmahub.testing.folder_writer import write_model_folder
from gemmahub_transformers import engine
from gemmahub_transformers.sampling import make_sampler

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Prompt
    from gemmahub_transformers.backend import TransformersBackend
    from gemmahub_transformers.session import TransformersSession

PROMPT = "The capital of France is a large city"
LONG = "One day a small dog went to the market. " * 5  # 200 tokens: three windows


def ask(session: TransformersSession, prompt: Prompt, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 12, "temperature": 0.0} | sampling
    chunks = list(session.generate(prompt, Sampling(**wanted)))  # type: ignore[arg-type]
    usage = chunks[-1].usage
    assert usage is not None
    return "".join(chunk.text for chunk in chunks), usage


def test_usage_counts(session: TransformersSession) -> None:
    _, usage = ask(session, PROMPT, max_tokens=5)
    count = 1 + len(PROMPT)  # <bos>, and a token for each letter
    assert (usage.prompt_tokens, usage.prefill_tokens, usage.tokens) == (count, count, 5)
    assert (usage.context_used, usage.context) == (count + 4, 512)  # the last is not evaluated
    assert usage.finish_reason is FinishReason.LENGTH


def test_the_answer_is_that_of_the_whole_text_at_once(session: TransformersSession) -> None:
    """Steps, windows and cache change nothing: one computation without them says the same."""
    import torch

    text, _ = ask(session, LONG, max_tokens=8)
    tokens = session.tokenizer.tokenize(LONG + text, special=True, start=True)
    with torch.inference_mode():
        logits = session._forward._model(input_ids=torch.tensor([tokens])).logits[0]
    assert [int(row.argmax()) for row in logits[-9:-1]] == tokens[-8:]


def test_a_conversation_that_continues_computes_only_what_is_new(
    session: TransformersSession,
) -> None:
    text, usage = ask(session, LONG)
    more = LONG + text + " and then"
    continued, usage_more = ask(session, more)
    assert usage_more.prompt_tokens is not None
    assert usage.context_used is not None
    assert usage_more.prefill_tokens == usage_more.prompt_tokens - usage.context_used
    session._forward.clear()
    fresh, usage_fresh = ask(session, more)
    assert usage_fresh.prefill_tokens == usage_fresh.prompt_tokens
    assert continued == fresh  # also beyond the window


def test_a_prompt_that_leaves_the_cache_goes_back_before_a_window_is_full(
    session: TransformersSession,
) -> None:
    first = "A small dog"
    ask(session, f"{first} ran", max_tokens=2)
    _, usage = ask(session, f"{first} sat down", max_tokens=2)
    assert usage.prefill_tokens == len(" sat down") - 1  # the space is in the cache
    text, _ = ask(session, f"{first} sat down", max_tokens=8)
    session._forward.clear()
    assert ask(session, f"{first} sat down", max_tokens=8)[0] == text
    ask(session, LONG)
    _, usage = ask(session, LONG[:150])
    assert usage.prefill_tokens == usage.prompt_tokens  # the window cannot go back


def test_window_layers_hold_no_more_than_their_window(session: TransformersSession) -> None:
    ask(session, LONG)
    sizes = {layer.is_sliding: layer.keys.shape[-2] for layer in session._forward.cache.layers}
    assert sizes == {True: 63, False: 1 + len(LONG) + 11}


def test_the_context_is_honoured_to_the_token(session: TransformersSession) -> None:
    whole = "x" * 511  # and <bos>
    _, usage = ask(session, whole, max_tokens=50)
    assert (usage.prompt_tokens, usage.tokens, usage.context_used) == (512, 1, 512)
    assert usage.finish_reason is FinishReason.CONTEXT


def test_a_conversation_goes_through_the_template(session: TransformersSession) -> None:
    text, usage = ask(session, [Message("user", "Hello")])
    assert text
    assert usage.prompt_tokens is not None
    assert usage.prompt_tokens > len("Hello") + 5


# --- sampling -----------------------------------------------------------------------------------


def test_filters_come_in_llama_cpps_order(backend: TransformersBackend) -> None:
    """top-k, top-p, min-p, and temperature at last: it changes nothing of what they leave."""
    library = engine.library()
    logits = library.torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0, -1.0])
    cases: list[tuple[dict[str, float | int], set[int]]] = [
        ({"top_k": 2, "top_p": 1.0}, {0, 1}),
        ({"top_k": 0, "top_p": 0.5}, {0}),
        ({"top_k": 0, "top_p": 0.0}, {0}),
        ({"top_k": 0, "top_p": 0.8}, {0, 1}),
        ({"top_k": 0, "top_p": 1.0, "min_p": 0.1}, {0, 1, 2}),
        ({"top_k": 0, "top_p": 1.0}, {0, 1, 2, 3, 4, 5}),
    ]
    for settings, words in cases:
        sampling = Sampling(temperature=50.0, seed=1, **settings)  # type: ignore[arg-type]
        sampler = make_sampler(library, sampling)
        assert {sampler(logits) for _ in range(200)} == words, settings


def test_seeds(session: TransformersSession) -> None:
    first, again, other = (
        ask(session, PROMPT, temperature=1.0, seed=seed, max_tokens=16)[0] for seed in (7, 7, 8)
    )
    assert first == again != other


# --- cancel -------------------------------------------------------------------------------------


def test_a_prompt_is_left_between_two_layers(backend: TransformersBackend, tmp_path: Path) -> None:
    """One step of the whole prompt in 24 layers: a cancel in the first is not kept waiting."""
    folder = write_model_folder(tmp_path / "model", num_hidden_layers=24)
    with backend.load(Artifact("safetensors", folder), Settings(2048, ubatch=2048)) as session:
        layers = session._forward._model.get_decoder().layers
        seen: list[int] = []

        def cancel(number: int) -> None:
            seen.append(number)
            session.cancel()

        layers[0].register_forward_hook(lambda *_: cancel(0))
        layers[20].register_forward_hook(lambda *_: seen.append(20))
        _, usage = ask(session, "x" * 1500)
        assert usage.finish_reason is FinishReason.CANCELLED
        assert seen == [0]
        assert session._forward.cached == []


def test_a_cancel_from_another_thread(session: TransformersSession) -> None:
    chunks = session.generate(PROMPT, Sampling(max_tokens=400, temperature=0))
    next(iter(chunks))
    threading.Timer(0.05, session.cancel).start()
    started = time.monotonic()
    *_, last = chunks
    assert last.usage is not None
    if last.usage.finish_reason is not FinishReason.LENGTH:  # a fast machine may have ended it
        assert last.usage.finish_reason is FinishReason.CANCELLED
    assert time.monotonic() - started < 60


def test_what_pytorch_raises_is_one_error(
    session: TransformersSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(session._forward, "compute", fail)
    with pytest.raises(GenerationFailed, match="not enough memory") as caught:
        ask(session, PROMPT)
    assert "--ctx-size" in caught.value.hint
    monkeypatch.undo()
    assert ask(session, PROMPT)[0]
