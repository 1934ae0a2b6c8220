"""The settings in effect: from the settings file, the environment, and the platform's folders.

======================  ==========================================================================
``GEMMAHUB_CONFIG``     the settings file (default: ``config.toml`` in the platform's config folder)
``GEMMAHUB_CACHE``      folder for what can be made again (default: the platform's cache folder)
``GEMMAHUB_DATA``       folder for what cannot, such as conversations
``GEMMAHUB_FOLDERS``    further model folders, separated as in ``PATH``
``GEMMAHUB_STORES``     look into these tools' stores only, separated by commas; empty: into none
``GEMMAHUB_DEBUG``      ``1`` shows tracebacks and the engine's log
======================  ==========================================================================
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.config.core import CORE, ENABLED, core_settings, declared_tables
from gemmahub.config.file import platform_folders, read_tables, settings_path
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, with defaults filled in. ``source`` is the file they came from, if any.

    ``stores`` are the tools' stores to look into, None for all that are here. ``backend`` is the
    engine for all formats that it runs, ``backends`` that of single formats, which goes before.
    ``plugin_tables`` and ``backend_tables`` are what the file says to plugins and backends, by
    name, as it stands there: who declares the keys checks them. ``keys`` are those of the terminal
    UI, by the names of its bindings. ``hosts`` are machines as :mod:`gemmahub.hardware.described`
    reads them.
    """

    cache: Path
    data: Path
    folders: tuple[Path, ...] = ()
    backend: str | None = None
    stores: frozenset[str] | None = None
    source: Path | None = None
    backends: Mapping[str, str] = field(default_factory=dict)
    plugin_tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backend_tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()

    def backend_for(self, format_: str) -> tuple[str, str] | None:
        """The backend that the settings name for a format, and the setting that does."""
        if format_ in self.backends:
            return self.backends[format_], f"run.backends.{format_}"
        return None if self.backend is None else (self.backend, "run.backend")


def load_config() -> Config:
    """The settings of this user.

    Raises: UsageError when the settings file cannot be read or has a key that does not exist.
    """
    path = settings_path()
    tables = read_tables(path)
    settings = core_settings(tables, path)
    folders = [_folder(folder) for folder in settings.get("stores.folders", ())]
    extra = os.environ.get("GEMMAHUB_FOLDERS", "")
    folders += [_folder(folder) for folder in extra.split(os.pathsep) if folder]
    return Config(
        cache=cache_folder(),
        data=Path(os.environ.get("GEMMAHUB_DATA") or platform_folders().user_data_dir),
        folders=tuple(dict.fromkeys(folders)),
        backend=settings.get("run.backend"),
        stores=_stores(settings.get("stores.only")),
        source=path if tables else None,
        backends=settings.get("run.backends", {}),
        plugin_tables=declared_tables(tables, "plugins", path),
        backend_tables=declared_tables(tables, "backends", path),
        keys=settings.get("keys", {}),
        hosts=tuple(settings.get("machines.hosts", ())),
    )


def disabled_plugins() -> frozenset[str]:
    """The plugins that the settings file disables; none where it cannot be read, which whoever
    needs the settings says."""
    path = settings_path()
    try:
        tables = declared_tables(read_tables(path), "plugins", path)
    except UsageError:
        return frozenset()
    return frozenset(name for name, table in tables.items() if not table.get(ENABLED, True))


def cache_folder() -> Path:
    """The folder for what can be made again; no settings file is read for it."""
    return Path(os.environ.get("GEMMAHUB_CACHE") or platform_folders().user_cache_dir)


def _stores(chosen: list[str] | None) -> frozenset[str] | None:
    named = os.environ.get(CORE["stores.only"].env)
    if named is not None:
        chosen = named.split(",")
    return None if chosen is None else frozenset(filter(None, map(str.strip, chosen)))


def _folder(text: str) -> Path:
    """A folder as it is named in the settings; ``~nobody`` stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user
        return Path(text)


def debug() -> bool:
    """Whether ``GEMMAHUB_DEBUG`` asks for tracebacks."""
    return os.environ.get("GEMMAHUB_DEBUG", "") not in ("", "0")
