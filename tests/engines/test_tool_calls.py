"""Calls of tools in the text of an answer, as Gemma 4 writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, ToolCall, Usage
from gemmahub.engines.guarded import whole
from gemmahub.engines.tool_calls import CALL_CLOSES, CALL_OPENS, QUOTE, call_of, with_calls
from gemmahub.records.parsing import Unfit

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = Usage(FinishReason.STOP)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text('aé{}[]:, "\\<|', max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_1", min_size=1), inner),
    max_leaves=9,
)


def written(value: Any) -> str:
    """A value as the template of Gemma 4 writes it."""
    if isinstance(value, str):
        return f"{QUOTE}{value}{QUOTE}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def read(pieces: Sequence[str]) -> tuple[str, list[Any], FinishReason]:
    *chunks, last = with_calls(chunk for chunk in [*map(Chunk, pieces), Chunk("", USAGE)])
    assert all(chunk.usage is None for chunk in chunks)
    assert last.usage is not None
    calls = [c.tool_call for c in (*chunks, last) if c.kind is ChunkKind.TOOL_CALL]
    text = "".join(chunk.text for chunk in (*chunks, last))
    return text, calls, last.usage.finish_reason


@given(st.dictionaries(st.text("ab_1", min_size=1), VALUES), st.integers(1, 9))
def test_the_arguments_are_those_that_the_template_writes_in_pieces_of_any_size(
    arguments: dict[str, Any], size: int
) -> None:
    text = f"I look.{CALL_OPENS}call:f{written(arguments)}{CALL_CLOSES} So."
    said, (call,), reason = read([text[i : i + size] for i in range(0, len(text), size)])
    assert (said, call.name, reason) == ("I look. So.", "f", FinishReason.TOOL_CALLS)
    assert json.loads(call.arguments) == arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('call:f{"city": "Paris"}', {"city": "Paris"}),
        (" call: f {\n a : 1.5 ,b:[ true , null ] } ", {"a": 1.5, "b": [True, None]}),
        ("call:f{}", {}),
    ],
)
def test_what_stands_between_does_not_matter(text: str, arguments: Any) -> None:
    call = call_of(text)
    assert call is not None
    assert json.loads(call.arguments) == arguments


@pytest.mark.parametrize(
    "text",
    [
        "call:f{a:Paris}",
        "call:f{a:1",
        "call:f{a:1}}",
        "call:f{a:1e999}",
        "call:f{a:" + "[" * 99_999,
    ],
)
def test_arguments_that_are_invalid_stay_as_they_are(text: str) -> None:
    call = call_of(text)
    assert call is not None
    assert call.arguments == text.removeprefix("call:f")
    assert call.values() == {}


@pytest.mark.parametrize("inner", ["", "what?", "call:", "call:f", "call:a b{}", "call:<|turn>{}"])
def test_what_names_no_tool_is_text_without_markers(inner: str) -> None:
    assert read([f"a{CALL_OPENS}{inner}{CALL_CLOSES}b"]) == (f"a{inner}b", [], FinishReason.STOP)


def test_several_calls_come_one_after_the_other() -> None:
    calls = "".join(f"{CALL_OPENS}call:f{{n:{n}}}{CALL_CLOSES}" for n in range(3))
    text, found, _ = read([calls])
    assert text == ""
    assert [json.loads(call.arguments)["n"] for call in found] == [0, 1, 2]
    assert len({call.id for call in found}) == 3


def test_a_thought_goes_through_as_it_is() -> None:
    thought = Chunk(f"{CALL_OPENS}call:f{{}}{CALL_CLOSES}", kind=ChunkKind.REASONING)
    chunks = [thought, Chunk("so", USAGE)]
    assert list(with_calls(chunk for chunk in chunks)) == chunks


def test_closing_it_closes_the_engines_answer() -> None:
    def engine() -> Any:
        try:
            yield Chunk("a")
            yield Chunk("b")
        finally:
            closed.append(True)

    closed: list[bool] = []
    chunks = with_calls(engine())
    next(chunks)
    chunks.close()
    assert closed == [True]


@pytest.mark.parametrize("call", [7, ToolCall("a", "b", {}), ToolCall(1, "b", "{}")])  # type: ignore[arg-type]
def test_what_an_engine_gives_as_a_call_and_is_none_is_refused(call: Any) -> None:
    with pytest.raises(Unfit):
        whole(Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=call))


def test_halves_of_characters_in_a_call_are_replaced() -> None:
    call = ToolCall("a", "b", "\ud800")
    found = whole(Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=call)).tool_call
    assert found == ToolCall("a", "b", "?")
