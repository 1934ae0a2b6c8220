"""The source is what CONTRIBUTING.md says of it, and names in texts are names of something."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import click
import yaml

from gemmahub.cli.main import ALIASES, COMMANDS, cli

ROOT = Path(__file__).parent.parent
SOURCES = [
    path
    for path in (*ROOT.glob("gemmahub/**/*.py"), *ROOT.glob("plugins/*/gemmahub_*/**/*.py"))
    if "templates" not in path.parts
]
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "plugins/*/*.md")
    for path in ROOT.glob(pattern)
]
PACKAGES = ("gemmahub", *(path.name for path in ROOT.glob("plugins/*/gemmahub_*")))


def rooms() -> list[str]:
    """The first column of the table, without the row of the plugins."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
    assert table[-1] == "plugins/<name>/"
    return table[:-1]


def test_the_table_has_each_room_and_nothing_else() -> None:
    found = {
        f"gemmahub/{path.name}/" if path.is_dir() else f"gemmahub/{path.name}"
        for path in (ROOT / "gemmahub").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert sorted(rooms()) == sorted(found)


def test_the_import_contract_has_the_rooms_in_the_same_order() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    level = {room.strip("() "): n for n, layer in enumerate(layers) for room in layer.split("|")}
    table = [Path(room).stem for room in rooms()]
    assert sorted(level) == sorted(table)
    assert [level[room] for room in table] == sorted(level[room] for room in table)


def test_files_stay_short() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
    }
    assert {path: lines for path, lines in lengths.items() if lines > 335} == {}


def exists(name: str) -> bool:
    """Whether a dotted name can be imported, or is in what can be imported."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            # Fields of a record without a default are annotations only.
            found = getattr(found, part, None) or getattr(found, "__annotations__", {}).get(part)
        return found is not None
    return False


def test_dotted_names_in_texts_are_there() -> None:
    pattern = re.compile(rf"(?<![\w./\-])((?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)(?![\w/(])")
    missing = set()
    for path in (*SOURCES, *DOCUMENTS):
        for name in pattern.findall(path.read_text(encoding="utf-8")):
            is_file = name.rpartition(".")[2] in ("py", "md", "toml", "tcss", "org", "dev")
            if path.name != "CHANGELOG.md" and not is_file and not exists(name):
                missing.add(f"{path.relative_to(ROOT)}: {name}")
    assert missing == set()


def test_links_and_paths_in_documents_lead_somewhere() -> None:
    missing = set()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (path.parent / target).exists():
                missing.add(f"{path.relative_to(ROOT)}: {target}")
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            for target in re.findall(r"\b(?:docs|benchmarks)/[\w\-/]+\.(?:md|py)\b", line):
                is_ours = "ggml" not in line and "of the same commit" not in line
                if is_ours and not (ROOT / target).exists():
                    missing.add(f"{path.relative_to(ROOT)}: {target}")
    assert missing == set()


def test_commands_and_options_in_documents_are_there() -> None:
    context = click.Context(cli)
    wrong = set()
    for path in (*DOCUMENTS, *SOURCES):
        for line in re.findall(r"`(?:\$ )?gemmahub ([a-z][^`\n]*)`", path.read_text("utf-8")):
            verb, *words = line.split()
            command = cli.get_command(context, ALIASES.get(verb, verb).rstrip(","))
            if command is None:
                wrong.add(f"{path.relative_to(ROOT)}: {line}")
                continue
            known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
            below = getattr(command, "commands", {})
            known |= {
                n for c in below.values() for p in c.params for n in (*p.opts, *p.secondary_opts)
            }
            for word in words:
                if word.startswith("--") and word.split("=")[0].strip(",.") not in known:
                    wrong.add(f"{path.relative_to(ROOT)}: {line}")
    assert wrong == set()
    assert set(ALIASES.values()) <= set(COMMANDS)


def test_the_index_names_every_document_once() -> None:
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    linked = re.findall(r"^- \[.+?\]\((\w[\w/\-]*\.md)\): .+$", text, re.MULTILINE)
    documents = [p.relative_to(ROOT / "docs").as_posix() for p in ROOT.glob("docs/**/*.md")]
    # Decisions have an index of their own.
    listed = {name for name in documents if not name.startswith("decisions/")}
    assert sorted(linked) == sorted((listed - {"index.md"}) | {"decisions/index.md"})


def test_the_index_of_decisions_names_each_one_once() -> None:
    folder = ROOT / "docs/decisions"
    text = (folder / "index.md").read_text(encoding="utf-8")
    linked = re.findall(r"^- \[.+?\]\(([\w\-]+\.md)\): .+$", text, re.MULTILINE)
    pages = [path for path in folder.glob("*.md") if path.name != "index.md"]
    assert sorted(linked) == sorted(path.name for path in pages)
    for page in pages:
        parts = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert {"Decided", "Figures", "Also considered", "What would reverse it"} <= set(parts), (
            page
        )


def test_templates_ask_for_the_report_of_doctor() -> None:
    """Each template is valid and asks for it; commands in them exist."""
    forms = [p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]
    assert len(forms) >= 3
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form), path
        names = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len(names) == len(set(names)), path
        labels = {part["id"]: part["attributes"]["label"] for part in form["body"] if "id" in part}
        assert labels["doctor"] == "gemmahub doctor --json", path
    text = (ROOT / ".github/pull_request_template.md").read_text(encoding="utf-8")
    assert "gemmahub doctor --json" in text


def test_hooks_before_a_commit_fetch_nothing() -> None:
    """They call the tools of the virtual environment, which are those of .ci/run."""
    file = ROOT / ".pre-commit-config.yaml"
    repositories = yaml.safe_load(file.read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {"ruff-format", "ruff-check", "lint-imports"} <= {hook["id"] for hook in hooks}
    for hook in hooks:
        assert hook["language"] == "system"
        assert hook["entry"].startswith("uv run --no-sync ")
        for name in re.findall(r"tests/\S+\.py", hook["entry"]):
            assert (ROOT / name).is_file()


def test_a_class_has_its_own_name() -> None:
    """One name, one meaning: nobody has to ask which ``Usage`` is meant."""
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
