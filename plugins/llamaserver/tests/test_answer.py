"""What is read of an answer's lines."""

from __future__ import annotations

import json
from typing import Any

from gemmahub.engines.contract import ChunkKind, FinishReason, PromptRead
from gemmahub_llamaserver.answer import read_answer


def lines(*found: dict[str, Any]) -> Any:
    return iter([b"data: " + json.dumps(each).encode() for each in found])


def progress(read: object, total: object) -> dict[str, Any]:
    told = {"total": total, "cache": 0, "processed": read, "time_ms": 5}
    return {"content": "", "tokens": [], "stop": False, "prompt_progress": told}


def test_how_much_of_a_prompt_is_read_is_told_before_the_answer() -> None:
    end = {"content": "", "stop": True, "tokens_evaluated": 3000, "timings": {"predicted_n": 1}}
    found = list(
        read_answer(
            lines(
                progress(0, 3000),
                progress(512, 3000),
                progress(1024, 3000),
                progress(3000, 3000),  # it answers now
                {"content": "Hello", "stop": False},
                end,
            ),
            4096,
        )
    )
    told = [chunk.prompt_read for chunk in found if chunk.kind is ChunkKind.PREFILL]
    assert told == [PromptRead(512, 3000), PromptRead(1024, 3000)]
    assert "".join(chunk.text for chunk in found) == "Hello"
    assert found[-1].usage is not None
    assert found[-1].usage.prompt_tokens == 3000


def test_an_answer_that_is_stopped_while_the_prompt_is_read_knows_its_length() -> None:
    found = list(read_answer(lines(progress(512, 3000)), 4096))
    usage = found[-1].usage
    assert usage is not None
    assert usage.finish_reason is FinishReason.CANCELLED
    assert (usage.prompt_tokens, usage.tokens) == (3000, 0)


def test_progress_that_makes_no_sense_is_not_told() -> None:
    odd = [progress("x", 3), progress(-1, 3), progress(5, 3), progress(True, None)]
    odd += [{"content": "", "prompt_progress": [1]}, {"content": "", "prompt_progress": 7}]
    assert [c.kind for c in read_answer(lines(*odd), 4096)] == [ChunkKind.ANSWER]
