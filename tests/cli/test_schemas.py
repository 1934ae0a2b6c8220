"""Every command with ``--json`` has a schema, and a schema fails on what is not in it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

import click
import pytest

from gemmahub.cli.main import COMMANDS, cli
from gemmahub.planning.fit import Fit
from gemmahub.service.schemas import SCHEMAS, schema_named, schema_rows
from gemmahub.service.schemas.words import descriptions
from tests.json_schemas import faults, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

# Command lines that succeed, one at least for each schema; the fixture ``command`` holds what they
# print to it, as it does in all other tests.
LINES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "list": (("list", "--json", "--folder", "{folder}"), ("ls", "--all", "--format", "json")),
    "inspect": (("inspect", "{model}", "--json"), ("inspect", "gemma-3-4b-it:q4_0-qat", "--json")),
    "search": (("search", "gemma", "--json"),),
    "pull": (("pull", "user/gemma", "--dry-run", "--json"), ("pull", "user/gemma", "--json")),
    "run": (("run", "{model}", "--backend", "echo", "--json", "hello"),),
    "embed": (("embed", "{embeds}", "--backend", "echo", "--json", "hello"),),
    "chats-list": (("chats", "list", "--json"), ("chats", "--json")),
    "chats-show": (("chats", "show", "{chat}", "--json"),
                   ("chats", "export", "{chat}", "--format", "json")),
    "plan": (("plan", "gemma-3-4b-it:q4_0-qat", "--json"),),
    "recommend": (("recommend", "--json", "--memory", "24GiB", "--ram", "64GiB"),
                  ("recommend", "--format=json", "--machine", "rtx-3060")),
    "compare": (("compare", "gemma-3-4b-it:q4_0-qat", "gemma-3-4b-it:q8_0", "--json"),),
    "quality": (("quality", "{model}", "--backend", "echo", "--chunks", "1", "--json"),
                ("quality", "{model}", "--backend", "echo", "--prompts", "{prompts}", "--json")),
    "quantize": (("quantize", "{model}", "--to", "Q8_0", "--dry-run", "--json"),),
    "du": (("du", "--json"),),
    "rm": (("rm", "{copy}", "--dry-run", "--json"),),
    "dedupe": (("dedupe", "--json"),),
    "ps": (("ps", "--json"),),
    "hardware": (("hardware", "--json"),),
    "plugins": (("plugins", "--json"),),
    "plugins-show": (("plugins", "show", "echo", "--json"), ("plugins", "--json", "echo")),
    "config-list": (("config", "list", "--json"),),
    "config-get": (("config", "get", "run.backend", "--json"),),
    "doctor": (("doctor", "--json"),),
    "setup": (("setup", "--json"),),
    "presets-list": (("presets", "--json"), ("presets", "list", "--json")),
    "presets-show": (("presets", "show", "plain", "--json"),),
    "presets-import": (("presets", "import", "{presets}", "--yes", "--json"),),
    "schema": (("schema", "--json"),),
    "error": (("inspect", "no-such-model", "--json"), ("list", "--nosuch", "--json")),
}  # fmt: skip
# Seen in tests/cli/test_bench.py, with an engine that measures, and in tests/cli/test_run_tools.py.
ELSEWHERE: Final = {"bench-run", "chats-continue"}


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands of this program with their names."""
    for name in COMMANDS if not path else group.commands:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


def gives_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


def test_every_command_with_json_has_a_schema() -> None:
    wanted = {name.replace(" ", "-") for name, each in commands(cli) if gives_json(each)}
    assert (wanted - {"chats", "presets"}) | {"error", "chats-continue"} == set(SCHEMAS)
    assert set(LINES) | ELSEWHERE == set(SCHEMAS)


def test_every_schema_is_complete() -> None:
    used = set()
    known = descriptions()
    for name, entry in SCHEMAS.items():
        document = schema_named(name)
        assert document["$schema"].endswith("/2020-12/schema")
        assert document["$id"] == f"urn:gemmahub:schema:{name}:{entry.version}"
        assert document["x-version"] == entry.version
        for shape, definition in document["$defs"].items():
            assert definition["description"], shape
            if "properties" not in definition:
                assert definition["enum"], shape
                continue
            assert definition["additionalProperties"] is False, shape
            for key, value in definition["properties"].items():
                said = value.get("description", "")
                assert said, (shape, key)
                if key.endswith("_bytes") or key == "bytes":
                    assert "bytes" in said, (shape, key, said)
                if key.endswith("_seconds"):
                    assert "seconds" in said, (shape, key, said)
                if "tokens_per_second" in key:
                    assert "tokens a second" in said, (shape, key, said)
                own = isinstance(known.get(shape), dict) and key in known[shape]
                used.add(f"{shape}.{key}" if own else key)
    there = {key for key, value in known.items() if isinstance(value, str)}
    there |= {f"{s}.{k}" for s, v in known.items() if isinstance(v, dict) for k in v}
    assert there == used, "words that describe nothing"


@pytest.fixture
def places(
    tmp_path: Path, tiny_model: Path, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What the lines above name."""
    from gemmahub.conversations import ConversationStore, Described
    from gemmahub.service.presets import save_preset
    from gemmahub.testing.hub.models import small_model
    from gemmahub.testing.model_writer import write_embedding_model, write_model

    hub_server.add("user/gemma", {"gemma-Q4_0.gguf": small_model()})
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "real-F32.gguf"
    write_model(model)
    write_embedding_model(tmp_path / "models" / "embeds-F32.gguf")
    (tmp_path / "models" / "broken.gguf").write_bytes(b"GGUF")
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\n")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tmp_path / "models"))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,llamacpp")  # llama.cpp quantizes
    journal = ConversationStore(tmp_path / "data").new(Described("any", model="Any"))
    journal.add("user", "A question")
    journal.end_answer(journal.begin_answer("Any"), "stop")
    journal.close()
    save_preset("plain", {"model": str(model), "temperature": 0.0, "stop": ["x"]})
    (tmp_path / "presets.toml").write_text('[presets.other]\nmodel = "gemma-3-1b-it"\n')
    return {
        "presets": str(tmp_path / "presets.toml"),
        "folder": str(tiny_model.parent), "model": str(model), "copy": str(model),
        "embeds": str(model.with_name("embeds-F32.gguf")), "chat": journal.id,
        "prompts": str(tmp_path / "prompts.txt"),
    }  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_what_a_command_prints_keeps_to_its_schema(
    name: str, command: Command, places: dict[str, str]
) -> None:
    for words in LINES[name]:
        line = [word.format_map(places) for word in words]
        assert name == "error" or schema_of(line) == name
        done = command(*line)
        answer = json.loads(done.out)
        assert ("error" in answer) == (name == "error"), (line, done)
        assert not faults(name, answer)
        for damaged in damages(answer):
            assert faults(name, damaged), (line, damaged)


def damages(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same with one key misspelt, with one more, with one less, of each object in it."""
    optional = {"fetch_bytes", "fetched_bytes", "path", "verified", "right_build", "actual"}
    measured = {"gemmahub_results", "results"}  # records that leave out what is at its default
    for path in paths(answer):
        place = at(answer, path)
        if measured & set(map(str, path)) or not place:
            continue
        whole = copy.deepcopy(answer)
        at(whole, path)["keyy"] = 1
        yield whole
        key = next(iter(place))
        if key not in optional:
            less = copy.deepcopy(answer)
            del at(less, path)[key]
            yield less


FREE: Final = {
    "metadata", "arguments", "options", "largest_contexts", "formats", "settings", "scores", "value"
}  # fmt: skip
"""Objects whose keys are names of things, or those of an engine."""


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the objects with fixed keys are; of a list the first one."""
    if isinstance(value, dict):
        if not path or path[-1] not in FREE:
            yield path
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*path, 0))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_a_command_that_misspells_a_key_fails_the_tests(
    command: Command, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_json = Fit.as_json
    monkeypatch.setattr(Fit, "as_json", lambda self: as_json(self) | {"larges_context": 1})
    with pytest.raises(AssertionError, match="larges_context"):
        command("list", "--json", "--folder", tiny_model.parent)


def test_the_schemas_are_listed_and_printed(command: Command) -> None:
    listed = command("schema")
    for row in schema_rows():
        assert row["name"] in listed.out
    assert json.loads(command("schema", "chats", "list").out) == schema_named("chats-list")
    unknown = command("schema", "lis")
    assert unknown.code == 3
    assert "did you mean list" in unknown.err


def test_every_kind_of_failure_is_in_the_schema() -> None:
    kinds = schema_named("error")["$defs"]["Failure"]["properties"]["kind"]["enum"]
    assert {"usage", "not_found", "network", "does_not_fit", "backend_crashed"} <= set(kinds)
