"""The answers of the server of the tests, as OpenAI's API streams them and LM Studio adds to it:
``reasoning_content``, ``completion_tokens_details``, the name of the instance as ``model``.
"""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, Any

from plugins.lmstudio.tests import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD_SECONDS = 0.004  # so that an answer can be cancelled in its middle
_IMAGE_TOKENS = 16


def words_of(body: dict[str, Any]) -> tuple[int, list[str]]:
    """How many tokens a prompt has, and the words of the answer.

    Raises: ValueError for an image that is none.
    """
    if "prompt" in body:
        words = str(body["prompt"]).split()
        return max(len(words), 1), words
    count, words = 0, list[str]()
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            if part["type"] == "text":
                words = part["text"].split()
                count += len(words) + 1
            else:
                data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                if not data.endswith(b"IEND\xaeB`\x82"):
                    raise ValueError("Invalid image detected")
                count += _IMAGE_TOKENS
    return count, words


def events_of(
    fault: str, body: dict[str, Any], asked: int, words: list[str], context: int
) -> Iterator[dict[str, Any]]:
    """The answer's events; the last one has the usage."""
    name = "another/model" if fault == "another model" else body["model"]
    most, stops = body.get("max_tokens"), [stop for stop in body.get("stop") or () if stop]
    thinks = "thinks" in fault and body.get("reasoning_effort") != "none"
    said = thoughts = 0
    if fault == "nothing said":
        words, thinks = [], False
    if "response_format" in body:
        words = ['{"city":', '"Paris",', '"people":', "2000000}"]
    reason = "stop"
    if thinks:
        for thought in ("Let", "me", "see."):
            said, thoughts = said + 1, thoughts + 1
            yield _event(name, {"reasoning_content": f"{thought} "})
    if body.get("tools") and "Use look_up" in str(body["messages"][-1]["content"]):
        yield from _calls(name)
        reason, words, said = "tool_calls", [], said + 8
    text = ""
    for number, word in enumerate(words):
        if fault == "full" and said == 3:
            yield {"error": {"message": recorded.FULL}}
            return
        if fault == "broken off" and said == 3:
            return
        if said == most or asked + said > context:
            reason = "length"
            break
        before, said = text, said + 1
        text += f" {word}" if number else word
        found = [at for stop in stops if (at := text.find(stop)) >= 0]
        text = text[: min(found)] if found else text
        time.sleep(_WORD_SECONDS)
        if not stops:  # what may begin a stop text waits until that is decided
            yield _event(name, _delta(body, text[len(before) :]))
        if found:
            break
    if stops:
        yield _event(name, _delta(body, text))
    yield _event(name, {}, reason)
    usage = {
        "prompt_tokens": max(asked, 1),
        "completion_tokens": said,
        "total_tokens": asked + said,
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    yield {"model": name, "choices": [], "usage": usage}


def _delta(body: dict[str, Any], text: str) -> dict[str, Any]:
    return {"text": text} if "prompt" in body else {"content": text}


def _event(name: str, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    choice |= {"text": delta["text"]} if "text" in delta else {"delta": delta}
    return {"model": name, "object": "chat.completion.chunk", "choices": [choice]}


def _calls(name: str) -> Iterator[dict[str, Any]]:
    """A call whose arguments come in pieces, as LM Studio sends them since 0.3.17."""
    function = {"name": "look_up", "arguments": ""}
    begin = {"index": 0, "id": "365174485", "type": "function", "function": function}
    yield _event(name, {"tool_calls": [begin]})
    for piece in re.findall(r"..?", '{"mountain": "K2"}'):
        yield _event(name, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
