"""A family of models has one place: no other product code tests a family's name."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent

# gemma3n, gemma4v, gemma3_text, GEMMA4_..., gemma3.block_count; not gemma3:4b or gemma-3-4b-it.
FAMILY = re.compile(r"(?i)(^|_)gemma_?[0-9]+[a-z]*(_[a-z]+)*(\.[a-z_.]*)?$")

MAY_NAME_ONE = {
    # The families themselves.
    "gemmahub/memory/families": "one module each",
    # What an engine does for one family alone, in one module a plugin.
    "plugins/llamacpp/gemmahub_llamacpp/vision.py": "projectors of each family",
    # What an engine's builds know, by the names in its own source.
    "gemmahub/engines/llama_files.py": "the architectures that llama.cpp loads",
    "plugins/litertlm/gemmahub_litertlm/families.py": "the families in LiteRT-LM's metadata",
    "plugins/mlx/gemmahub_mlx/families.py": "what mlx-lm does for one family alone",
    "plugins/jax/gemmahub_jax/families.py": "what the shapes of a checkpoint do not say",
    # Models that are written for tests and are Gemma 3: nothing is decided by their name.
    "gemmahub/testing": "small models and hubs for the tests of plugins",
}


def product_code() -> Iterator[Path]:
    for room in (ROOT / "gemmahub", *(ROOT / "plugins").glob("*/gemmahub_*")):
        yield from sorted(room.rglob("*.py"))


def named(code: str) -> list[str]:
    """The families that code names: in strings that are no docstrings, and in its own names."""
    tree = ast.parse(code)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose:
                found.append(text)
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text):
                found.append(text)
            case ast.FunctionDef(name=text) | ast.ClassDef(name=text) | ast.alias(name=text):
                found.append(text.rpartition(".")[2])
            case ast.ImportFrom(module=str(text)):
                found.append(text.rpartition(".")[2])
    return [text for text in found if FAMILY.search(text)]


def allowed(file: str) -> str | None:
    """The place among those that may name a family in which the file is."""
    return next((one for one in MAY_NAME_ONE if f"{file}/".startswith(f"{one}/")), None)


@pytest.mark.parametrize(
    "code",
    [
        'if name == "gemma3": pass',
        'sizes = {"gemma3n": 1}',
        'known = ("gemma2", "gemma4")',
        'name.startswith("gemma4")',
        'match name:\n  case "gemma4_unified": pass',
        'width = metadata["gemma3.block_count"]',
        "_GEMMA4_WINDOW = 512",
        "from gemmahub.memory.families import gemma4",
        "from gemmahub.memory.families.gemma3n import FAMILY",
    ],
)
def test_code_that_names_a_family_is_found(code: str) -> None:
    assert named(code)


@pytest.mark.parametrize(
    "code",
    ['"""Like gemma3."""', 'help = "a tag: gemma3:4b"', 'name = "gemma-3-4b-it"'],
)
def test_prose_and_names_of_models_are_not_families(code: str) -> None:
    assert not named(code)


def test_no_code_names_a_family_but_the_familys_own() -> None:
    used = set()
    for path in product_code():
        file = path.relative_to(ROOT).as_posix()
        found = named(path.read_text("utf-8"))
        place = allowed(file)
        if place is None:
            assert not found, f"{file} names {found}"
        elif found or path.parent.name == "families":
            used.add(place)
    assert used == set(MAY_NAME_ONE), "a place that names no family needs no leave to do so"
