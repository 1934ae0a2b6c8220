"""The tables of ``docs/reference/json.md``: schemas, columns and keys as the program has them."""

from __future__ import annotations

import re
from pathlib import Path

from gemmahub.cli.row_views import ROW_VIEWS
from gemmahub.service.model_filter import KEYS
from gemmahub.service.schemas import schema_rows

DOCUMENT = Path(__file__).parent / "reference" / "json.md"

_FORMS = {
    "text": "`=` `!=` `~` (contains) `!~`",
    "flag": "alone, or behind `!`",
}
_NUMBERS = "`<` `<=` `>` `>=` `=` `!=`"


def tables() -> dict[str, str]:
    """Each table by the name of its place in the document."""
    schemas = [
        (f"`{row['name']}`", str(row["version"]), _command(row["command"]), row["description"])
        for row in schema_rows()
    ]
    columns = [
        (f"`{name}`", " ".join(f"`{column}`" for column in view.names))
        for name, view in ROW_VIEWS.items()
    ]
    keys = [
        (f"`{name}`", _FORMS.get(key.kind, _NUMBERS), f"`{key.example}`", key.what)
        for name, key in KEYS.items()
    ]
    return {
        "schemas": _table(("schema", "version", "printed by", "what it is"), schemas),
        "columns": _table(("command", "columns"), columns),
        "keys": _table(("key", "compares by", "example", "meaning"), keys),
    }


def document() -> str:
    """The page with current tables; the text between them is written by hand."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, table in tables().items():
        place = re.compile(rf"<!-- {name} -->\n.*?<!-- end -->", re.DOTALL)
        new = f"<!-- {name} -->\n\n{table}\n<!-- end -->"
        text, count = place.subn(lambda _, new=new: new, text)
        if count != 1:
            raise SystemExit(f"{DOCUMENT} has no place for {name}")
    return text


def _command(command: str) -> str:
    if not command:
        return "every command that fails"
    tools = " (with tools)" if command.endswith("continue") else " --json"
    return f"`{command}`{tools}" if tools.startswith(" (") else f"`{command}{tools}`"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
