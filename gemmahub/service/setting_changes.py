"""The use case: changing the settings file, so that it says nothing wrong afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.config.core import PRESETS, TABLES, core_settings, declared_tables
from gemmahub.config.file import file_text, parsed, settings_path
from gemmahub.config.kinds import KINDS, value_of_text
from gemmahub.engines.setting_tables import kind_of
from gemmahub.errors import UsageError
from gemmahub.service.presets.stored import presets_in
from gemmahub.service.settings import (
    all_keys,
    check_value,
    known_settings,
    named_setting,
    plain_name,
    setting_row,
    unknown_rows,
    value_at,
)
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gemmahub.service.installation import Installation
    from gemmahub.service.settings import KnownSetting, SettingRow


def set_setting(here: Installation, name: str, text: str) -> SettingRow:
    """Write a value, as people write it, into the settings file.

    Raises: UsageError for a name or a value that cannot be; then nothing is written.
    """
    from gemmahub.config.writing import alone, with_value, write

    known, path = named_setting(here, name), settings_path()
    value = _value(known, text, path)
    with alone(path):
        write(path, with_value(file_text(path), known.keys, value, path))
    return setting_row(here, name)


def unset_setting(here: Installation, name: str) -> bool:
    """Remove a value from the settings file, also one of a setting that does not exist; whether it
    was there. Raises: UsageError when there is no such setting, neither known nor in the file."""
    from gemmahub.config.writing import alone, without, write

    path = settings_path()
    with alone(path):
        text = file_text(path)
        keys = _keys_in(parsed(text, path), name)
        if keys is None:
            named_setting(here, name)
            return False
        write(path, without(text, keys, path))
    return True


def faults_in(here: Installation, text: str, path: Path) -> list[str]:
    """What is wrong with a text that is to become the settings file.

    What says something to plugins that are not loaded is not wrong. Raises: UsageError.
    """
    tables = parsed(text, path)
    core_settings(tables, path)
    for kind in TABLES:
        declared_tables(tables, kind, path)
    manager = here.plugins_manager
    known = known_settings(manager)
    faults = []
    for one in known:  # of a table of tables its entries, too
        try:
            check_value(one, value_at(tables, one.keys[:-1]) or {}, path)
        except UsageError as error:
            faults.append(error.message)
    faults += [broken.reason for broken in presets_in(tables, path)[1]]
    return faults + [row.problem for row in unknown_rows(tables, known, manager) if row.origin]


def replace_file(path: Path, before: str, text: str) -> None:
    """Make ``text`` the settings file, unless it does not say ``before`` any more.

    Raises: UsageError.
    """
    from gemmahub.config.writing import alone, write

    with alone(path):
        if file_text(path) != before:
            raise UsageError(
                f"{path} was changed by another program", "compare the two, and edit it again"
            )
        write(path, text)


def _keys_in(tables: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Where a name stands in the file; names of backends may have dots in them."""
    wanted = plain_name(name)
    places = (*all_keys(tables), *_entries(tables))
    return next((keys for keys in places if ".".join(keys) == wanted), None)


def _entries(tables: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The places inside tables of tables: of each entry, and of each of its fields."""
    presets = tables.get(PRESETS)
    yield from ((PRESETS, name) for name in (presets if isinstance(presets, dict) else ()))
    for keys in all_keys(tables):
        inner = value_at(tables, keys)
        for name, entry in inner.items() if isinstance(inner, dict) else ():
            if isinstance(entry, dict):
                yield (*keys, name)
                yield from ((*keys, name, field) for field in entry)


def _value(known: KnownSetting, text: str, path: Path) -> Any:
    """Raises: UsageError."""
    setting = known.setting
    if setting.fields:
        what = f"{known.name} is {kind_of(setting)}: set one value of it at a time"
        fields = ", ".join(field.name for field in setting.fields)
        raise UsageError(what, f"gemmahub config set {known.name}.NAME.FIELD VALUE ({fields})")
    kind = dict[str, str] if setting.secret and text.lstrip().startswith("{") else setting.type
    try:
        value = value_of_text(text, kind)
    except ValueError:
        what = f"{known.name} cannot be {one_line(text)!r}: it is {KINDS[setting.type]}"
        raise UsageError("a secret is a text" if setting.secret else what, setting.help) from None
    check_value(known, {known.keys[-1]: value}, path)
    return value
