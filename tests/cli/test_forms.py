"""``--format``, ``--quiet``, ``--filter`` and ``--sort`` as commands have them."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from gemmahub.cli.main import cli
from gemmahub.cli.row_views import ROW_VIEWS
from gemmahub.service.schemas import schema_named
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models of different size and precision; one has the name of a formula."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name, type_, rows in (("small-Q4_0", "Q4_0", 64), ("=large-F16", "F16", 256)):
        metadata = {
            "general.architecture": "gemma3", "general.name": name, "gemma3.block_count": 1,
            "gemma3.context_length": 128,
        }  # fmt: skip
        weights = ("blk.0.attn_q.weight", (32, rows), type_)
        write_gguf(
            folder / f"{name}.gguf", metadata, [("token_embd.weight", (32, 8), "F16"), weights]
        )
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    return folder


def names(done: Result) -> list[str]:
    assert done.code == 0, done
    return [Path(line).stem for line in done.out.splitlines()]


def test_csv_has_the_documented_columns(command: Command, models: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(command("list", "--format", "csv").out)))
    assert len(rows) == 2
    assert list(rows[0]) == ROW_VIEWS["list"].names
    by_name = {row["name"]: row for row in rows}
    assert set(by_name) == {"'=large-F16", "small-Q4_0"}
    listed = json.loads(command("list", "--format", "json").out)["models"]
    small = next(model for model in listed if model["name"] == "small-Q4_0")
    assert by_name["small-Q4_0"]["size_bytes"] == str(small["size_bytes"])
    assert by_name["small-Q4_0"]["bits_per_weight"] == str(small["precision"]["bits_per_weight"])
    assert by_name["small-Q4_0"]["installed"] == "true"


def test_filter_and_sort_are_those_of_all_forms(command: Command, models: Path) -> None:
    assert names(command("list", "-q", "--sort", "bits")) == ["small-Q4_0", "=large-F16"]
    assert names(command("list", "-q", "--sort", "-bits")) == ["=large-F16", "small-Q4_0"]
    assert names(command("list", "-q", "--filter", "bits<10")) == ["small-Q4_0"]
    assert names(command("list", "-q", "--filter", "engine=echo,name~LARGE")) == ["=large-F16"]
    assert names(command("list", "-q", "--filter", "engine=mlx")) == []
    listed = json.loads(command("list", "--json", "--filter", "bits>10").out)
    assert [model["name"] for model in listed["models"]] == ["=large-F16"]
    table = command("list", "--filter", "label=q4_0")
    assert "small" in table.out
    assert "large" not in table.out
    nothing = command("list", "--filter", "bits>99")
    assert nothing.code == 0
    assert "no installed model passes the filter" in nothing.err


def test_a_wrong_filter_is_a_usage_error(command: Command, models: Path) -> None:
    for words in (("--filter", "bitz<5"), ("--sort", "nosuch"), ("--filter", "bits~4")):
        done = command("list", *words)
        assert done.code == 2
        assert "hint:" in done.err
    failed = command("list", "--filter", "bitz<5", "--format", "json")
    assert json.loads(failed.out)["error"]["kind"] == "usage"


def test_two_forms_are_refused(command: Command) -> None:
    for words in (("--json", "-q"), ("-q", "--format", "csv"), ("--json", "--format", "csv")):
        assert command("list", *words).code == 2
    assert command("list", "--json", "--format", "json").code == 0


def test_search_filters_and_names_files(command: Command, hub_server: HubServer) -> None:
    from gemmahub.testing.hub.models import small_model

    hub_server.add("user/gemma-a", {f"gemma-{t}.gguf": small_model() for t in ("Q4_0", "Q8_0")})
    hub_server.add("user/gemma-b", {"gemma-BF16.gguf": small_model()})
    every = command("search", "gemma", "-q").out.splitlines()
    assert len(every) == 3
    assert all("user/" in line for line in every)
    only = command("search", "gemma", "-q", "--filter", "label=q8_0").out.splitlines()
    assert len(only) == 1
    assert "Q8_0" in only[0]
    found = json.loads(command("search", "gemma", "--json", "--filter", "label=bf16").out)
    assert [row["name"] for row in found["repositories"]] == ["user/gemma-b"]
    by_name = list(csv.DictReader(io.StringIO(command("search", "gemma", "--format", "csv").out)))
    assert [row["repository"] for row in by_name].count("user/gemma-a") == 2
    none = command("search", "gemma", "--filter", "label=q2_k")
    assert "passes the filter" in none.err


def test_names_go_through_a_pipe(models: Path) -> None:
    program = f"{sys.executable} -m gemmahub"
    line = f"{program} list -q --filter name~small | xargs -n1 {program} inspect"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "small-Q4_0" in done.stdout


ROWS = [
    ("recommend", "--model", "gemma-3-4b-it", "--memory", "24GiB"),
    ("compare", "gemma-3-4b-it:q4_0-qat", "gemma-3-4b-it:q8_0"),
    ("plan", "gemma-3-4b-it:q4_0-qat"),
    ("list",),
    ("du",),
    ("ps",),
    ("hardware",),
    ("plugins",),
    ("chats", "list"),
    ("config", "list"),
    ("doctor",),
]


@pytest.mark.parametrize("words", ROWS, ids=" ".join)
def test_every_command_with_rows_has_all_forms(
    words: tuple[str, ...], command: Command, models: Path
) -> None:
    name = " ".join(words[:2]) if words[0] in ("chats", "config") else words[0]
    table = command(*words, "--format", "csv")
    assert table.code in (0, 1), table
    rows = list(csv.reader(io.StringIO(table.out)))
    assert rows[0] == ROW_VIEWS[name].names
    assert {len(row) for row in rows} == {len(rows[0])}
    marked = command(*words, "--format", "markdown").out.splitlines()
    assert marked[0] == f"| {' | '.join(ROW_VIEWS[name].main.names)} |"
    assert len(marked) == len(rows) + 1


def test_every_column_is_a_key_of_the_json() -> None:
    """A path that leads nowhere would be a column that is always empty."""
    for name, view in ROW_VIEWS.items():
        schema = json.dumps(schema_named(name.partition(" --")[0]))
        for column in view.columns:
            path = column.partition("=")[2] or column
            made = name in ("hardware", "quality --tasks") or path.startswith(
                ("pull", "repository")
            )
            for key in () if made else path.split("."):
                assert f'"{key}": {{' in schema, (name, column)


def test_every_column_is_documented() -> None:
    text = (ROOT / "docs/reference/json.md").read_text("utf-8").split("<!-- columns -->")[1]
    for name, view in ROW_VIEWS.items():
        row = re.search(rf"^\| `{re.escape(name)}` \| (.+) \|$", text, re.MULTILINE)
        assert row is not None, name
        assert re.findall(r"`(\w+)`", row[1]) == view.names, name


def test_markdown_has_some_of_the_columns() -> None:
    for name, view in ROW_VIEWS.items():
        assert set(view.brief) <= set(view.names), name
        assert 0 < len(view.main.names) <= 9, name


def test_every_view_belongs_to_a_command() -> None:
    for name in ROW_VIEWS:
        command: click.Command | None = cli
        for word in name.partition(" --")[0].split():
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None
        assert any("--format" in parameter.opts for parameter in command.params), name
