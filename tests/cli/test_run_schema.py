"""``gemmahub run --schema``: JSON that keeps to a schema, or a failure, never something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.folder_writer import write_model_folder

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
MODEL = "gemma-3-270m"
QUESTION = "The capital of France as JSON:"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "people": {"type": "integer", "minimum": 0, "maximum": 99_999_999},
    },
    "required": ["city", "people"],
    "additionalProperties": False,
}

ENGINES = ("llama-server", "llama.cpp")


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return path


def run(command: Command, schema: Path, *arguments: object) -> Any:
    always = ("--temperature", 0, "-c", 512, "--schema", schema)
    return command("run", MODEL, QUESTION, *always, *arguments)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_answer_is_json_with_what_the_schema_demands(
    command: Command, schema: Path, engine: str
) -> None:
    if engine == "llama.cpp":  # its schemas know no range of a number
        properties = {**SCHEMA["properties"], "people": {"type": "integer"}}
        schema.write_text(json.dumps(SCHEMA | {"properties": properties}))
    found = run(command, schema, "--backend", engine)
    assert found.code == 0, found
    answer = json.loads(found.out)
    assert set(answer) == {"city", "people"}
    assert isinstance(answer["city"], str)
    assert type(answer["people"]) is int
    told = json.loads(run(command, schema, "--json", "--backend", engine).out)
    assert json.loads(told["text"]) == answer


@pytest.mark.parametrize("engine", ENGINES)
def test_an_answer_that_was_cut_off_is_a_failure(
    command: Command, schema: Path, engine: str
) -> None:
    found = run(command, schema, "-n", 4, "--backend", engine)
    assert (found.code, found.out) == (1, "")
    assert "the answer is not JSON" in found.err
    assert "--max-tokens" in found.err
    found = run(command, schema, "-n", 4, "--json")
    assert found.code == 1
    assert "the answer is not JSON" in json.loads(found.out)["error"]["message"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"not": {"required": ["city"]}}, "does not follow the schema"),
        (
            {"properties": {"city": {"$ref": "http://127.0.0.1:9/city"}}},
            "to this schema or grammar",
        ),
    ],
)
def test_what_the_engine_does_not_hold_to_is_a_failure(
    command: Command, schema: Path, more: dict[str, Any], said: str, engine: str
) -> None:
    schema.write_text(json.dumps(SCHEMA | more))
    found = run(command, schema, "--backend", engine)
    assert (found.code, found.out) == (1, "")
    assert said in found.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "schema.json"),
        ("[]", "schema.json"),
        ('{"type": "number or so"}', "is not a JSON schema"),
    ],
)
def test_a_file_that_holds_no_schema_is_refused_before_anything_is_loaded(
    command: Command, schema: Path, content: str, said: str
) -> None:
    schema.write_text(content)
    found = run(command, schema)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_a_file_that_is_not_there_is_refused(command: Command, tmp_path: Path) -> None:
    found = run(command, tmp_path / "none.json")
    assert found.code == 2
    assert "none.json" in found.err


def test_what_does_not_go_together_is_refused(
    command: Command, schema: Path, tmp_path: Path
) -> None:
    found = run(command, schema, "--think")
    assert found.code == 2
    assert "thinking cannot be combined" in found.err
    folder = write_model_folder(tmp_path / "mlx")
    found = command("run", folder, QUESTION, "--schema", schema, "--backend", "mlx")
    assert found.code == 5
    assert "mlx cannot constrain an answer to a JSON schema" in found.err
