"""The settings file, the environment, and the platform's folders.

======================  ==========================================================================
``GEMMAHUB_CONFIG``     the settings file (default: ``config.toml`` in the platform's config folder)
``GEMMAHUB_CACHE``      folder for what can be made again (default: the platform's cache folder)
``GEMMAHUB_DATA``       folder for what cannot, such as the prompt history
``GEMMAHUB_FOLDERS``    further model folders, separated as in ``PATH``
``GEMMAHUB_DEBUG``      ``1`` shows tracebacks and the engine's log
======================  ==========================================================================
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gemmahub.errors import UsageError
from gemmahub.text import nearest

_KEYS: Final[dict[str, type]] = {"stores.folders": list, "run.backend": str}


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, with defaults filled in. ``source`` is the file they came from, if any."""

    cache: Path
    data: Path
    folders: tuple[Path, ...] = ()
    backend: str | None = None
    source: Path | None = None


def load_config() -> Config:
    """The settings of this user.

    Raises: UsageError when the settings file cannot be read or has a key that does not exist.
    """
    from platformdirs import PlatformDirs

    dirs = PlatformDirs("gemmahub", appauthor=False)
    path = Path(os.environ.get("GEMMAHUB_CONFIG") or Path(dirs.user_config_dir) / "config.toml")
    settings = _read(path)
    folders = [Path(folder).expanduser() for folder in settings.get("stores.folders", ())]
    extra = os.environ.get("GEMMAHUB_FOLDERS", "")
    folders += [Path(folder).expanduser() for folder in extra.split(os.pathsep) if folder]
    return Config(
        cache=Path(os.environ.get("GEMMAHUB_CACHE") or dirs.user_cache_dir),
        data=Path(os.environ.get("GEMMAHUB_DATA") or dirs.user_data_dir),
        folders=tuple(dict.fromkeys(folders)),
        backend=settings.get("run.backend"),
        source=path if settings else None,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"cannot read the settings file {path}: {error}", "mend or remove it"
        ) from None
    settings: dict[str, Any] = {}
    for table, values in tables.items():
        for key, value in (values if isinstance(values, dict) else {"": values}).items():
            name = f"{table}.{key}".rstrip(".")
            _check(name, value, path)
            settings[name] = value
    return settings


def _check(name: str, value: object, path: Path) -> None:
    if name not in _KEYS:
        near = nearest(name, _KEYS) or sorted(_KEYS)
        raise UsageError(f"{path}: there is no setting {name!r}", f"settings: {', '.join(near)}")
    wanted = _KEYS[name]
    if not isinstance(value, wanted) or (
        wanted is list and not all(isinstance(item, str) for item in value)  # type: ignore[attr-defined]
    ):
        kind = "a list of texts" if wanted is list else "a text"
        raise UsageError(f"{path}: {name} must be {kind}", f"for example: {_EXAMPLES[name]}")


_EXAMPLES: Final = {
    "stores.folders": 'folders = ["~/models"]',
    "run.backend": 'backend = "llama.cpp"',
}


def debug() -> bool:
    """Whether ``GEMMAHUB_DEBUG`` asks for tracebacks."""
    return os.environ.get("GEMMAHUB_DEBUG", "") not in ("", "0")
