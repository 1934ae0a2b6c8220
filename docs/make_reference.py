"""Writes the pages of ``docs/reference`` that follow from the source::

    uv run python -m docs.make_reference

A test holds the pages against the source, so run this after changing a command, an option, a
setting, an exit code or a hook.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs import make_commands, make_hooks, make_settings
from gemmahub import errors
from gemmahub.errors import ExitCode, GemmahubError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER: Final = Path(__file__).resolve().with_name("reference")

_CODES: Final = """# Exit codes

<!-- Written by docs/make_reference.py from gemmahub/errors.py: change it there. -->

What a command returns to the shell, for scripts. The codes are a contract: they do not change
between versions without a note in the changelog.

With `--json` a failure is `{"error": {"kind", "message", "hint"}}` on standard output, and `kind`
is the finer answer. Otherwise the message and the hint are lines on standard error.

| code | name | kinds of error |
|---|---|---|
"""


def exit_codes() -> str:
    """The page about exit codes and the kinds of error behind each."""
    rows = []
    for code in ExitCode:
        kinds = dict.fromkeys(cls.kind for cls in _errors() if cls.exit_code == code)
        said = ", ".join(f"`{kind}`" for kind in kinds)
        rows.append(f"| {code.value} | {code.name.lower().replace('_', ' ')} | {said} |\n")
    parts = [
        _CODES,
        *rows,
        "\n## Kinds of error\n\n| kind | exit code | what it is |\n|---|---|---|\n",
    ]
    for kind in sorted({cls.kind for cls in _errors()}):
        first = next(cls for cls in _errors() if cls.kind == kind)
        line = " ".join((inspect.getdoc(first) or "").split("\n\n")[0].split())
        line = line.replace("``", "`").replace("|", "\\|")
        parts.append(f"| `{kind}` | {first.exit_code.value} | {line} |\n")
    return "".join(parts)


def _errors() -> Iterator[type[GemmahubError]]:
    for value in vars(errors).values():
        if inspect.isclass(value) and issubclass(value, GemmahubError):
            yield value


PAGES: Final[dict[str, Callable[[], str]]] = {
    "commands.md": make_commands.document,
    "exit-codes.md": exit_codes,
    "hooks.md": make_hooks.document,
    "settings.md": make_settings.document,
}


def main() -> None:
    """Write every page."""
    for name, document in PAGES.items():
        (FOLDER / name).write_text(document().rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
