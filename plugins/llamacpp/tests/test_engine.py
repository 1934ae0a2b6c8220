from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from gemmahub.errors import LoadFailed
from gemmahub.formats.ggml_types import GGML_TYPES
from gemmahub.python_environment import install_command
from gemmahub_llamacpp import engine
from gemmahub_llamacpp.backend import LlamaCppBackend, check


@pytest.fixture(scope="module")
def ggml() -> ctypes.CDLL:
    """The engine's own type table."""
    folder = Path(engine.library().__file__).parent / "lib"
    found = [path for path in folder.iterdir() if "ggml-base." in path.name]
    shared = ctypes.CDLL(str(found[0]))
    shared.ggml_type_size.restype = ctypes.c_size_t
    shared.ggml_blck_size.restype = ctypes.c_int64
    shared.ggml_type_name.restype = ctypes.c_char_p
    return shared


@pytest.mark.parametrize("number", GGML_TYPES)
def test_our_type_table_is_the_engines(ggml: ctypes.CDLL, number: int) -> None:
    kind = GGML_TYPES[number]
    assert (ggml.ggml_type_name(number) or b"").decode().upper() == kind.name
    assert ggml.ggml_blck_size(number) == kind.block_size
    assert ggml.ggml_type_size(number) == kind.block_bytes


def test_our_type_table_lacks_none(ggml: ctypes.CDLL) -> None:
    count = engine.library().GGML_TYPE_COUNT
    assert {number for number in range(count) if ggml.ggml_blck_size(number)} == set(GGML_TYPES)


def test_a_setting_that_the_engine_lacks_is_refused() -> None:
    params = engine.library().llama_context_default_params()
    engine.assign(params, n_outputs_max=1)
    assert params.n_outputs_max == 1
    with pytest.raises(LoadFailed, match="no setting n_outputs_min"):
        engine.assign(params, n_outputs_min=1)


def test_errors_are_kept_and_shown_with_the_cause_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = engine.EngineLog()
    log.take(2, b"load: all is well\n")
    log.take(3, b"load: a warning\n")
    log.take(4, b"gguf_init: bad magic\n")
    log.take(5, b"more of it\n")
    log.take(4, b"load_impl: failed to load model\n")
    assert log.errors() == "bad magic; more of it"
    told = capsys.readouterr()
    assert "a warning" in told.err
    assert "all is well" not in told.err
    assert told.out == ""
    log.clear()
    assert log.errors() == ""


def test_availability_is_cheap_and_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LlamaCppBackend().availability().ok
    assert check().status == "ok"
    monkeypatch.setattr(engine, "version", lambda: "")
    missing = LlamaCppBackend().availability()
    assert not missing.ok
    assert install_command("gemmahub-llamacpp") in missing.hint
    assert check().status == "warning"


def test_the_hooks_import_no_engine() -> None:
    code = (
        "import sys, gemmahub_llamacpp as p\n"
        "assert [b.name for b in p.gemmahub_backends()] == ['llama.cpp']\n"
        "from gemmahub.hardware.probe import probe_machine\n"
        "assert p.gemmahub_checks(probe_machine())[0].status == 'ok'\n"
        "print([m for m in ('llama_cpp', 'jinja2', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
