"""Writes the pages that follow from the source: those of the reference, and the changelog::

    uv run python -m docs.make_reference

A test holds the pages against the source, so run this after changing a command, an option, a
setting, an exit code, a hook, or CHANGELOG.md.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs import make_commands, make_hooks, make_json, make_settings
from gemmahub import errors
from gemmahub.errors import ExitCode, GemmahubError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER: Final = Path(__file__).resolve().parent

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


def changelog() -> str:
    """CHANGELOG.md as a page of the site. Its links into the repository are text here: what they
    led to may have moved since."""
    text = (FOLDER.parent / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n\n")[2]
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    return f"# Changelog\n\n<!-- Written by docs/make_reference.py. -->\n\n{_CHANGES}\n\n{text}"


_CHANGES: Final = "What changed for users, version by version."
PAGES: Final[dict[str, Callable[[], str]]] = {
    "changelog.md": changelog,
    "reference/commands.md": make_commands.document,
    "reference/exit-codes.md": exit_codes,
    "reference/hooks.md": make_hooks.document,
    "reference/json.md": make_json.document,
    "reference/settings.md": make_settings.document,
}


def main() -> None:
    """Write every page."""
    for name, document in PAGES.items():
        (FOLDER / name).write_text(document().rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
