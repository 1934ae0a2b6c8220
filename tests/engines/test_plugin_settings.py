"""Settings that plugins declare: where their values come from, what is refused, and secrets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from keyring.backend import KeyringBackend

from gemmahub.engines.contract import Setting
from gemmahub.engines.guarded import foreign_errors
from gemmahub.engines.plugin_settings import check_setting, settings_of
from gemmahub.engines.process import start_python
from gemmahub.errors import LoadFailed, UsageError
from gemmahub.python_environment import install_command
from gemmahub.records.parsing import Unfit

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = (
    Setting("address", "where the server is", default="here", env="DEMO_ADDRESS"),
    Setting("port", "its port", int, 80, env="DEMO_PORT"),
    Setting("speed", "how fast", default="slow", choices=("slow", "fast"), env="DEMO_SPEED"),
    Setting("limit", "how much", float),
    Setting("folders", "which folders", list[str], (), env="DEMO_FOLDERS"),
    Setting("names", "which names", dict[str, str]),
    Setting("key", "its key", secret=True, env="DEMO_KEY"),
)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(path))
    for setting in SETTINGS:
        monkeypatch.delenv(setting.env or "DEMO_X", raising=False)
    return path


def read(name: str) -> Any:
    return settings_of("demo", SETTINGS)[name]


def test_without_a_file_the_defaults_are_in_effect() -> None:
    found = settings_of("demo", SETTINGS)
    assert {name: found[name] for name in found} == {
        setting.name: setting.default for setting in SETTINGS
    }
    assert "here" not in repr(found)


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        "[plugins.demo]\nenabled = true\nport = 1\nlimit = 2\nfolders = ['a', 'b']\n"
        "names = { a = 'b' }\naddress = 'file'\n[plugins.other]\nanything = 1979-05-27\n"
    )
    assert read("port") == 1
    assert read("limit") == 2
    assert read("folders") == ["a", "b"]
    assert read("names") == {"a": "b"}
    assert read("speed") == "slow"
    monkeypatch.setenv("DEMO_PORT", "7")
    monkeypatch.setenv("DEMO_FOLDERS", "c, d,")
    monkeypatch.setenv("DEMO_ADDRESS", "")
    assert read("port") == 7
    assert read("folders") == ["c", "d"]
    assert read("address") == "file"  # an empty variable says nothing


def test_a_setting_may_be_in_another_table(file: Path) -> None:
    declared = (Setting("a", "a"), Setting("b", "b", table="shared"))
    file.write_text("[plugins.demo]\na = '1'\n[plugins.shared]\nb = '2'\n")
    assert dict(settings_of("demo", declared)) == {"a": "1", "b": "2"}
    file.write_text("[plugins.demo]\nb = '2'\n")
    with pytest.raises(UsageError, match="has no setting 'b'"):
        settings_of("demo", declared)


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("prot = 1", "plugins.demo has no setting 'prot'", "its settings: address, "),
        ("port = '1'", "plugins.demo.port must be a whole number", "its port"),
        ("port = true", "plugins.demo.port must be a whole number", ""),
        ("limit = 'x'", "plugins.demo.limit must be a number", ""),
        ("speed = 'x'", "plugins.demo.speed must be one of slow, fast", ""),
        ("folders = 'x'", "plugins.demo.folders must be a list of texts", ""),
        ("names = { a = 1 }", "plugins.demo.names must be a table of texts", ""),
        ('address = "a\\u0000"', "plugins.demo.address must be a text", ""),
        ("key = 5", "plugins.demo.key must be a text, { env", ""),
        ("key = { env = 'A B' }", "plugins.demo.key must be", ""),
        ("key = { env = 'A', keyring = 'a/b' }", "plugins.demo.key must be", ""),
        ("key = { keyring = 'a' }", "plugins.demo.key must be", ""),
        ("key = { file = 'a' }", "plugins.demo.key must be", ""),
        (
            "key = { env = 'NOT_SET' }",
            "names the variable NOT_SET, which is not set",
            "set NOT_SET",
        ),
        ("enabled = 1", "plugins.demo.enabled must be true or false", ""),
    ],
)
def test_a_wrong_table_names_file_key_and_what_is_allowed(
    file: Path, text: str, told: str, hint: str
) -> None:
    file.write_text(f"[plugins.demo]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        settings_of("demo", SETTINGS)
    assert told in caught.value.message
    assert str(file) in caught.value.message
    assert hint in caught.value.hint


def test_what_a_backend_reads_wrong_is_reported_as_it_is(file: Path) -> None:
    file.write_text("[plugins.demo]\nport = 'x'\n")
    with pytest.raises(LoadFailed) as caught, foreign_errors(LoadFailed, "demo failed"):
        settings_of("demo", SETTINGS)
    assert caught.value.message == f"{file}: plugins.demo.port must be a whole number"
    assert caught.value.hint == "its port"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DEMO_PORT", "many", "DEMO_PORT must be a whole number, and 'many' is not"),
        ("DEMO_SPEED", "x", "DEMO_SPEED must be one of slow, fast"),
    ],
)
def test_a_wrong_variable_is_named(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=told):
        settings_of("demo", SETTINGS)


def test_a_secret_may_be_a_text_or_name_a_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[plugins.demo]\nkey = 'plain'\n")
    assert read("key") == "plain"
    file.write_text("[plugins.demo]\nkey = { env = 'OTHER_KEY' }\n")
    monkeypatch.setenv("OTHER_KEY", "other")
    assert read("key") == "other"
    monkeypatch.setenv("DEMO_KEY", "first")
    assert read("key") == "first"
    assert "first" not in repr(settings_of("demo", SETTINGS))


class DemoKeyring(KeyringBackend):
    """A keyring with one entry."""

    priority = 1.0

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise RuntimeError("it is locked")
        return "from the keyring" if (service, username) == ("demo", "me/too") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("demo/me/too", ""),
        ("demo/nobody", "the keyring has no entry demo/nobody"),
        ("locked/me", "the keyring cannot read locked/me: RuntimeError: it is locked"),
    ],
)
def test_a_secret_may_be_in_the_keyring(file: Path, entry: str, told: str) -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(DemoKeyring())  # type: ignore[no-untyped-call]
    try:
        file.write_text(f"[plugins.demo]\nkey = {{ keyring = '{entry}' }}\nport = 5\n")
        found = settings_of("demo", SETTINGS)
        assert found["port"] == 5  # the keyring is not asked for that
        if told:
            with pytest.raises(UsageError, match=told):
                found["key"]
        else:
            assert found["key"] == "from the keyring"
    finally:
        keyring.set_keyring(before)


def test_without_the_keyring_library_the_command_to_install_it_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[plugins.demo]\nkey = { keyring = 'demo/me' }\n")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match="keyring package is missing") as caught:
        read("key")
    assert install_command("gemmahub[keyring]") in caught.value.hint


def test_a_process_of_ours_reads_the_same(file: Path, tmp_path: Path) -> None:
    file.write_text("[plugins.demo]\nport = 5\n")
    (tmp_path / "asks.py").write_text(
        "from gemmahub.engines.contract import Setting\n"
        "from gemmahub.engines.plugin_settings import settings_of\n"
        "print(settings_of('demo', [Setting('port', 'its port', int, 80)])['port'])\n"
    )
    with start_python("asks", environment={"PYTHONPATH": str(tmp_path)}) as child:
        out, _ = child.communicate(timeout=60)
    assert out.strip() == b"5"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("port", "it is a str, not a Setting"),
        (Setting("", "x"), "invalid name: use"),
        (Setting("Big", "x"), "invalid name: use"),
        (Setting("enabled", "x", bool), "invalid name: use"),
        (Setting(5, "x"), "a name that is not text"),  # type: ignore[arg-type]
        (Setting("a", None), "a help that is not text"),  # type: ignore[arg-type]
        (Setting("a", "x", bytes), "a type that settings do not support"),
        (Setting("a", "x", [1]), "a type that settings do not support"),
        (
            Setting("a", "x", int, secret=True),
            "a type that settings do not support when it is a secret",
        ),
        (Setting("a", "x", int, "1"), "not a whole number"),
        (Setting("a", "x", choices=(1,)), "not a text"),
        (Setting("a", "x", choices="abc"), "choices that are not a list"),  # type: ignore[arg-type]
        (Setting("a", "x", default="c", choices=("a", "b")), "not among its choices"),
        (Setting("a", "x", env="A=B"), "names an invalid variable"),
        (Setting("a", "x", table="../x"), "a table with an invalid name: use"),
    ],
)
def test_a_declaration_that_cannot_be_is_reported_in_words(setting: object, told: str) -> None:
    with pytest.raises(Unfit) as caught:
        check_setting(setting)
    assert told in str(caught.value)


def test_a_declaration_that_can_be_is_taken_as_it_is() -> None:
    assert tuple(map(check_setting, SETTINGS)) == SETTINGS
