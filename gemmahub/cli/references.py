"""The argument that names a model. ``@NAME`` stands for a preset: its model, and its settings where
the command line says nothing else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from gemmahub.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.service.presets import ModelPreset

_OPTIONS: Final = {  # of a preset's field the names that parameters of commands have
    "context": ("ctx_size", "context"),
    "tools": ("tools",),
    "system_file": ("system",),
}
_ENGINE_OPTIONS: Final = "engine_options"
_META: Final = "options of presets"


def reference_argument(name: str = "reference", **options: Any) -> Callable[[Any], Any]:
    """An argument for a model, or for several with ``nargs=-1``."""
    return click.argument(name, callback=_with_presets, is_eager=True, **options)


def options_of_preset() -> dict[str, str]:
    """Options of the engine that the presets of this command line set."""
    context = click.get_current_context(silent=True)
    return dict(context.meta.get(_META, {})) if context is not None else {}


def _with_presets(context: click.Context, _: click.Parameter, value: Any) -> Any:
    """The models; the presets among them become the defaults of the command's options."""
    from gemmahub.registry.reference import preset_in

    texts = [value] if isinstance(value, str) else list(value or ())
    names = [preset_in(text) for text in texts]
    if not any(names):
        return value
    from gemmahub.service.presets import find_preset

    found = [None if name is None else find_preset(name) for name in names]
    _take(context, list({one.name: one for one in found if one is not None}.values()))
    models = [
        text if preset is None else preset.model for text, preset in zip(texts, found, strict=True)
    ]
    return models[0] if isinstance(value, str) else tuple(models)


def _take(context: click.Context, presets: list[ModelPreset]) -> None:
    """Make what the presets say the defaults, and say which."""
    parameters = {parameter.name for parameter in context.command.params}
    defaults: dict[str, Any] = dict(context.default_map or {})
    said: dict[str, tuple[str, object]] = {}
    for preset in presets:
        told = []
        for field, given in preset.values.items():
            options = _OPTIONS.get(field, (field,))
            if field == "options" and _ENGINE_OPTIONS in parameters:
                context.meta[_META] = {**options_of_preset(), **given}
                told.append((field, given))
            name = next((option for option in options if option in parameters), None)
            if name is None:
                continue
            if name in said and said[name][1] != given:
                defaults[name] = partial(_differ, name, said[name][0], preset.name)
            else:
                said[name] = (preset.name, given)
                defaults[name] = partial(_value, context, preset, field)
            told.append((field, given))
        output.note(_line(preset, told))
    context.default_map = defaults


def _value(context: click.Context, preset: ModelPreset, field: str) -> Any:
    """What a preset says to an option that nobody gave."""
    if field == "think_budget" and context.params.get("think") is False:
        return None  # --no-think goes before it
    if field == "system_file" or field == "system":
        return preset.system()
    if field == "tools":
        return str(preset.path(field))
    return preset.values[field]


def _differ(option: str, one: str, other: str) -> Any:
    from gemmahub.errors import UsageError

    flag = f"--{option.replace('_', '-')}"
    raise UsageError(f"@{one} and @{other} differ in {flag}", f"give {flag} on the command line")


def _line(preset: ModelPreset, told: list[tuple[str, Any]]) -> str:
    """Which model, and what else of the preset this command uses; files with their whole path."""
    from gemmahub.service.presets.fields import PATHS
    from gemmahub.service.presets.record import shown_value

    parts = [
        f"{field} {preset.path(field) if field in PATHS else shown_value(given, 60)}"
        for field, given in told
    ]
    return f"{preset.reference} -> {preset.model}" + (
        f" · unless said otherwise: {', '.join(parts)}" if parts else ""
    )
