"""The commands that do what gemmahub just did or offers, as a person types them into a shell."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


_PLAIN_ON_WINDOWS: Final = re.compile(r"[\w+=:./\\\-\[\]]+")


def quoted(words: Sequence[str]) -> str:
    """Words as a shell takes them; on Windows as both cmd.exe and PowerShell do.

    cmd.exe hands single quotes on to the program as they are. Backslashes and quotes follow the
    rules by which Windows programs take their command line apart (Microsoft's "Parsing C++
    command-line arguments"): backslashes before a double quote count twice.
    """
    if sys.platform != "win32":
        return shlex.join(words)
    return " ".join(map(_quoted_on_windows, words))


def _quoted_on_windows(word: str) -> str:
    if _PLAIN_ON_WINDOWS.fullmatch(word):
        return word
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    doubled = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f'"{doubled}"'


def words_of(command: str) -> list[str]:
    """The words of a command that :func:`quoted` made."""
    return shlex.split(command)


def command_line(name: str, *words: str, **options: Any) -> str:
    """``gemmahub NAME WORDS --option value``, quoted for a shell.

    ``options`` are named with underscores. None, False and "" are left out, True stands for a flag,
    and a tuple gives the option once for each item.
    """
    parts = ["gemmahub", name, *words]
    for option, given in options.items():
        flag = f"--{option.replace('_', '-')}"
        for value in given if isinstance(given, tuple) else (given,):
            if value is True:
                parts.append(flag)
            elif value is not None and value is not False and value != "":
                parts += [flag, str(value)]
    return quoted(parts)


def command_to_run(
    reference: str,
    context: int | None = None,
    cache_type: str = "f16",
    **options: Any,
) -> str:
    """``gemmahub run`` with what is not its default; ``options`` as of :func:`command_line`."""
    return command_line(
        "run",
        reference,
        ctx_size=context or None,
        cache_type=None if cache_type == "f16" else cache_type,
        **options,
    )
