"""Options of a backend as people write them: ``name=value``, or in ``[backends.NAME]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.config.kinds import KINDS, is_of, value_of_text
from gemmahub.errors import UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gemmahub.engines.contract import Backend, Option


DEVICES_OPTION: Final = "devices"
"""The option of a backend that takes the GPUs to use, by name or PCI address, with commas."""


def device_options(backend: Backend, devices: Sequence[str] | None) -> dict[str, str]:
    """What tells a backend to use these addresses, as far as it has an option for that."""
    knows = any(option.name == DEVICES_OPTION for option in backend.options)
    return {DEVICES_OPTION: ",".join(devices)} if knows and devices else {}


def option_values(backend: Backend, texts: Mapping[str, str]) -> dict[str, Any]:
    """Texts as values of the types that the backend declares.

    Raises: UsageError for an option that it has not, or a text that is no such value.
    """
    return {name: _of_text(backend, name, text) for name, text in texts.items()}


def option_defaults(backend: Backend, table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What the settings file ``path`` says of the backend's options in its ``table``.

    Raises: UsageError for an option that it has not, or a value that it does not take.
    """
    where = f"{path}: backends.{backend.name}"
    for name, value in table.items():
        option = _option(backend, name, f"{where} has no option")
        if option.type in KINDS and not is_of(value, option.type):
            kind = KINDS[option.type]
            raise UsageError(f"{where}.{name} must be {kind}", option.help)
        if option.choices and value not in option.choices:
            choices = ", ".join(map(str, option.choices))
            raise UsageError(f"{where}.{name} must be one of {choices}", option.help)
    return dict(table)


def _of_text(backend: Backend, name: str, text: str) -> Any:
    option = _option(backend, name, f"{backend.name} has no option")
    try:
        return value_of_text(text, option.type)
    except ValueError:
        kind = "true or false" if option.type is bool else f"of type {option.type.__name__}"
        raise UsageError(
            f"{backend.name}: {name} cannot be {one_line(text)!r}: it is {kind}", option.help
        ) from None


def _option(backend: Backend, name: str, message: str) -> Option:
    known = {option.name: option for option in backend.options}
    if name not in known:
        offered = ", ".join(sorted(known)) or "none"
        raise UsageError(f"{message} {one_line(name)!r}", f"its options: {offered}")
    return known[name]
