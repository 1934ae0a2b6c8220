"""The commands that do what a screen does, as a shell takes them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from textual.binding import Binding

from gemmahub.engines.contract import Sampling, Settings

if TYPE_CHECKING:
    from textual.screen import Screen

COPY_COMMAND: Final = Binding("f9", "copy_command", "Copy the command", show=False)
"""For screens where letters are typed; its action calls :func:`copy_command`."""

TALK_KEY: Final = "f6"
"""Talks to the model that arrived last, from everywhere: letters may belong to what is typed."""

_USUAL: Final = Sampling()
_SAMPLING: Final = ("max_tokens", "temperature", "top_k", "top_p", "seed")
"""What ``gemmahub run`` takes of it."""


def run_command(
    reference: str, settings: Settings, sampling: Sampling = _USUAL, system: str = ""
) -> str:
    """``gemmahub run`` with all that it takes and that is not the default."""
    parts = ["gemmahub", "run", reference]
    if settings.context:
        parts += ["--ctx-size", str(settings.context)]
    if settings.cache_type_k != "f16":
        parts += ["--cache-type", settings.cache_type_k]
    if settings.gpu_layers is not None:
        parts += ["--gpu-layers", str(settings.gpu_layers)]
    if settings.threads is not None:
        parts += ["--threads", str(settings.threads)]
    for name, value in settings.options.items():
        parts += ["--option", f"{name}={value}"]
    for name in _SAMPLING:
        value = getattr(sampling, name)
        if value is not None and value != getattr(_USUAL, name):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    if system:
        parts += ["--system", system]
    return shlex.join(parts)


def chats_command(*words: str) -> str:
    """``gemmahub chats`` with these words."""
    return shlex.join(["gemmahub", "chats", *words])


def copy_command(screen: Screen[Any], command: str) -> None:
    """The command to the clipboard; the terminal does it, so it works over SSH."""
    if command:
        screen.app.copy_to_clipboard(command)
        screen.notify(f"copied: {command}", markup=False, timeout=3)
