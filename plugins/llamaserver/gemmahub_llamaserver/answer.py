"""One answer of a server: its chunks, its end, its counts and times."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, PromptRead, Usage
from gemmahub.engines.sampling import DEFAULT_MIN_P, DEFAULT_TOP_K, DEFAULT_TOP_P
from gemmahub.engines.thoughts import CLOSES, MARKERS, OPENS, ThoughtStream, joined
from gemmahub.engines.tool_calls import CALL_MARKERS
from gemmahub.errors import GenerationFailed
from gemmahub.http.values import count_of, number_of, object_of, parse_json, text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemmahub.engines.contract import Sampling

_DATA: Final = b"data:"
_AT_ONCE: Final = 512  # tokens; of a shorter prompt nobody waits to hear how far it is
_NAME_TOKENS: Final = 2  # Gemma 4's "thought" and the line break
_SLACK: Final = 8  # tokens of a thought beyond its limit: without a name, and with what ends it
_SEEDS: Final = 2**32 - 1  # the last one lets the server draw one that it does not tell


def sampling_values(sampling: Sampling) -> dict[str, Any]:
    """Sampling as ``/completion`` takes it: all of it, because its defaults are not Gemma's.

    The filters work in the order of gemmahub's other engines: top-k, top-p, min-p, temperature.
    """
    seed = secrets.randbelow(_SEEDS) if sampling.seed is None else sampling.seed % _SEEDS
    return {
        "samplers": ["top_k", "top_p", "min_p", "temperature"],
        "temperature": sampling.temperature,
        "top_k": DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k,
        "top_p": DEFAULT_TOP_P if sampling.top_p is None else sampling.top_p,
        "min_p": DEFAULT_MIN_P if sampling.min_p is None else sampling.min_p,
        "seed": seed,
        "n_predict": -1 if sampling.max_tokens is None else sampling.max_tokens,
        "stop": [text for text in sampling.stop if text],
        # Others are left out of the text.
        "preserved_tokens": [*MARKERS, *(CALL_MARKERS if sampling.tools else ())],
        "json_schema": None if sampling.schema is None else dict(sampling.schema),
        "grammar": sampling.grammar,
        **_thought_limit(sampling.thinking),
    }


def _thought_limit(thinking: bool | int | None) -> dict[str, Any]:
    """The most tokens of a thought, which the server counts itself, its name among
    them and the line break that ends it."""
    if type(thinking) is not int:
        return {}
    return {
        "reasoning_budget_tokens": thinking + _NAME_TOKENS - 1,
        "reasoning_budget_start_tag": OPENS,
        "reasoning_budget_end_tag": CLOSES,
        "reasoning_budget_end_tags": [CLOSES],  # as newer ones call it
        "reasoning_budget_message": "\n",  # without one it ends no thought
    }


def limited(chunks: Iterator[Chunk], most: int) -> Iterator[Chunk]:
    """The chunks of an answer with so many tokens of thoughts. An older server takes no notice of
    the limit, which is said. Raises: GenerationFailed."""
    left = most + _SLACK
    with closing(chunks):  # type: ignore[type-var]
        for chunk in chunks:
            left -= chunk.kind is ChunkKind.REASONING
            if left < 0:
                raise GenerationFailed(
                    "this llama-server cannot limit thinking",
                    "leave out --think-budget, or use a newer one",
                )
            yield chunk


def read_answer(lines: Iterator[bytes], context: int) -> Iterator[Chunk]:
    """The chunks of an answer to ``/completion``; the last one has the counts.

    Where the lines end before the answer does, it was cancelled, and the counts are ours. How far a
    prompt is stands in ``prompt_progress``: ``processed`` of ``total`` tokens, with the cached ones
    (``return_progress`` in tools/server/README.md of ggml-org/llama.cpp, @00dc8057).

    Raises: GenerationFailed with what the server says; NotJson.
    """
    asked: int | None = None
    said = 0
    thoughts = ThoughtStream()
    for found in _objects(lines):
        chunks = thoughts.feed(text_of(found.get("content")))
        if found.get("stop") is True:
            usage = replace(_usage(found, context), reasoning_tokens=thoughts.tokens)
            yield from joined([*chunks, *thoughts.finish()], Chunk("", usage))
            return
        if progress := object_of(found.get("prompt_progress")):
            read, total = count_of(progress.get("processed")), count_of(progress.get("total"))
            if read and total and total > _AT_ONCE and read < total:
                told = PromptRead(read, total)
                yield Chunk("", kind=ChunkKind.PREFILL, prompt_read=told)
            asked = total
        asked = count_of(found.get("tokens_evaluated")) or asked
        said = count_of(found.get("tokens_predicted")) or said
        yield from chunks
    used = None if asked is None else min(asked + said, context)
    usage = Usage(
        FinishReason.CANCELLED,
        prompt_tokens=asked,
        tokens=said,
        context_used=used,
        context=context,
        reasoning_tokens=thoughts.tokens,
    )
    yield from joined(thoughts.finish(), Chunk("", usage))


def _objects(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """What the server says, without blank lines and signs of life. Raises: GenerationFailed."""
    for line in lines:
        if not line.startswith(_DATA):
            continue
        found = object_of(parse_json(line.removeprefix(_DATA)))
        if error := object_of(found.get("error")):
            told = one_line(text_of(error.get("message")) or "no reason", 300)
            raise GenerationFailed(f"llama-server failed: {told}", "try again")
        yield found


def _usage(last: Mapping[str, Any], context: int) -> Usage:
    timings = object_of(last.get("timings"))
    asked, said = count_of(last.get("tokens_evaluated")), count_of(timings.get("predicted_n"))
    reason = FinishReason.STOP
    if last.get("stop_type") == "limit":
        full = last.get("truncated") is True
        reason = FinishReason.CONTEXT if full else FinishReason.LENGTH
    used = count_of(last.get("tokens_cached"))
    return Usage(
        finish_reason=reason,
        prompt_tokens=asked,
        prefill_tokens=count_of(timings.get("prompt_n")),
        tokens=said,
        prefill_seconds=_seconds(timings.get("prompt_ms")),
        decode_seconds=_seconds(timings.get("predicted_ms")),
        context_used=None if used is None else min(used, context),
        context=context,
    )


def _seconds(value: object) -> float | None:
    """Of milliseconds; None for what is no time."""
    found = number_of(value)
    return None if found is None else found / 1000
