"""Starting is cheap: a clean interpreter shows what is not imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "llama_cpp", "numpy", "textual", "rich", "requests", "httpx", "httpx2", "huggingface_hub",
    "jinja2", "msgspec", "sqlite3", "psutil", "filelock", "tomlkit", "keyring",
    "gemmahub.formats.gguf", "starlette", "uvicorn", "asyncio",
)  # fmt: skip


def imported_by(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import gemmahub",
        "from gemmahub.cli.main import run; run(['--version'])",
        "from gemmahub.cli.main import run; run(['--help'])",
        "import os; os.environ['_GEMMAHUB_COMPLETE'] = 'bash_complete'\n"
        "os.environ['COMP_LINE'] = 'gemmahub run --t'\n"
        "from gemmahub.cli.main import main\ntry: main()\nexcept SystemExit: pass",
        "from gemmahub.engines.manager import load_plugins; load_plugins().backends()",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    modules = imported_by(code)
    assert "gemmahub" in modules
    assert not [name for name in HEAVY if name in modules]


def test_the_root_does_not_even_import_pluggy() -> None:
    modules = imported_by("import gemmahub")
    assert not {"pluggy", "click"} & modules
