"""The use case: the presets of the settings file, read one by one and written with its comments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.file import file_text, parsed, read_tables, settings_path
from gemmahub.errors import NotFound, UsageError
from gemmahub.service.presets.fields import TABLE
from gemmahub.service.presets.record import ModelPreset, preset_of
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class BrokenPreset:
    """A preset that cannot be used, and why."""

    name: str
    reason: str


def presets() -> tuple[list[ModelPreset], list[BrokenPreset]]:
    """All presets of the settings file, and those in it that cannot be used.

    Raises: UsageError when the file cannot be read.
    """
    path = settings_path()
    return presets_in(read_tables(path), path)


def presets_in(
    tables: Mapping[str, Any], path: Path
) -> tuple[list[ModelPreset], list[BrokenPreset]]:
    """The same of a text that is or may become the settings file. Raises: UsageError."""
    good, broken = [], []
    for name, table in list(_tables(tables, path).items())[:_MOST]:
        try:
            good.append(_of_file(name, table, path))
        except UsageError as error:
            broken.append(BrokenPreset(one_line(name, 60), error.message))
    return good, broken


def find_preset(name: str) -> ModelPreset:
    """The preset with that name; it may be written with its ``@``.

    Raises: NotFound, with the nearest names; UsageError for one that cannot be used.
    """
    path, wanted = settings_path(), name.removeprefix("@")
    tables = _tables(read_tables(path), path)
    if wanted not in tables:
        near = nearest(wanted, tables)
        hint = f"did you mean {', '.join(f'@{one_line(n, 60)}' for n in near)}?" if near else ""
        known = "gemmahub presets list shows them; gemmahub presets save makes one"
        raise NotFound(f"there is no preset {one_line(wanted, 60)!r}", hint or known)
    return _of_file(wanted, tables[wanted], path)


def model_in(text: str) -> str:
    """The reference of the model that a text names: of a preset its model, else the text itself.

    Raises: as :func:`find_preset`.
    """
    from gemmahub.registry.reference import preset_in

    name = preset_in(text)
    return text if name is None else find_preset(name).model


def is_kept(name: str) -> bool:
    """Whether the settings file has something under that name. Raises: UsageError."""
    path = settings_path()
    return name in _tables(read_tables(path), path)


def save_preset(name: str, values: Mapping[str, Any]) -> ModelPreset:
    """Write a preset into the settings file, in place of one of the same name.

    Raises: UsageError for what cannot be; then nothing is written.
    """
    from gemmahub.config.writing import alone, with_table, write
    from gemmahub.registry.reference import parse_reference

    path = settings_path()
    found = preset_of(name, dict(values), "the new preset", path.parent)
    parse_reference(found.model)
    with alone(path):
        write(path, with_table(file_text(path), (TABLE, name), dict(found.values), path))
    return found


def remove_preset(name: str) -> None:
    """Remove a preset from the settings file, also one that cannot be used.

    Raises: NotFound; UsageError.
    """
    from gemmahub.config.writing import alone, without, write

    path, wanted = settings_path(), name.removeprefix("@")
    with alone(path):
        text = file_text(path)
        if wanted not in _tables(parsed(text, path), path):
            find_preset(wanted)  # says so, with the nearest names
        write(path, without(text, (TABLE, wanted), path))


def _of_file(name: str, table: object, path: Path) -> ModelPreset:
    hint = "gemmahub config edit opens the file; gemmahub presets remove NAME removes the preset"
    return preset_of(name, table, str(path), path.parent, hint=hint)


def _tables(tables: Mapping[str, Any], path: Path) -> dict[str, Any]:
    found = tables.get(TABLE, {})
    if not isinstance(found, dict):
        raise UsageError(f"{path}: {TABLE} must be a table", f"for example: [{TABLE}.coder]")
    return found
