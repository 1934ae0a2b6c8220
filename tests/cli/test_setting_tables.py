"""Settings of plugins that are tables of tables: listed, set, removed, checked; no secret shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Setting
from gemmahub.engines.manager import PluginManager
from gemmahub.engines.plugin_settings import check_setting, settings_of
from gemmahub.errors import UsageError
from gemmahub.records.parsing import Unfit

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
SERVERS = Setting(
    "servers",
    "servers by a name for each",
    fields=(
        Setting("url", "its address"),
        Setting("key", "its key", secret=True),
        Setting("plain", "only OpenAI's own parameters", bool, False),
    ),
)
FILE = """# mine
[plugins.echo.servers.lab]
url = "http://lab:8000"   # upstairs
key = { env = "LAB_KEY" }

[plugins.echo.servers.home]
url = "http://127.0.0.1:9"
key = "in plain sight"
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file, of an installation whose echo plugin has servers."""
    monkeypatch.setattr(PluginManager, "settings", lambda _: [("echo", SERVERS)])
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAB_KEY", "s3cret")
    path = tmp_path / "config.toml"
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(path))
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def rows(command: Command) -> dict[str, dict[str, Any]]:
    answer = json.loads(command("config", "list", "--json").out)
    return {row["name"]: row for row in answer["settings"]}


def test_entries_are_read_with_their_secrets_and_defaults() -> None:
    servers = settings_of("echo", (SERVERS,))["servers"]
    assert list(servers) == ["lab", "home"]
    assert dict(servers["lab"]) == {"url": "http://lab:8000", "key": "s3cret", "plain": False}
    assert servers["home"]["key"] == "in plain sight"
    assert "s3cret" not in f"{servers!r} {servers['lab']!r}"


def test_nothing_in_the_file_is_not_an_entry(file: Path) -> None:
    file.write_text("")
    assert dict(settings_of("echo", (SERVERS,))["servers"]) == {}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('[plugins.echo.servers.bad]\nurll = "x"', "no setting 'urll'"),
        ("[plugins.echo.servers.bad]\nurl = 5", "whose url must be a text"),
        ("[plugins.echo.servers.bad]\nkey = 5", "whose key must be a text, { env"),
        ('[plugins.echo.servers]\nbad = "http://x"', "bad that is not a table"),
        ('[plugins.echo.servers."B D"]\nurl = "x"', "'B D'"),
        ('[plugins.echo.servers.bad]\nkey = { env = "NOT_SET" }', "NOT_SET, which is not set"),
    ],
)
def test_a_fault_of_one_entry_hides_no_other(
    command: Command, file: Path, lines: str, reason: str
) -> None:
    file.write_text(f"{FILE}{lines}\n")
    servers = settings_of("echo", (SERVERS,))["servers"]
    assert servers["lab"]["url"] == "http://lab:8000"
    (bad,) = set(servers) - {"lab", "home"}
    with pytest.raises(UsageError, match=r"plugins\.echo\.servers"):
        servers[bad]
    problems = [row["problem"] for row in rows(command).values() if row["problem"]]
    assert any(reason in problem for problem in problems), problems


def test_a_value_in_place_of_the_tables_is_refused(file: Path) -> None:
    file.write_text('[plugins.echo]\nservers = "http://lab"\n')
    with pytest.raises(UsageError, match="servers must be a table of tables"):
        settings_of("echo", (SERVERS,))


def test_each_entry_is_listed_and_no_secret_is(command: Command) -> None:
    found = rows(command)
    assert found["plugins.echo.servers"]["value"] == {
        "lab": {"url": "http://lab:8000", "key": None},
        "home": {"url": "http://127.0.0.1:9", "key": None},
    }
    assert found["plugins.echo.servers"]["type"] == "a table of tables"
    assert found["plugins.echo.servers.lab.url"]["value"] == "http://lab:8000"
    assert found["plugins.echo.servers.lab.key"]["origin"] == "env LAB_KEY"
    assert found["plugins.echo.servers.home.key"]["secret"] is True
    for asked in (("list",), ("list", "--json"), ("get", "plugins.echo.servers", "--json")):
        said = command("config", *asked)
        assert "s3cret" not in said.out + said.err
        assert "plain sight" not in said.out + said.err
    assert command("config", "get", "plugins.echo.servers").out == "lab, home\n"


def test_one_value_is_set_and_the_rest_of_the_file_stays(command: Command, file: Path) -> None:
    command("config", "set", "plugins.echo.servers.lab.url", "http://lab:9000")
    command("config", "set", "plugins.echo.servers.new-one.url", "http://10.0.0.2:1")
    command("config", "set", "plugins.echo.servers.new-one.key", '{ env = "LAB_KEY" }')
    text = file.read_text()
    assert "# mine" in text
    assert "# upstairs" in text
    servers = settings_of("echo", (SERVERS,))["servers"]
    assert servers["lab"]["url"] == "http://lab:9000"
    assert (servers["new-one"]["url"], servers["new-one"]["key"]) == ("http://10.0.0.2:1", "s3cret")
    assert servers["home"]["url"] == "http://127.0.0.1:9"


def test_an_entry_and_a_value_are_removed(command: Command, file: Path) -> None:
    command("config", "unset", "plugins.echo.servers.lab.key")
    assert settings_of("echo", (SERVERS,))["servers"]["lab"]["key"] is None
    command("config", "unset", "plugins.echo.servers.home")
    assert list(settings_of("echo", (SERVERS,))["servers"]) == ["lab"]
    assert "# upstairs" in file.read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plugins.echo.servers", "lab=http://x"),
        ("plugins.echo.servers.lab", "http://x"),
        ("plugins.echo.servers.lab.urll", "http://x"),
        ("plugins.echo.servers.L B.url", "http://x"),
        ("plugins.echo.servers.lab.plain", "perhaps"),
    ],
)
def test_what_cannot_be_set_is_refused(command: Command, file: Path, name: str, value: str) -> None:
    said = command("config", "set", name, value)
    assert said.code == 2
    assert file.read_text() == FILE


def test_doctor_warns_of_a_key_that_others_can_read(command: Command, file: Path) -> None:
    file.chmod(0o644)
    said = command("doctor", "--json")
    assert "plugins.echo.servers.home.key" in said.out
    assert "plain sight" not in said.out


@pytest.mark.parametrize(
    "changes",
    [
        {"default": "x"},
        {"env": "LAB"},
        {"secret": True},
        {"choices": ("a",)},
        {"fields": (Setting("a", "b", fields=(Setting("c", "d"),)),)},
        {"fields": (Setting("a", "b"), Setting("a", "c"))},
        {"fields": ("url",)},
        {"fields": "url"},
    ],
)
def test_a_declaration_that_is_invalid_is_refused(changes: dict[str, Any]) -> None:
    made = Setting("servers", "help", **{"fields": (Setting("url", "u"),), **changes})
    with pytest.raises(Unfit):
        check_setting(made)
    assert check_setting(SERVERS) is SERVERS
