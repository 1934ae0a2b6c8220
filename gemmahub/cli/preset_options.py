"""Options of ``gemmahub presets save``, one for each field of a preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gemmahub.service.presets.fields import FIELDS, PATHS, RANGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Setting

Command = TypeVar("Command", bound="Callable[..., Any]")

_FLAGS: Final = {
    "context": ("context", "-c", "--ctx-size", "--context"),
    "options": ("--option", "options"),
}


def field_options(command: Command) -> Command:
    """Adds them, in the order of the fields; the model is an argument."""
    for field in reversed(FIELDS):
        if field.name != "model":
            command = _option(field)(command)
    return command


def given_values(options: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given. Raises: UsageError."""
    from gemmahub.cli.run import engine_options

    values = {name: value for name, value in options.items() if value not in (None, ())}
    if "options" in values:
        values["options"] = engine_options(values["options"])
    if "stop" in values:
        values["stop"] = list(values["stop"])
    for name in PATHS:
        if name in values:
            values[name] = str(values[name].absolute())
    return values


def _option(field: Setting) -> Callable[[Command], Command]:
    flags = _FLAGS.get(field.name, (f"--{field.name.replace('_', '-')}",))
    help_ = f"{field.help[0].upper()}{field.help[1:]}."
    if field.type is bool:
        flag = flags[-1]
        return click.option(f"{flag}/--no-{flag[2:]}", default=None, help=help_)
    return click.option(
        *flags,
        type=_type(field),
        multiple=field.type in (list[str], dict[str, str]),
        metavar="NAME=VALUE" if field.name == "options" else None,
        help=help_,
    )


def _type(field: Setting) -> Any:
    from pathlib import Path

    if field.name in PATHS:
        return click.Path(exists=True, dir_okay=False, path_type=Path)
    if field.choices:
        return click.Choice(field.choices)
    limits = RANGES.get(field.name)
    if limits is None:
        return str
    kind: Any = click.FloatRange if field.type is float else click.IntRange
    return kind(limits.least, limits.most)
