"""The use case: every setting that there is, its value in effect, and where that comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.core import CORE, ENABLED, PRESETS, TABLES, check
from gemmahub.config.file import read_tables, settings_path
from gemmahub.config.kinds import KINDS, text_of_value
from gemmahub.engines.contract import CheckResult, Setting
from gemmahub.engines.plugin_settings import FoundSetting, find, wrong_value
from gemmahub.engines.setting_tables import ENTRY, kind_of, shown_tables
from gemmahub.errors import UsageError
from gemmahub.service.presets import fields, presets
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from gemmahub.engines.manager import PluginManager
    from gemmahub.service.installation import Installation

_READABLE_BY_OTHERS: Final = 0o044
SETTINGS_FILE: Final = "settings file"
"""The check of who can read a settings file with secrets."""


@dataclass(frozen=True, slots=True)
class KnownSetting:
    """A setting that exists, its place in the settings file, and the plugin that declares it."""

    keys: tuple[str, ...]
    setting: Setting
    plugin: str = ""

    @property
    def name(self) -> str:
        """As it is named on the command line."""
        return ".".join(self.keys)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting as it is shown. ``value`` of a secret is None; ``is_set`` says that it is not the
    default. ``problem`` says what is wrong with what the file or a variable says of it."""

    name: str
    value: Any
    shown: str
    origin: str
    help: str = ""
    kind: str = ""
    default: Any = None
    choices: tuple[Any, ...] = ()
    env: str = ""
    secret: bool = False
    problem: str = ""
    plugin: str = ""
    table: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether somebody chose it."""
        return self.origin != "default"

    @property
    def shown_default(self) -> str:
        """What counts where nobody says anything."""
        return "" if self.secret else text_of_value(self.default)

    def as_json(self) -> dict[str, Any]:
        """The row as ``gemmahub config list --json`` prints it."""
        return {
            "name": self.name,
            "value": self.value,
            "set": self.is_set,
            "origin": self.origin,
            "help": self.help,
            "type": self.kind,
            "default": self.default,
            "choices": list(self.choices),
            "env": self.env or None,
            "secret": self.secret,
            "problem": self.problem or None,
        }


def known_settings(manager: PluginManager) -> list[KnownSetting]:
    """All settings: the core's, each plugin's, the options of each backend."""
    found = [
        KnownSetting(tuple(name.split(".")), Setting(name, core.help, core.kind, env=core.env))
        for name, core in CORE.items()
    ]
    found.append(KnownSetting((PRESETS,), fields.SETTING))
    enabled = Setting(ENABLED, "whether the plugin is loaded", bool, True)
    declared = manager.settings()
    for name in dict.fromkeys(record.name.partition(" (")[0] for record in manager.records):
        found.append(KnownSetting(("plugins", name, ENABLED), enabled, name))
        found += [
            KnownSetting(("plugins", setting.table or plugin, setting.name), setting, plugin)
            for plugin, setting in declared
            if plugin == name
        ]
    for offer in manager.backends():
        for option in offer.backend.options:
            kind = option.type if option.type in KINDS else str
            choices = tuple(option.choices)
            setting = Setting(option.name, option.help, kind, option.default, choices)
            found.append(KnownSetting(("backends", offer.backend.name, option.name), setting))
    return list({one.keys: one for one in reversed(found)}.values())[::-1]  # the first of a name


def with_entries(known: list[KnownSetting], tables: Mapping[str, Any]) -> Iterator[KnownSetting]:
    """The settings, and behind each table of tables the fields of the entries in the file."""
    for one in known:
        yield one
        entries = value_at(tables, one.keys) if one.setting.fields else None
        for name in entries if isinstance(entries, dict) else ():
            place = (*one.keys, name)
            for field in one.setting.fields:
                if one.keys[0] == PRESETS and value_at(tables, (*place, field.name)) is None:
                    continue  # of a preset what it says
                yield KnownSetting((*one.keys, name, field.name), field, one.plugin)


def setting_rows(here: Installation) -> list[SettingRow]:
    """All settings with their values in effect, and what in the file is no setting.

    Raises: UsageError when the file cannot be read.
    """
    path = settings_path()
    tables, known = read_tables(path), known_settings(here.plugins_manager)
    rows = [row_of(one, tables, path) for one in with_entries(known, tables)]
    return rows + list(unknown_rows(tables, known, here.plugins_manager))


def setting_row(here: Installation, name: str) -> SettingRow:
    """One setting. Raises: UsageError when there is none of that name."""
    return row_of(named_setting(here, name), read_tables(settings_path()), settings_path())


def settings_checks(here: Installation) -> list[CheckResult]:
    """What ``gemmahub doctor`` says of settings; nothing where all is well."""
    path = settings_path()
    rows = setting_rows(here)
    found = [
        CheckResult(
            f"setting {row.name}",
            "failed" if row.origin else "warning",
            row.problem,
            f"gemmahub config unset {row.name} removes it" if row.origin else "",
        )
        for row in rows
        if row.problem and not row.name.startswith(f"{PRESETS}.")
    ]
    if isinstance(read_tables(path).get(PRESETS, {}), dict):
        found += [
            CheckResult(f"preset {one.name}", "failed", one.reason, "gemmahub config edit")
            for one in presets()[1]
        ]
    plain = [row.name for row in rows if row.secret and row.origin == "file"]
    if plain and os.name == "posix" and path.stat().st_mode & _READABLE_BY_OTHERS:
        what = f"others can read {path}, which holds {', '.join(plain)}"
        found.append(CheckResult(SETTINGS_FILE, "warning", what, f"chmod 600 {path}"))
    return found


def row_of(known: KnownSetting, tables: Mapping[str, Any], path: Path) -> SettingRow:
    """A setting with its value in effect."""
    setting, problem = known.setting, ""
    table = value_at(tables, known.keys[:-1])
    values = table if isinstance(table, dict) else {}
    try:
        check_value(known, values, path)
        found = _found(known, values, path)
    except UsageError as error:
        problem, found = error.message, FoundSetting(None, "file")
    hidden = setting.secret
    value = shown_tables(setting, values.get(known.keys[-1])) if setting.fields else found.value
    return SettingRow(
        known.name,
        None if hidden else value,
        _shown(setting, found, problem),
        found.origin,
        setting.help,
        kind_of(setting),
        setting.default,
        tuple(setting.choices),
        setting.env,
        hidden,
        problem,
        known.plugin,
        known.keys[:-1],
    )


def _shown(setting: Setting, found: FoundSetting, problem: str) -> str:
    if setting.fields:
        return "" if problem else one_line(", ".join(found.value))
    if problem or found.origin == "default":
        return "" if problem or setting.secret else text_of_value(found.value)
    return "set" if setting.secret else text_of_value(found.value)


def check_value(known: KnownSetting, values: Mapping[str, Any], path: Path) -> None:
    """Raises: UsageError when its table in the file has a value that it cannot be."""
    name = known.keys[-1]
    if name not in values:
        return
    if known.name in CORE:
        check(known.name, values[name], path)
        return
    wrong = fields.wrong_field if known.keys[0] == PRESETS else wrong_value
    if reason := wrong(known.setting, values[name]):
        raise UsageError(f"{path}: {known.name} {reason}", known.setting.help)


def _found(known: KnownSetting, values: Mapping[str, Any], path: Path) -> FoundSetting:
    name = known.keys[-1]
    if known.name not in CORE:
        return find(known.setting, values, ".".join(known.keys[1:-1]), path)
    found = FoundSetting(values[name], "file") if name in values else FoundSetting(None, "default")
    if known.name == "stores.only" and (named := os.environ.get(known.setting.env)) is not None:
        return FoundSetting([one for one in named.split(",") if one], f"env {known.setting.env}")
    extra = os.environ.get("GEMMAHUB_FOLDERS", "")
    if known.name == "stores.folders" and extra:
        more = [folder for folder in extra.split(os.pathsep) if folder]
        origin = ("file, " if name in values else "") + "env GEMMAHUB_FOLDERS"
        return FoundSetting([*(found.value or []), *more], origin)
    return found


def unknown_rows(
    tables: Mapping[str, Any], known: list[KnownSetting], manager: PluginManager
) -> Iterator[SettingRow]:
    """What the file says and no setting is; ``origin`` is empty where it may be one of a plugin
    that is not loaded."""
    names = {one.keys for one in known}
    parts = {"plugins": {r.name for r in manager.records if r.state == "ok"}, "backends": set()}
    parts["plugins"] |= {keys[1] for keys in names if keys[0] == "plugins" and keys[2] != ENABLED}
    parts["backends"] |= {offer.backend.name for offer in manager.backends()}
    for keys in all_keys(tables):
        if keys in names or (keys[0] == "plugins" and keys[-1] == ENABLED):
            continue
        if keys[0] == PRESETS and (len(keys) < 3 or keys[2] in fields.BY_NAME):
            continue  # a wrong one is a row of its own
        name = one_line(".".join(keys))
        if keys[0] in TABLES and len(keys) > 1 and keys[1] not in parts[keys[0]]:
            kind = keys[0].removesuffix("s")
            what = (
                f"the {kind} {one_line(keys[1])} is not loaded here: its settings stay as they are"
            )
            yield SettingRow(name, None, "", "", problem=what)
        else:
            yield SettingRow(name, None, "", "file", problem=f"there is no setting {name}")


def all_keys(tables: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The places of all values in the file."""
    for table, values in tables.items():
        if not isinstance(values, dict):
            yield (table,)
            continue
        for key, value in values.items():
            if table in (*TABLES, PRESETS) and isinstance(value, dict):
                yield from ((table, key, name) for name in value)
            else:
                yield table, key


def value_at(tables: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """What is at a place in the file; None where nothing is."""
    found: Any = tables
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def named_setting(here: Installation, name: str) -> KnownSetting:
    """Raises: UsageError, with the nearest names."""
    known = {one.name: one for one in known_settings(here.plugins_manager)}
    found = known.get(plain_name(name)) or _of_entry(known.values(), plain_name(name))
    if found is None:
        near = nearest(name, known)
        hint = f"did you mean {', '.join(near)}?" if near else "gemmahub config list shows all"
        raise UsageError(f"there is no setting {one_line(name)!r}", hint)
    return found


def _of_entry(known: Iterable[KnownSetting], name: str) -> KnownSetting | None:
    """A field of an entry of a table of tables, which need not be in the file yet."""
    for one in known:
        entry, _, field = name.removeprefix(f"{one.name}.").rpartition(".")
        if not one.setting.fields or not name.startswith(f"{one.name}."):
            continue
        fields = {each.name: each for each in one.setting.fields}
        if field in fields and ENTRY.fullmatch(entry):
            return KnownSetting((*one.keys, entry, field), fields[field], one.plugin)
    return None


def plain_name(name: str) -> str:
    """A name as it is listed; it may be written as in the file: ``backends."llama.cpp".x``."""
    return name.replace('"', "")
