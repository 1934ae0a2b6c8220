"""No module needs, by whatever way, a module that needs it: imports for types alone count too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = [ROOT / "gemmahub", *sorted(ROOT.glob("plugins/*/gemmahub_*"))]


def product_modules() -> dict[str, Path]:
    """The files of all packages by the names of their modules; the root package says nothing."""
    found = {}
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del found["gemmahub"]
    return found


def imported_by(source: str, modules: dict[str, Path]) -> set[str]:
    """What a source imports of these modules: at its top, under TYPE_CHECKING, in functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.module, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules.keys()


def circle(sources: dict[str, str], modules: dict[str, Path]) -> list[str]:
    """The modules of one circle in their order, the first one again at the end; none: empty."""
    graph = {name: imported_by(source, modules) - {name} for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others() -> None:
    modules = product_modules()
    assert len(modules) > 300
    found = circle({name: path.read_text("utf-8") for name, path in modules.items()}, modules)
    assert not found, f"circle of imports: {' <- '.join(found)}"


@pytest.mark.parametrize(
    "back",
    [
        "from gemmahub.text import one_line",
        "import gemmahub.text",
        "from gemmahub import text",
        "if TYPE_CHECKING:\n    from gemmahub.text import one_line",
        "def later():\n    from gemmahub.text import one_line",
    ],
)
def test_a_circle_is_found_wherever_the_import_is_written(back: str) -> None:
    modules = {"gemmahub.text": ROOT, "gemmahub.errors": ROOT}
    sources = {"gemmahub.text": "from gemmahub.errors import UsageError", "gemmahub.errors": back}
    assert set(circle(sources, modules)) == set(modules)
    assert circle(sources | {"gemmahub.errors": "import re"}, modules) == []
