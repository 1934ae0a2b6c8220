"""Changes to the settings file that leave its comments and its order as they are.

tomlkit is loaded here, and only by the commands that write.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config import cache_folder
from gemmahub.config.file import parsed
from gemmahub.errors import GemmahubError, UsageError
from gemmahub.records.whole_file import write_whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NEW_MODE: Final = 0o600  # there may be secrets in it
_LOCK_SECONDS: Final = 10


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else of us changes the file meanwhile. Raises: GemmahubError."""
    from filelock import FileLock, Timeout

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "settings.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        what = f"another gemmahub has had {path} locked for {_LOCK_SECONDS} s"
        raise GemmahubError(what, "try again when it has finished") from None


def with_value(text: str, keys: Sequence[str], value: Any, path: Path) -> str:
    """The file's text with another value of one setting.

    Raises: UsageError where something else is in the place of its table; GemmahubError where the
    text is written in a way that cannot be changed safely.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = parsed(text, path)
    _put(wanted, keys, value, path)
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for depth, key in enumerate(keys[:-1], 1):
            if key not in table:
                table[key] = tomlkit.table(is_super_table=depth < len(keys) - 1)
            table = table[key]
        table[keys[-1]] = _item(value)
        changed = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError, ValueError):
        changed = ""
    return _checked(changed, wanted, path)


def with_table(text: str, keys: Sequence[str], values: dict[str, Any], path: Path) -> str:
    """The file's text with a table of its own for these values, in place of what was there.

    Raises: as :func:`with_value`.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = parsed(text, path)
    _put(wanted, keys, values, path)
    try:
        document = tomlkit.parse(text)
        outer: Any = document
        for key in keys[:-1]:
            if key not in outer:
                outer[key] = tomlkit.table(is_super_table=True)
            outer = outer[key]
        outer[keys[-1]] = table_of(values)
        changed = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError, ValueError):
        changed = ""
    return _checked(changed, wanted, path)


def table_of(values: dict[str, Any]) -> Any:
    """A table of tomlkit's; a text of several lines stays readable."""
    import tomlkit

    table = tomlkit.table()
    for name, value in values.items():
        lines = isinstance(value, str) and "\n" in value and "\r" not in value
        table[name] = tomlkit.string(value, multiline=True) if lines else _item(value)
    return table


def without(text: str, keys: Sequence[str], path: Path) -> str:
    """The file's text without one setting, which is in it. Raises: as :func:`with_value`."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = parsed(text, path)
    inner = wanted
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for key in keys[:-1]:
            table = table[key]
        del table[keys[-1]]
        changed = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError, ValueError):
        changed = ""
    return _checked(changed, wanted, path)


def write(path: Path, text: str) -> None:
    """Replace the file at once; its mode stays, and a link to it still leads to it.

    Raises: OSError.
    """
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(place, text, mode=_NEW_MODE)


def _put(tables: dict[str, Any], keys: Sequence[str], value: Any, path: Path) -> None:
    for key in keys[:-1]:
        tables = tables.setdefault(key, {})
        if not isinstance(tables, dict):
            raise UsageError(f"{path}: {one_line(key)} must be a table", "gemmahub config edit")
    tables[keys[-1]] = value


def _item(value: Any) -> Any:
    import tomlkit

    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        inline.update(value)
        return inline
    return tomlkit.item(value)


def _checked(changed: str, wanted: dict[str, Any], path: Path) -> str:
    """What is written has to say what is meant, and nothing else."""
    if not changed and wanted:
        raise _too_special(path)
    if _without_empty(parsed(changed, path)) != _without_empty(wanted):
        raise _too_special(path)
    return changed


def _without_empty(tables: dict[str, Any]) -> dict[str, Any]:
    """Tables that say nothing make no difference."""
    found = {k: _without_empty(v) if isinstance(v, dict) else v for k, v in tables.items()}
    return {key: value for key, value in found.items() if value != {}}


def _too_special(path: Path) -> GemmahubError:
    return GemmahubError(
        f"{path} is laid out in a way that cannot be changed safely",
        "gemmahub config edit opens it",
    )
