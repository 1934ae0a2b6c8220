"""The use case: presets in a file for other people and other machines, and those of such a file.

A file is TOML with ``[presets.NAME]`` tables as the settings file has them, or the same as JSON.
What it says is a stranger's: typed and ranged as in the settings file, and shown before it is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.file import parsed
from gemmahub.errors import FormatError, UsageError
from gemmahub.service.presets.fields import PATHS, TABLE
from gemmahub.service.presets.modelfile import looks_like_modelfile, read_modelfile
from gemmahub.service.presets.record import ModelPreset, is_path, preset_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMATS: Final = ("toml", "json")
_VERSION: Final = 1
_MARK: Final = "gemmahub_presets"
_LARGEST: Final = 1 << 20
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class OfferedPreset:
    """A preset that a file offers, and what of it was left out, with the reason."""

    preset: ModelPreset
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """An entry of ``gemmahub presets import --json``."""
        return {**self.preset.as_json(), "left_out": list(self.left_out)}


def exported(
    presets: Sequence[ModelPreset], form: str, *, paths: bool = False
) -> tuple[str, list[str]]:
    """The text of a file with these presets, and what is not in it.

    A system prompt of a file goes in as its text. Other files of this machine are left out unless
    ``paths``. Raises: UsageError for a system prompt that cannot be read.
    """
    tables, notes = {}, []
    for preset in presets:
        values = dict(preset.values)
        if "system_file" in values and not paths:
            del values["system_file"]
            values["system"] = preset.system()
        if "tools" in values and not paths:
            del values["tools"]
            notes.append(f"{preset.reference}: tools is a file here: left out (--paths keeps it)")
        if is_path(preset.model) and not paths:
            del values["model"]
            what = "model is a file here: left out (--paths keeps it)"
            notes.append(f"{preset.reference}: {what}; import needs --model then")
        tables[preset.name] = values
    if form == "json":
        found = json.dumps({_MARK: _VERSION, TABLE: tables}, indent=2, ensure_ascii=False)
        return found + "\n", notes
    return _toml(tables), notes


def read_presets(
    path: Path,
    *,
    name: str | None = None,
    model: str | None = None,
    paths: bool = False,
) -> list[OfferedPreset]:
    """What a file offers: presets as :func:`exported` writes them, or an Ollama Modelfile.

    ``name`` is that of a single preset here, ``model`` goes before the model of the file. Files
    that it names on this machine are left out unless ``paths``.

    Raises: UsageError for a file that cannot be read, and for values that cannot be; FormatError
    for what is neither.
    """
    text = _read(path)
    if path.suffix.casefold() not in (".json", ".toml") and looks_like_modelfile(text):
        tables: dict[str, Any] = {}
        found = read_modelfile(text, path.name)
        tables[_name_of(path)] = found.values
        left = {_name_of(path): list(found.left_out)}
    else:
        tables, left = _tables(text, path), {}
    if name is not None and len(tables) > 1:
        raise UsageError(
            f"{one_line(path.name)} has {len(tables)} presets: {_listed(tables)}",
            "--as NAME is for a file with one",
        )
    offered = []
    for own, values in tables.items():
        kept, dropped = _allowed(values, path, model, paths=paths)
        preset = preset_of(name or own, kept, one_line(path.name, 100), path.absolute().parent)
        _check_model(preset, path)
        offered.append(OfferedPreset(preset, (*left.get(own, ()), *dropped)))
    return offered


def _allowed(
    values: object, path: Path, model: str | None, *, paths: bool
) -> tuple[object, list[str]]:
    """The values with what is asked for, without what a stranger may not name."""
    if not isinstance(values, dict):
        return values, []  # whoever checks it says so
    kept, dropped = dict(values), []
    if model is not None:
        kept["model"] = model
    for field in PATHS:
        if field not in kept:
            continue
        if not paths:
            shown = one_line(str(kept.pop(field)), 100)
            dropped.append(f"{field} {shown}: a file of this machine (--paths keeps it)")
        elif isinstance(kept[field], str):  # relative to the file that names it
            place = Path(kept[field])
            kept[field] = str(place if place.is_absolute() else path.absolute().parent / place)
    if "model" not in kept:
        raise UsageError(
            f"{one_line(path.name)} names no model for a preset", "name one: --model gemma-3-4b-it"
        )
    return kept, dropped


def _check_model(preset: ModelPreset, path: Path) -> None:
    """Raises: UsageError for a model that is no reference."""
    from gemmahub.registry.reference import parse_reference

    try:
        parse_reference(preset.model)
    except UsageError as error:
        what = f"{one_line(path.name)}: presets.{preset.name}: {error.message}"
        raise UsageError(what, "give another one with --model") from None


def _tables(text: str, path: Path) -> dict[str, Any]:
    """The tables of presets in a file. Raises: UsageError, FormatError."""
    shown = one_line(path.name, 100)
    if text.lstrip().startswith("{"):
        from gemmahub.records.parsing import Unfit, is_plain, json_value

        try:
            found = json_value(text)
            if not is_plain(found):
                raise Unfit("it has numbers or levels that no preset has")
        except Unfit as error:
            raise FormatError(f"{shown} is not JSON: {error}", "export it again") from None
    else:
        try:
            found = parsed(text, path)
        except UsageError as error:
            reason = error.message.partition(": ")[2] or error.message
            hint = "a file of `gemmahub presets export`, or an Ollama Modelfile, is read"
            raise FormatError(f"{shown} holds no presets: {reason}", hint) from None
    version = found.get(_MARK) if isinstance(found, dict) else None
    if type(version) is int and version > _VERSION:
        raise FormatError(
            f"{shown} is of a later gemmahub (version {version}; {_VERSION} is read)",
            "update gemmahub",
        )
    tables = found.get(TABLE) if isinstance(found, dict) else None
    if not isinstance(tables, dict) or not tables:
        raise FormatError(f"{shown} holds no presets", f"[{TABLE}.NAME] tables are read")
    if len(tables) > _MOST:
        raise UsageError(f"{shown} has {len(tables):,} presets", f"at most {_MOST} are read")
    return tables


def _read(path: Path) -> str:
    """Raises: UsageError."""
    from gemmahub.records.parsing import Unfit, read_bounded

    try:
        return read_bounded(path, _LARGEST).decode()
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except (Unfit, ValueError) as error:
        reason = str(error)
    raise UsageError(f"{one_line(str(path))} cannot be read: {reason}", "choose another file")


def _name_of(path: Path) -> str:
    """A preset's name from that of a file: Modelfile.coder, coder.modelfile, coder/Modelfile."""
    parts = [part for part in path.name.casefold().split(".") if part != "modelfile"]
    stem = parts[0] if parts else path.absolute().parent.name.casefold()
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in stem)
    name = name.lstrip("-_0123456789")[:39]
    return name or "modelfile"


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(one_line(name, 40) for name in names)


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    import tomlkit

    from gemmahub.config.writing import table_of

    document = tomlkit.document()
    document.add(tomlkit.comment("Presets of gemmahub: gemmahub presets import FILE"))
    document.add(_MARK, tomlkit.item(_VERSION))
    outer = tomlkit.table(is_super_table=True)
    for name, values in tables.items():
        outer[name] = table_of(dict(values))
    document.add(TABLE, outer)
    return tomlkit.dumps(document)


def write_export(path: Path, text: str, *, replace: bool) -> None:
    """Write a file that :func:`exported` made. Raises: UsageError where it is there already."""
    from gemmahub.records.whole_file import write_whole
    from gemmahub.service.part_file import exists

    if path.exists() and not replace:
        raise UsageError(exists(path).message, "choose another file, or add --force")
    try:
        write_whole(path, text, mode=0o644)
    except OSError as error:
        what = f"{one_line(str(path))} cannot be written: {error.strerror or error}"
        raise UsageError(what, "choose another file") from None
