"""Every text that a user can see, with its place: ``python -m tests.shown_strings [FOLDER...]``.

It reads the syntax trees of ``gemmahub/`` and ``plugins/*/gemmahub_*/``: help of commands and
options, errors and their hints, output, labels of the terminal UI, texts of plugins. A text of
several parts is one text, with ``{expression}`` where a value goes in.

A text counts when it has at least two words. A shorter one counts when the name of its argument
says that it is shown (``help``, ``label``, ``placeholder`` ...). Left out is what only the program
reads: docstrings other than those of commands, patterns, SQL, style sheets, annotations, and what
is compared.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

SHOWN_KEYWORDS = {
    "border_title", "description", "epilog", "help", "hint", "label", "message", "metavar",
    "placeholder", "prompt", "reason", "short_help", "subtitle", "summary", "text", "title",
    "tooltip",
}  # fmt: skip
"""Arguments whose text is shown, however short it is."""

UNREAD_CALLS = {
    "cast", "compile", "connect", "encode", "endswith", "execute", "executemany", "executescript",
    "findall", "finditer", "fullmatch", "getLogger", "import_module", "match", "namedtuple",
    "query", "query_one", "search", "startswith", "strptime", "sub", "TypeVar",
}  # fmt: skip
"""Functions whose texts are patterns, queries and names."""

UNREAD_NAMES = {"CSS", "DEFAULT_CSS", "SCHEMA", "__all__", "__slots__"}
WORDS = re.compile(r"[A-Za-z][\w'’\-]*[,:;.]? +[({]?[A-Za-z{]")


@dataclass(frozen=True)
class ShownText:
    """One text: the file from the repository's root, its line, and what is shown."""

    path: str
    line: int
    text: str


def sources(root: Path = ROOT) -> list[Path]:
    """The files of the program and of the plugins in this repository, without their tests."""
    found = (*root.glob("gemmahub/**/*.py"), *root.glob("plugins/*/gemmahub_*/**/*.py"))
    return sorted(path for path in found if "templates" not in path.parts)


def shown_texts(path: Path, root: Path = ROOT) -> list[ShownText]:
    """The texts of one file, in the order of their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = path.relative_to(root).as_posix()
    found = {(line, text) for line, text in _Reader().texts(tree) if text.strip()}
    return [ShownText(name, line, text) for line, text in sorted(found)]


class _Reader:
    """Walks a tree and knows whether a text at that place is one for people."""

    def texts(self, node: ast.AST, *, labelled: bool = False) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
            text = _text(node)
            if text is not None:
                if labelled or WORDS.search(text):
                    yield node.lineno, text
                if isinstance(node, ast.JoinedStr):
                    yield from self._inside(node)
                return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_command(node):
            yield node.lineno, ast.get_docstring(node) or ""
        for field, value in ast.iter_fields(node):
            if _is_unread(node, field):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.keyword):
                    yield from self.texts(child.value, labelled=child.arg in SHOWN_KEYWORDS)
                elif isinstance(child, ast.AST) and not _is_docstring(node, child):
                    is_choice = isinstance(node, ast.IfExp | ast.BoolOp) and field != "test"
                    yield from self.texts(child, labelled=labelled and is_choice)

    def _inside(self, node: ast.JoinedStr) -> Iterator[tuple[int, str]]:
        """Texts inside the braces: ``f"{'one file' if n == 1 else 'several'}"``."""
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from self.texts(part.value)


def _text(node: ast.AST) -> str | None:
    """The text with its placeholders; None for what is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {
        part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
        for decorator in node.decorator_list
        for part in ast.walk(decorator)
    }
    return bool(names & {"command", "group"})


def _is_docstring(parent: ast.AST, child: ast.AST) -> bool:
    """A text that stands alone as a statement: a docstring, or a comment on an attribute."""
    return isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)


def _is_unread(node: ast.AST, field: str) -> bool:
    if field in ("annotation", "returns", "slice") or isinstance(node, ast.Compare):
        return True
    if isinstance(node, ast.Call) and field in ("args", "keywords"):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return name in UNREAD_CALLS
    if isinstance(node, ast.Assign | ast.AnnAssign) and field == "value":
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(getattr(target, "id", "") in UNREAD_NAMES for target in targets)
    return False


def main(folders: list[str]) -> None:
    """Prints ``file:line`` and the text, for all files or for those below the given folders."""
    chosen = [(ROOT / folder).resolve() for folder in folders]
    for path in sources():
        if not chosen or any(path == place or place in path.parents for place in chosen):
            for found in shown_texts(path):
                sys.stdout.write(f"{found.path}:{found.line}: {' '.join(found.text.split())}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
