"""A preset whose values were checked, and what it says to a loaded model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmahub.errors import UsageError
from gemmahub.service.presets.fields import BY_NAME, LARGEST_TEXT, NAME, PATHS, wrong_preset
from gemmahub.text import one_line, strip_controls

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ModelPreset:
    """A preset: ``values`` by the names of :data:`gemmahub.service.presets.fields.FIELDS`.

    Paths in it that are not absolute are those of ``folder``.
    """

    name: str
    values: Mapping[str, Any]
    folder: Path

    @property
    def model(self) -> str:
        """The reference of its model."""
        return str(self.values["model"])

    @property
    def reference(self) -> str:
        """What names it on the command line."""
        return f"@{self.name}"

    def path(self, field: str) -> Path | None:
        """A file that it names; None where it does not."""
        if field not in self.values:
            return None
        path = Path(str(self.values[field]))
        with suppress(RuntimeError):  # there is no such user
            path = path.expanduser()
        return path if path.is_absolute() else self.folder / path

    def system(self) -> str:
        """The system prompt, "" where it has none. A file of it is read now.

        Raises: UsageError for a file that cannot be read, is no text, or is too long.
        """
        path = self.path("system_file")
        text = str(self.values.get("system", "")) if path is None else _text_of(path)
        return strip_controls(text).strip()

    def shown(self) -> list[tuple[str, str]]:
        """Names and values as people read them, in the order of the fields."""
        return [(name, shown_value(value)) for name, value in self.values.items()]

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub presets show --json``."""
        return {"name": self.name, "reference": self.reference, **self.values}

    @property
    def has_paths(self) -> bool:
        """Whether it names files of this machine, the model among them."""
        return any(name in self.values for name in PATHS) or is_path(self.model)


def preset_of(name: str, table: object, where: str, folder: Path, *, hint: str = "") -> ModelPreset:
    """The preset that a table says; ``where`` it stands is named where something is wrong with it,
    with ``hint``.

    Raises: UsageError for a name or a value that cannot be.
    """
    shown = one_line(name, 60)
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{where}: {shown!r} is not a preset name",
            "small letters, digits, _ and - make a name, such as coder or long-notes",
        )
    if not isinstance(table, dict):
        what = f"{where}: presets.{shown} must be a table"
        raise UsageError(what, f'for example: [presets.{shown}] with model = "gemma-3-4b-it"')
    if reason := wrong_preset(table):
        what = f"{where}: presets.{shown} {reason}"
        raise UsageError(what, hint or "docs/reference/settings.md lists what a preset may say")
    return ModelPreset(name, {field: table[field] for field in BY_NAME if field in table}, folder)


def is_path(reference: str) -> bool:
    """Whether a reference is a file or folder of this machine."""
    from gemmahub.registry.reference import PathReference, parse_reference

    try:
        return isinstance(parse_reference(reference), PathReference)
    except UsageError:
        return False


def shown_value(value: object, longest: int = 400) -> str:
    """A value in one line."""
    from gemmahub.config.kinds import text_of_value

    return one_line(text_of_value(value), longest)


def _text_of(path: Path) -> str:
    """Raises: UsageError."""
    from gemmahub.records.parsing import Unfit, read_bounded

    try:
        text = read_bounded(path, LARGEST_TEXT).decode()
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except Unfit as error:
        reason = str(error)
    else:
        return text
    raise UsageError(
        f"the system prompt {one_line(str(path))} cannot be used: {reason}",
        "correct the preset's system_file, or give --system",
    )
