"""The commands that do what a screen does, as a shell takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from textual.binding import Binding

from gemmahub.engines.contract import Sampling, Settings
from gemmahub.text.command import command_line, command_to_run

if TYPE_CHECKING:
    from textual.screen import Screen

COPY_COMMAND: Final = Binding("f9", "copy_command", "Copy the command", show=False)
"""For screens where letters are typed; its action calls :func:`copy_command`."""

TALK_KEY: Final = "f6"
"""Talks to the model that arrived last, from everywhere: letters may belong to what is typed."""

_USUAL: Final = Sampling()
_SAMPLING: Final = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop")
"""What ``gemmahub run`` takes of it."""


def run_command(
    reference: str,
    settings: Settings,
    sampling: Sampling = _USUAL,
    system: str = "",
    tools: str = "",
) -> str:
    """``gemmahub run`` with all that it takes and that is not the default; ``tools`` is a file."""
    changed = {
        name: value
        for name in _SAMPLING
        if (value := getattr(sampling, name)) is not None and value != getattr(_USUAL, name)
    }
    return command_to_run(
        reference,
        settings.context,
        settings.cache_type_k,
        gpu_layers=settings.gpu_layers,
        experts_in_memory=settings.experts_in_memory,
        cache_in_memory=settings.cache_in_memory,
        threads=settings.threads,
        option=tuple(f"{name}={value}" for name, value in settings.options.items()),
        **changed,
        think=sampling.thinking is True,
        think_budget=None if type(sampling.thinking) is bool else sampling.thinking,
        system=system,
        tools=tools,
    )


def chats_command(*words: str) -> str:
    """``gemmahub chats`` with these words."""
    return command_line("chats", *words)


def copy_command(screen: Screen[Any], command: str) -> None:
    """The command to the clipboard; the terminal does it, so it works over SSH."""
    if command:
        screen.app.copy_to_clipboard(command)
        screen.notify(f"copied: {command}", markup=False, timeout=3)
