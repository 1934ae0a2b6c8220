"""The settings file, the environment, and the platform's folders.

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
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_origin

from gemmahub.errors import UsageError
from gemmahub.records.parsing import Unfit, as_kind
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from platformdirs import PlatformDirs

FORMATS: Final = ("gguf", "safetensors", "mlx")
LARGEST: Final = 1_000_000
"""Bytes of a settings file that are read; one with all settings has a few hundred."""
_DEEPEST: Final = 64
# A key of many parts takes tomllib more than linear time. Possessive, so that this search does not.
_LONG_KEY: Final = re.compile(
    r"""(?<![\w-])(?:(?:"[^"\n]*+"|'[^'\n]*+'|[\w-]++)[ \t]*+\.[ \t]*+){65}"""
)
_KEYS: Final[dict[str, Any]] = {
    "stores.folders": list[str],
    "stores.only": list[str],
    "run.backend": str,
    "run.backends": dict[str, str],
}
_LONG_NUMBER: Final = re.compile(r"[0-9_]{1000}")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, with defaults filled in. ``source`` is the file they came from, if any.

    ``stores`` are the tools' stores to look into, None for all that are here. ``backend`` is the
    engine for all formats that it runs, ``backends`` that of single formats, which goes before.
    """

    cache: Path
    data: Path
    folders: tuple[Path, ...] = ()
    backend: str | None = None
    stores: frozenset[str] | None = None
    source: Path | None = None
    backends: Mapping[str, str] = field(default_factory=dict)

    def backend_for(self, format_: str) -> tuple[str, str] | None:
        """The backend that the settings name for a format, and the setting that does."""
        if format_ in self.backends:
            return self.backends[format_], f"run.backends.{format_}"
        return None if self.backend is None else (self.backend, "run.backend")


def load_config() -> Config:
    """The settings of this user.

    Raises: UsageError when the settings file cannot be read or has a key that does not exist.
    """
    dirs = _platform_folders()
    path = Path(os.environ.get("GEMMAHUB_CONFIG") or Path(dirs.user_config_dir) / "config.toml")
    settings = _read(path)
    folders = [_folder(folder) for folder in settings.get("stores.folders", ())]
    extra = os.environ.get("GEMMAHUB_FOLDERS", "")
    folders += [_folder(folder) for folder in extra.split(os.pathsep) if folder]
    return Config(
        cache=cache_folder(),
        data=Path(os.environ.get("GEMMAHUB_DATA") or dirs.user_data_dir),
        folders=tuple(dict.fromkeys(folders)),
        backend=settings.get("run.backend"),
        stores=_stores(settings.get("stores.only")),
        source=path if settings else None,
        backends=settings.get("run.backends", {}),
    )


def cache_folder() -> Path:
    """The folder for what can be made again; no settings file is read for it."""
    return Path(os.environ.get("GEMMAHUB_CACHE") or _platform_folders().user_cache_dir)


def _platform_folders() -> PlatformDirs:
    from platformdirs import PlatformDirs

    return PlatformDirs("gemmahub", appauthor=False)


def _stores(chosen: list[str] | None) -> frozenset[str] | None:
    named = os.environ.get("GEMMAHUB_STORES")
    if named is not None:
        chosen = named.split(",")
    return None if chosen is None else frozenset(filter(None, map(str.strip, chosen)))


def _folder(text: str) -> Path:
    """A folder as it is named in the settings; ``~nobody`` stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user
        return Path(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = _text(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    if reason := _beyond_limits(text):
        raise _unreadable(path, reason)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the message of a TOML error names the line
        end = f"at line {len(text.splitlines())}"
        raise _unreadable(path, str(error).replace("at end of document", end)) from None
    settings: dict[str, Any] = {}
    for table, values in tables.items():
        for key, value in (values if isinstance(values, dict) else {"": values}).items():
            name = f"{table}.{key}".rstrip(".")
            _check(name, value, path)
            settings[name] = value
    return settings


def _text(path: Path) -> str:
    """The text of the file; a device such as /dev/null is empty. Raises: OSError; ValueError."""
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise ValueError(f"it is longer than {LARGEST // 1_000_000} MB")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 text (at line {line})") from None


def _beyond_limits(text: str) -> str:
    """Why a text is not even parsed, with the line; "" if nothing in it is beyond the limits.

    Brackets in texts and comments count as well.
    """
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        opened = sum(map(line.count, "[{"))
        if depth + opened > _DEEPEST or _LONG_KEY.search(line):
            return f"lists and tables are nested too deeply (at line {number})"
        if _LONG_NUMBER.search(line):
            return f"a number has thousands of digits (at line {number})"
        depth = max(depth + opened - sum(map(line.count, "]}")), 0)
    return ""


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot read the settings file {path}: {one_line(reason)}",
        "correct it, or move it away; it was left as it is",
    )


def _check(name: str, value: object, path: Path) -> None:
    if name not in _KEYS:
        near = nearest(name, _KEYS) or sorted(_KEYS)
        raise UsageError(
            f"{path}: there is no setting {one_line(name)!r}", f"settings: {', '.join(near)}"
        )
    try:
        as_kind(value, _KEYS[name])
    except Unfit:
        kinds: dict[type, str] = {list: "a list of texts", dict: "a table of texts"}
        kind = kinds.get(get_origin(_KEYS[name]) or str, "a text")
        raise UsageError(
            f"{path}: {name} must be {kind}", f"for example: {_EXAMPLES[name]}"
        ) from None
    texts = value.values() if isinstance(value, dict) else value
    if "\0" in (texts if isinstance(texts, str) else "".join(texts)):  # type: ignore[arg-type]
        raise UsageError(f"{path}: {name} has a NUL character", "remove it")
    if isinstance(value, dict) and (unknown := [key for key in value if key not in FORMATS]):
        raise UsageError(
            f"{path}: {name} has no format {one_line(unknown[0])!r}",
            f"formats: {', '.join(FORMATS)}",
        )


_EXAMPLES: Final = {
    "stores.folders": 'folders = ["~/models"]',
    "stores.only": 'only = ["huggingface", "ollama"]',
    "run.backend": 'backend = "llama.cpp"',
    "run.backends": 'backends = { gguf = "ollama" }',
}


def debug() -> bool:
    """Whether ``GEMMAHUB_DEBUG`` asks for tracebacks."""
    return os.environ.get("GEMMAHUB_DEBUG", "") not in ("", "0")
