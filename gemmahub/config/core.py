"""The settings of the core: names, kinds, examples, and what a file may say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.kinds import KINDS, has_nul, is_of
from gemmahub.errors import UsageError
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FORMAT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
TABLES: Final = ("plugins", "backends")
"""Tables of tables, whose keys plugins declare: ``[plugins.NAME]``, ``[backends.NAME]``."""
PRESETS: Final = "presets"
"""Another one, whose entries :mod:`gemmahub.service.presets` checks one by one: a mistake in one of
them ends no other command."""
ENABLED: Final = "enabled"
"""The key of each plugin's table that is the core's: false leaves the plugin out."""


@dataclass(frozen=True, slots=True)
class CoreSetting:
    """A setting of the core. ``env`` is the variable that goes before it, ``example`` a line."""

    name: str
    kind: Any
    help: str
    example: str
    env: str = ""


CORE: Final = {
    setting.name: setting
    for setting in (
        CoreSetting(
            "stores.folders",
            list[str],
            "folders with model files (GEMMAHUB_FOLDERS adds more)",
            'folders = ["~/models"]',
        ),
        CoreSetting(
            "stores.only",
            list[str],
            "the only stores to look into",
            'only = ["huggingface", "ollama"]',
            "GEMMAHUB_STORES",
        ),
        CoreSetting(
            "run.backend",
            str,
            "the engine for all formats that it runs",
            'backend = "llama.cpp"',
        ),
        CoreSetting(
            "run.backends",
            dict[str, str],
            "the engine for one format; overrides run.backend",
            'backends = { gguf = "ollama" }',
        ),
        CoreSetting(
            "keys",
            dict[str, str],
            "keys of the terminal UI, by their names in docs/guides/tui.md",
            '"library.compare" = "C"',
        ),
        CoreSetting(
            "machines.hosts",
            list[str],
            "machines that --machine knows by name; hosts means all of them",
            'hosts = ["lab-1 = 4x h100", "lab-2 = 4x h100"]',
        ),
    )
}


def core_settings(tables: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The core's settings in the file, by name.

    Raises: UsageError for a name that does not exist, a value of another kind.
    """
    found: dict[str, Any] = {}
    for name, value in _named(tables):
        check(name, value, path)
        found[name] = value
    return found


def declared_tables(tables: Mapping[str, Any], kind: str, path: Path) -> dict[str, dict[str, Any]]:
    """The tables of plugins, or of backends, by name; what is in them is not checked here.

    Raises: UsageError for what is no table, and an ``enabled`` that is not true or false.
    """
    found = tables.get(kind, {})
    if not isinstance(found, dict):
        raise UsageError(f"{path}: {kind} must be a table", f"for example: [{kind}.NAME]")
    for name, table in found.items():
        if not isinstance(table, dict):
            what = f"{path}: {kind}.{one_line(name)} must be a table"
            raise UsageError(what, f"for example: [{kind}.NAME]")
        if kind == "plugins" and not isinstance(table.get(ENABLED, True), bool):
            what = f"{path}: {kind}.{one_line(name)}.{ENABLED} must be true or false"
            raise UsageError(what, f"for example: {ENABLED} = false")
    return found


def check(name: str, value: object, path: Path) -> None:
    """Raises: UsageError when the core has no such setting, or it cannot be that."""
    if name not in CORE:
        near = nearest(name, CORE) or sorted(CORE)
        raise UsageError(
            f"{path}: there is no setting {one_line(name)!r}", f"settings: {', '.join(near)}"
        )
    setting = CORE[name]
    if not is_of(value, setting.kind):
        what = "has a NUL character" if has_nul(value) else f"must be {KINDS[setting.kind]}"
        hint = "remove it" if has_nul(value) else f"for example: {setting.example}"
        raise UsageError(f"{path}: {name} {what}", hint)
    odd = [key for key in value if not _FORMAT.fullmatch(key)] if isinstance(value, dict) else []
    if odd and name == "run.backends":
        raise UsageError(
            f"{path}: {name}: no format is called {one_line(odd[0])!r}",
            "use gguf, safetensors, mlx, or a format of a plugin",
        )


def _named(tables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for table, values in tables.items():
        if table in TABLES or table == PRESETS:
            continue
        if table in CORE:
            yield table, values
            continue
        for key, value in (values if isinstance(values, dict) else {"": values}).items():
            yield f"{table}.{key}".rstrip("."), value
