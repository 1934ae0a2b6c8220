"""Settings of plugins: declared once, read with one call, checked at one place.

::

    from gemmahub.engines.contract import Setting
    from gemmahub.engines.plugin_settings import settings_of

    SETTINGS = (
        Setting("address", "where the server listens", default="127.0.0.1:8080", env="DEMO_HOST"),
        Setting("key", "the server's key", secret=True, env="DEMO_KEY"),
    )

    @hookimpl
    def gemmahub_settings():
        return SETTINGS

    settings_of("demo", SETTINGS)["address"]  # in a hook, in a backend, in its worker process

The user writes them into ``[plugins.demo]`` of the settings file (``gemmahub config set``). A
variable goes before the file, the file before the default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.core import ENABLED, declared_tables
from gemmahub.config.file import read_tables, settings_path
from gemmahub.config.kinds import KINDS, is_of, value_of_text
from gemmahub.engines.contract import Setting
from gemmahub.engines.setting_tables import fields_fault, wrong_entry, wrong_tables
from gemmahub.errors import UsageError
from gemmahub.python_environment import install_command
from gemmahub.records.parsing import Unfit
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET_FORMS: Final = 'a text, { env = "NAME" } or { keyring = "service/user" }'


@dataclass(frozen=True, slots=True)
class FoundSetting:
    """A value in effect and where it comes from: ``default``, ``file``, ``env NAME`` or
    ``keyring service/user``. The value of a secret from a keyring is None: it is asked for when
    the secret is used."""

    value: Any
    origin: str


def settings_of(plugin: str, declared: Sequence[Setting]) -> Mapping[str, Any]:
    """The values in effect of a plugin's settings, by name. A secret is looked up when it is read.

    Raises: UsageError, which names the file, the key and what is allowed; also when a secret is
    read that its keyring does not have.
    """
    path = settings_path()
    tables = declared_tables(read_tables(path), "plugins", path)
    found: dict[str, FoundSetting] = {}
    for table in dict.fromkeys(setting.table or plugin for setting in declared):
        own = [setting for setting in declared if (setting.table or plugin) == table]
        values = tables.get(table, {})
        check_table(table, values, own, path)
        found |= {setting.name: find(setting, values, table, path) for setting in own}
    return _Settings(found)


def check_table(
    table: str, values: Mapping[str, Any], declared: Sequence[Setting], path: Path
) -> None:
    """Raises: UsageError for a key of ``[plugins.TABLE]`` that no setting has, or a wrong value."""
    known = {setting.name: setting for setting in declared}
    for name, value in values.items():
        if name == ENABLED:
            continue
        where = f"{path}: plugins.{table}"
        if name not in known:
            offered = ", ".join(sorted(known)) or "none"
            what = f"{where} has no setting {one_line(name)!r}"
            raise UsageError(what, f"its settings: {offered}")
        if known[name].fields and isinstance(value, dict):
            continue  # each entry is looked at when it is read: one hides no other
        if reason := wrong_value(known[name], value):
            raise UsageError(f"{where}.{name} {reason}", known[name].help)


def wrong_value(setting: Setting, value: object) -> str:
    """What a value from the settings file should be instead; "" where it is right."""
    if setting.fields:
        return wrong_tables(setting, value, wrong_value)
    if setting.secret:
        is_right = is_of(value, str) or _is_named(value)
        return "" if is_right else f"must be {_SECRET_FORMS}"
    if not is_of(value, setting.type):
        return f"must be {KINDS[setting.type]}"
    if setting.choices and value not in setting.choices:
        return f"must be one of {', '.join(map(str, setting.choices))}"
    return ""


def find(setting: Setting, values: Mapping[str, Any], table: str, path: Path) -> FoundSetting:
    """The value in effect, from the variable, the file's checked ``values``, or the default.

    Raises: UsageError for a variable's text that is no such value, or a variable that the file
    names and that is not set.
    """
    if setting.env and (text := os.environ.get(setting.env)):
        return FoundSetting(_of_variable(setting, text), f"env {setting.env}")
    if setting.name not in values:
        return FoundSetting({} if setting.fields else setting.default, "default")
    value = values[setting.name]
    if setting.fields:
        return FoundSetting(_Entries(setting, value, table, path), "file")
    if not isinstance(value, dict) or not setting.secret:
        return FoundSetting(value, "file")
    ((kind, name),) = value.items()
    if kind == "keyring":
        return FoundSetting(None, f"keyring {name}")
    if not (text := os.environ.get(name, "")):
        what = f"{path}: plugins.{table}.{setting.name} names the variable {name}, which is not set"
        raise UsageError(what, f"set {name}, or change the setting")
    return FoundSetting(text, f"env {name}")


def _of_variable(setting: Setting, text: str) -> Any:
    try:
        value = value_of_text(text, setting.type)
    except ValueError:
        value = None
    if value is None or (setting.choices and value not in setting.choices):
        kind = KINDS[setting.type]
        allowed = f"one of {', '.join(map(str, setting.choices))}" if setting.choices else kind
        shown = "its value" if setting.secret else repr(one_line(text))
        raise UsageError(f"{setting.env} must be {allowed}, and {shown} is not", setting.help)
    return value


def _is_named(value: object) -> bool:
    """Whether a secret's value says where the secret is."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, name),) = value.items()
    if kind == "env":
        return isinstance(name, str) and _VARIABLE.fullmatch(name) is not None
    return kind == "keyring" and is_of(name, str) and all(name.partition("/"))


class _Settings(Mapping[str, Any]):
    def __init__(self, found: Mapping[str, FoundSetting]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> Any:
        found = self._found[name]
        if found.value is None and found.origin.startswith("keyring "):
            return from_keyring(found.origin.removeprefix("keyring "))
        return found.value

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<settings {', '.join(self._found)}>"  # no value: one may be a secret


class _Entries(Mapping[str, Any]):
    """A table of tables: what is wrong with an entry is said when that one is read."""

    def __init__(self, setting: Setting, values: Mapping[str, Any], table: str, path: Path) -> None:
        self._setting, self._values = setting, values
        self._table, self._path = f"{table}.{setting.name}", path

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """Raises: UsageError."""
        entry = self._values[name]
        if reason := wrong_entry(self._setting, name, entry, wrong_value):
            what = f"{self._path}: plugins.{self._table} {reason}"
            raise UsageError(what, self._setting.help)
        table = f"{self._table}.{name}"
        fields = self._setting.fields
        return _Settings({one.name: find(one, entry, table, self._path) for one in fields})

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<entries {', '.join(self._values)}>"  # no value: one may be a secret


def from_keyring(entry: str) -> str:
    """The secret of the keyring's entry ``service/user``.

    Raises: UsageError when there is none, or no keyring.
    """
    service, _, user = entry.partition("/")
    try:
        import keyring
    except ImportError:
        raise UsageError(
            f"the secret is in the keyring as {one_line(entry)}, but Python's keyring "
            "package is missing",
            install_command("gemmahub[keyring]"),
        ) from None
    try:
        secret = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001 - backends of keyring raise whatever their system does
        reason = one_line(f"{type(error).__name__}: {error}")
        what = f"the keyring cannot read {one_line(entry)}: {reason}"
        raise UsageError(what, 'unlock it, or use a variable: { env = "NAME" }') from None
    if secret is None:
        what = f"the keyring has no entry {one_line(entry)}"
        raise UsageError(what, f"keyring set {one_line(service)} {one_line(user)}")
    return str(secret)


# --- what a plugin declares --------------------------------------------------------------------


def check_setting(record: object) -> Setting:
    """A setting as a plugin may declare it. Raises: Unfit."""
    if not isinstance(record, Setting):
        raise Unfit(f"it is a {type(record).__name__}, not a Setting")
    if reason := _fault(record):
        raise Unfit(f"the setting {one_line(repr(record.name), 60)} {reason}")
    return record


def _fault(setting: Setting) -> str:
    if setting.fields:
        fields = setting.fields if isinstance(setting.fields, tuple) else ()
        try:
            list(map(check_setting, fields))
        except Unfit as error:
            return f"has an invalid field: {error}"
        if fault := fields_fault(setting):
            return fault
    texts = {"name": setting.name, "help": setting.help, "env": setting.env, "table": setting.table}
    if wrong := [field for field, text in texts.items() if not isinstance(text, str)]:
        return f"has a {wrong[0]} that is not text"
    if not _NAME.fullmatch(setting.name) or setting.name == ENABLED:
        return "has an invalid name: use small letters, digits, _ and -"
    if setting.table and not _NAME.fullmatch(setting.table):
        return "has a table with an invalid name: use small letters, digits, _ and -"
    if setting.env and not _VARIABLE.fullmatch(setting.env):
        return "names an invalid variable"
    try:
        is_known = setting.type in KINDS
    except TypeError:  # what cannot be hashed
        is_known = False
    if not is_known or (setting.secret and setting.type is not str):
        return "has a type that settings do not support" + " when it is a secret" * is_known
    if not isinstance(setting.choices, tuple | list):
        return "has choices that are not a list"
    values = [setting.default, *setting.choices]
    if any(value is not None and not is_of(_plain(value), setting.type) for value in values):
        return f"has a default or a choice that is not {KINDS[setting.type]}"
    if setting.choices and setting.default not in (None, *setting.choices):
        return "has a default that is not among its choices"
    return ""


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
