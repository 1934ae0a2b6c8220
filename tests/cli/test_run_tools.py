"""``gemmahub run --tools``: calls are printed for scripts, and checked; results go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.model_writer import write_calling_model, write_model

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
ENGINES = pytest.mark.parametrize("backend", ["llama.cpp", "llama-server"])
LOOK_UP = {
    "name": "look_up",
    "description": "The height of a mountain, in metres.",
    "parameters": {"type": "object", "properties": {"mountain": {"type": "string"}}},
}
CALL = {"name": "look_up", "arguments": {"mountain": "K2"}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "calling.gguf"
    write_calling_model(path)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([LOOK_UP]))
    return path


def run(command: Command, model: Path, tools: Path, *arguments: object) -> Any:
    return command("run", model, "How high is K2?", "-c", 1024, "--tools", tools, *arguments)


def call_in(found: Any) -> dict[str, Any]:
    assert found.code == 0, found
    told = json.loads(found.out)
    (call,) = told["tool_calls"]
    return {**call, "conversation": told["conversation"], "text": told["text"]}


@ENGINES
def test_a_call_is_printed_and_continues_with_its_result(
    command: Command, model: Path, tools: Path, backend: str, tmp_path: Path
) -> None:
    call = call_in(run(command, model, tools, "--backend", backend))
    assert {key: call[key] for key in CALL} == CALL
    assert call["text"] == ""
    go_on = ("chats", "continue", call["conversation"], "--backend", backend)
    found = command(*go_on, "--tool-result", f"{call['id']}=8611")
    assert found.code == 0, found
    assert json.loads(found.out) == {
        "text": "high!",
        "tool_calls": [],
        "conversation": call["conversation"],
    }
    (again,) = json.loads(command(*go_on, "And K3?").out)["tool_calls"]
    assert again["id"] != call["id"]
    result = tmp_path / "result.txt"
    result.write_text("8051\n")
    found = command(*go_on, "--tool-result", f"{again['id']}=@{result}")
    assert json.loads(found.out)["text"] == "high!"
    shown = command("chats", "show", call["conversation"]).out
    assert shown.count("look_up") >= 2
    assert "8611" in shown
    assert "8051" in shown


def test_the_usual_record_has_the_calls(command: Command, model: Path, tools: Path) -> None:
    told = json.loads(run(command, model, tools, "--json").out)
    assert told["tool_calls"][0]["arguments"] == {"mountain": "K2"}
    assert told["usage"]["finish_reason"] == "tool_calls"
    assert told["precision"]["label"] == "F32"
    plain = json.loads(command("run", model, "Hi", "-c", 512, "--json").out)
    assert (plain["tool_calls"], plain["conversation"]) == ([], None)


def test_functions_may_stand_as_openais_interface_has_them(
    command: Command, model: Path, tools: Path
) -> None:
    tools.write_text(json.dumps([{"type": "function", "function": LOOK_UP}]))
    assert call_in(run(command, model, tools))["name"] == "look_up"


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        (
            {"parameters": {"properties": {"mountain": {"enum": ["Eiger"]}}}},
            "the call of look_up does not follow the schema: 'K2' is not one of ['Eiger']",
        ),
        ({"name": "other"}, "the model called look_up, which is not a tool of this conversation"),
    ],
)
def test_a_call_that_breaks_the_schema_is_a_failure_that_says_so(
    command: Command, model: Path, tools: Path, tool: dict[str, Any], said: str
) -> None:
    tools.write_text(json.dumps([LOOK_UP | tool]))
    found = run(command, model, tools)
    assert (found.code, found.out) == (1, "")
    assert said in found.err
    assert "--again" in found.err
    found = run(command, model, tools, "--json")
    assert found.code == 1
    assert said in json.loads(found.out)["error"]["message"]


def test_a_call_that_was_cut_off_is_a_failure(command: Command, model: Path, tools: Path) -> None:
    found = run(command, model, tools, "-n", 3)
    assert (found.code, found.out) == (1, "")
    assert "the call of look_up is not JSON" in found.err
    assert "--max-tokens" in found.err


@ENGINES
def test_a_template_without_tools_is_refused_and_nothing_is_kept(
    command: Command, tools: Path, tmp_path: Path, backend: str
) -> None:
    plain = tmp_path / "plain.gguf"
    write_model(plain)
    found = run(command, plain, tools, "--backend", backend)
    assert (found.code, found.out) == (5, "")
    assert "the chat template of this model does not support tools" in found.err
    assert "use a model with tools, such as Gemma 4" in found.err
    assert json.loads(command("chats", "list", "--json").out)["conversations"] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "tools.json: it is not JSON"),
        ("{}", "does not hold a list"),
        ("[]", "does not hold a list"),
        ("[1]", "function 1 of tools.json is not an object"),
        ('[{"name": "a b"}]', "function 1 of tools.json has no name"),
        ('[{"name": "a"}, {"name": "a"}]', "has two functions a"),
        ('[{"name": "a", "description": 1}]', "the description of a is not text"),
        ('[{"name": "a", "parameters": {"type": "array"}}]', "not a schema of an object"),
        ('[{"name": "a", "parameters": {"required": 1}}]', "are not a JSON schema"),
        ("[" * 5000, "tools.json"),
    ],
)
def test_a_file_that_holds_no_tools_is_refused_before_anything_is_loaded(
    command: Command, model: Path, tools: Path, content: str, said: str
) -> None:
    tools.write_text(content)
    model.unlink()
    found = run(command, model, tools)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (("x=1",), "there is no call 'x'"),
        (("8611",), "does not name a call"),
        (("x=1", "x=2"), "has two results"),
        (("x=@nowhere/at/all",), "cannot be read"),
    ],
)
def test_a_result_of_no_call_is_refused(
    command: Command, model: Path, tools: Path, result: tuple[str, ...], said: str
) -> None:
    id_ = call_in(run(command, model, tools))["conversation"]
    words = [word for text in result for word in ("--tool-result", text)]
    found = command("chats", "continue", id_, *words)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    found = command("chats", "continue", id_, "What?", *words)
    assert found.code == 2


def test_a_new_question_leaves_out_the_one_whose_tool_gave_no_result(
    command: Command, model: Path, tools: Path
) -> None:
    id_ = call_in(run(command, model, tools))["conversation"]
    assert json.loads(command("chats", "continue", id_, "And now?").out)["tool_calls"]


def test_what_does_not_go_together_is_refused(
    command: Command, model: Path, tools: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    for more, said in (
        (("--raw",), "leave out --raw"),
        (("--schema", schema), "and tools cannot be combined"),
    ):
        found = run(command, model, tools, *more)
        assert found.code == 2
        assert said in found.err
