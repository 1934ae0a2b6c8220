"""Programs that are engines: started, ready, logged, crashed, ended, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from gemmahub.engines.program import Program, start_program
from gemmahub.errors import BackendCrashed, BackendMissing, Cancelled, LoadFailed
from tests.engines.program_support import (
    DEAF,
    PARENT,
    SLEEPER,
    files_below,
    is_running,
    ours,
    python,
    until_empty,
    until_gone,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GEMMAHUB_CACHE", str(folder))
    monkeypatch.delenv("GEMMAHUB_DEBUG", raising=False)
    return folder


def says(word: str) -> object:
    return lambda program: any(word in line for line in program.log.lines)


def started(code: str, word: str = "ready", **options: object) -> Program:
    return start_program(python(code), ready=says(word), **options)  # type: ignore[arg-type]


def web_server(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]


# --- starting ----------------------------------------------------------------------------------


def test_a_web_server_answers_at_the_port_that_was_found(cache: Path) -> None:
    with start_program(web_server) as program:
        with urlopen(f"http://127.0.0.1:{program.port}/", timeout=30) as answer:
            assert answer.status == 200
        assert is_running(program.pid)
    assert not program.running
    until_gone(program.pid)
    assert files_below(cache) == []


def test_the_check_of_the_documents_works(tmp_path: Path) -> None:
    (tmp_path / "health").touch()
    text = (Path(__file__).parents[2] / "docs" / "reference" / "programs.md").read_text()
    example = text.partition("```python\n")[2].partition("\nprogram = ")[0]
    names: dict[str, Any] = {}
    exec(example, names)
    with start_program(
        lambda port: [*web_server(port), "--directory", tmp_path], ready=names["answers_health"]
    ) as program:
        assert program.running


def test_it_runs_in_the_folder_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    code = "import os; raise SystemExit(str(os.listdir()))"
    with pytest.raises(BackendCrashed, match="here"):
        start_program(python(code), ready=lambda program: False, folder=tmp_path)


def test_several_programs_run_at_once() -> None:
    programs = [start_program(web_server) for _ in range(3)]
    assert len({program.port for program in programs}) == 3
    for program in programs:
        program.stop()
    until_gone(*(program.pid for program in programs))


def test_a_port_that_is_taken_is_exchanged_for_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asked: list[int] = []

        def command(port: int) -> list[str]:
            asked.append(port)
            return web_server(taken.getsockname()[1] if len(asked) == 1 else port)

        def answers(program: Program) -> bool:
            address = ("127.0.0.1", asked[-1])
            with socket.create_connection(address, timeout=5):
                return len(asked) > 1

        with start_program(command, ready=answers) as program:
            assert program.port == asked[-1]
        assert len(asked) == 2


def test_a_port_that_is_always_taken_is_reported_as_it_is() -> None:
    asked = []

    def command(port: int) -> list[str]:
        asked.append(port)
        return python("raise SystemExit('bind: address already in use')")

    with pytest.raises(BackendCrashed, match="address already in use"):
        start_program(command, ready=lambda _: False)
    assert len(asked) == 5


@pytest.mark.parametrize("name", ["no-such-program-at-all", "/no/such/program"])
def test_a_program_that_is_not_there_is_named(name: str, cache: Path) -> None:
    with pytest.raises(BackendMissing, match="there is no program"):
        start_program([name])
    assert files_below(cache) == []


def test_a_file_that_is_not_a_program_is_named_with_the_reason(tmp_path: Path, cache: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"\x00\x01\x02")
    wrong.chmod(0o755)
    with pytest.raises(BackendMissing, match=r"cannot start .*wrong: "):
        start_program([str(wrong)])
    assert files_below(cache) == []


def test_it_inherits_no_file_and_only_the_environment_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ARG_HOST", "0.0.0.0")
    monkeypatch.setenv("llama_api_key", "x")
    code = (
        "import os\n"
        "print('names', *sorted(n for n in os.environ if n.upper().startswith('LLAMA')))\n"
        "print('added', os.environ['ADDED'], os.read(0, 1))\n"
        "print('alone', os.getsid(0) == os.getpid() == os.getpgid(0))\n"
        "found = [n for n in os.listdir('/dev/fd') if os.path.exists(f'/dev/fd/{n}')]\n"
        "print('files', len(found))\n"
        "print('done', flush=True)\nimport time; time.sleep(600)"
    )
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        with started(code, "done", environment={"ADDED": "y"}, without=("LLAMA_*",)) as program:
            lines = program.log.lines
    assert "names" in lines
    assert "added y b''" in lines
    assert "alone True" in lines
    assert "files 3" in lines


# --- not getting ready -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit('error: invalid argument: --x')", "exit code 1 .*invalid argument: --x"),
        (
            "import sys; print('error: bad value'); [print('help', n) for n in range(2000)];"
            "sys.exit(1)",
            "error: bad value",
        ),
        ("import os; print('ggml abort: no room', flush=True); os.abort()", "SIGABRT.*no room"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed"),
        ("print('just this'); raise SystemExit(0)", "exit code 0 .*just this"),
        ("import sys; sys.stdout.write('no line end: failed'); sys.exit(3)", "no line end: failed"),
    ],
)
def test_a_program_that_ends_before_it_is_ready_says_why(code: str, told: str, cache: Path) -> None:
    with pytest.raises(BackendCrashed, match=told) as caught:
        start_program(python(code), ready=lambda _: False)
    (name,) = files_below(cache)
    assert name in caught.value.hint
    assert name.endswith(".kept")


def test_each_crash_keeps_its_own_log(cache: Path) -> None:
    for number in range(3):
        with pytest.raises(BackendCrashed):
            start_program(python(f"raise SystemExit('error {number}')"), ready=lambda _: False)
    texts = [path.read_text() for path in cache.rglob("*.kept")]
    assert sorted(texts) == ["error 0\n", "error 1\n", "error 2\n"]


def test_a_program_that_never_gets_ready_is_ended(cache: Path) -> None:
    found = []

    def never(program: Program) -> bool:
        found.append(program.pid)
        raise ConnectionRefusedError

    with pytest.raises(LoadFailed, match="was not ready after 0 s"):
        start_program(python(DEAF), ready=never, ready_seconds=0.2)
    until_gone(found[0])
    assert len(files_below(cache)) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_check_that_raises_ends_the_program(error: type[BaseException], cache: Path) -> None:
    found = []

    def check(program: Program) -> bool:
        found.append(program.pid)
        raise error

    with pytest.raises(error):
        start_program(python(DEAF), ready=check)
    until_gone(found[0])
    assert files_below(cache) == []


def test_a_cancel_ends_the_program() -> None:
    found: list[int] = []
    with pytest.raises(Cancelled):
        start_program(
            python(DEAF),
            ready=lambda program: bool(found.append(program.pid)),  # type: ignore[func-returns-value]
            cancelled=lambda: bool(found),
        )
    until_gone(found[0])


# --- its end -----------------------------------------------------------------------------------


def test_stopping_asks_first(cache: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def leave(*_): print('asked', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\nprint('ready', flush=True)\ntime.sleep(600)"
    )
    program = started(code)
    program.stop()
    assert program.log.lines[-1] == "asked"
    program.stop()
    program.kill()
    assert files_below(cache) == []


def test_a_program_that_does_not_listen_is_killed() -> None:
    program = started(DEAF, patience=0.1)
    program.stop()
    until_gone(program.pid)


def test_the_first_step_of_the_end_may_be_the_callers_own() -> None:
    asked: list[Program] = []

    def first(program: Program) -> None:
        asked.append(program)
        raise RuntimeError("a plugin's")

    program = started(SLEEPER, stop=first, patience=0.1)
    program.stop()
    assert asked == [program]
    until_gone(program.pid)


def test_it_may_be_stopped_by_several_threads_at_once() -> None:
    program = started(SLEEPER)
    threads = [threading.Thread(target=program.stop) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until_gone(program.pid)


def child_of(program: Program) -> int:
    return int(next(line for line in program.log.lines if line.startswith("child")).split()[1])


@pytest.mark.parametrize("end", ["stop", "kill", "crash", "by itself"])
def test_what_it_started_ends_with_it(end: str) -> None:
    program = started(PARENT)  # "ready" is what the child says
    child = child_of(program)
    assert is_running(child)
    if end == "by itself":
        os.kill(program.pid, signal.SIGKILL)
        assert program.wait(30)
    elif end == "crash":
        assert "does not answer in a test" in program.crash("in a test").message
    else:
        getattr(program, end)()
    until_gone(program.pid, child)
    program.stop()


def test_a_crash_later_carries_the_lines_with_the_reason(cache: Path) -> None:
    code = (
        "import os, time\nprint('warning: a harmless error', flush=True)\n"
        "for n in range(5000): print('line', n)\n"
        "print('ready', flush=True)\ntime.sleep(0.3)\n"
        "print('CUDA error: out of memory'); print('bye', flush=True)\nos.abort()"
    )
    program = started(code)
    assert program.wait(30)
    error = program.crash("in the middle of an answer")
    assert "aborted (SIGABRT) in the middle of an answer" in error.message
    assert "CUDA error: out of memory" in error.message
    assert str(cache) in error.hint
    program.stop()
    assert len(files_below(cache)) == 1


def test_a_killed_watchdog_takes_the_program_with_it(cache: Path) -> None:
    program = started(PARENT)
    child = child_of(program)
    os.kill(program._keeper.pid, signal.SIGKILL)
    assert program.wait(30)
    until_gone(program.pid, child)
    assert "was killed" in program.crash("in a test").message


def test_a_stopped_watchdog_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemmahub.engines.running_program._END_SECONDS", 0.2)
    program = started(DEAF, patience=0.1)
    os.kill(program._keeper.pid, signal.SIGSTOP)
    program.stop()
    until_gone(program.pid)


OURS = """
import sys
from tests.engines.program_support import *
from gemmahub.engines.program import start_program
def says(word):
    return lambda program: any(word in line for line in program.log.lines)
program = start_program(python({code!r}), ready=says("ready"))
child = next(line for line in program.log.lines if line.startswith("child")).split()[1]
{before}
print(program.pid, child, program._keeper.pid, flush=True)
{then}
"""
WAIT = "sys.stdin.read()"


def pids_of(process: object) -> list[int]:
    return [int(word) for word in process.stdout.readline().split()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import os\nif not os.fork(): sys.stdin.read(); os._exit(0)",
        "other = start_program(python(SLEEPER), ready=says('ready'))",
    ],
    ids=["alone", "with a fork", "with a second program"],
)
def test_a_program_ends_when_ours_is_killed(before: str, cache: Path) -> None:
    with ours(OURS.format(code=PARENT, before=before, then=WAIT), cache) as process:
        pids = pids_of(process)
        assert all(map(is_running, pids))
        process.kill()
        process.wait()
        until_gone(*pids)
        assert process.stdin is not None
        process.stdin.close()  # ends a fork
    until_empty(cache)


def test_a_program_ends_when_ours_and_the_watchdog_are_killed_at_once(cache: Path) -> None:
    with ours(OURS.format(code=PARENT, before="", then=WAIT), cache) as process:
        program, child, keeper = pids_of(process)
        os.kill(process.pid, signal.SIGSTOP)  # it sees nothing of what follows
        os.kill(keeper, signal.SIGKILL)
        process.kill()
        process.wait()
        until_gone(program, keeper)
        os.kill(child, signal.SIGKILL)  # of these nobody is left to know


def test_a_program_ends_when_ours_is_killed_while_it_loads(cache: Path) -> None:
    code = (
        "from tests.engines.program_support import *\n"
        "from gemmahub.engines.program import start_program\n"
        "def never(program):\n"
        "    print(program.pid, program._keeper.pid, flush=True)\n"
        "    return False\n"
        "start_program(python(DEAF), ready=never)"
    )
    with ours(code, cache) as process:
        pids = pids_of(process)
        process.kill()
        process.wait()
        until_gone(*pids)
    assert files_below(cache) == []


@pytest.mark.parametrize(
    "then", ["", "raise SystemExit(3)", "del program; import gc; gc.collect()"]
)
def test_a_program_that_was_not_stopped_ends_with_gemmahub(then: str, cache: Path) -> None:
    with ours(OURS.format(code=PARENT, before="", then=then), cache) as process:
        pids = pids_of(process)
        process.wait(60)
        until_gone(*pids)
    assert files_below(cache) == []


def test_the_keyboards_interrupt_is_not_for_the_program() -> None:
    with started(SLEEPER) as program:
        assert os.getsid(program.pid) == program.pid != os.getsid(0)
        assert os.getpgid(program._keeper.pid) != os.getpgid(0)


# --- the log -----------------------------------------------------------------------------------


def test_the_log_is_for_its_owners_eyes_and_stays_with_debug(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GEMMAHUB_DEBUG", "1")
    with started(SLEEPER, name="engine") as program:
        assert program.log.file is not None
        mode = program.log.file.path.stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    assert "engine: ready" in capsys.readouterr().err
    assert [name.partition("-")[0] for name in files_below(cache)] == ["engine"]


def test_a_line_that_the_filter_does_not_want_is_kept_nowhere(cache: Path) -> None:
    code = (
        "print('prompt: my secret'); print('prompt: ' + 'secret ' * 9000); print('fine')\n"
        "print('odd'); raise SystemExit('failed')"
    )

    def keep(line: str) -> bool:
        if line == "odd":
            raise ValueError
        return "prompt" not in line

    with pytest.raises(BackendCrashed) as caught:
        start_program(python(code), ready=lambda _: False, keep=keep)
    (path,) = cache.rglob("*.kept")
    assert path.read_text() == "fine\nfailed\n"
    assert "secret" not in caught.value.in_full


def test_without_a_folder_to_write_to_the_reason_is_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(BackendCrashed, match="error: this one"):
        start_program(python("raise SystemExit('error: this one')"), ready=lambda _: False)
