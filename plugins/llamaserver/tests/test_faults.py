"""Servers and files that fail: each says why, and leaves no process and no file behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from gemmahub.engines.contract import Artifact, Message, Sampling, Settings
from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    Cancelled,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
)
from gemmahub.testing.model_writer import write_thinking_model
from gemmahub_llamaserver import programs
from gemmahub_llamaserver.backend import LlamaServerBackend
from gemmahub_llamaserver.build import own_folder
from gemmahub_llamaserver.session import LlamaServerSession
from plugins.llamaserver.tests.conftest import ask
from plugins.llamaserver.tests.conftest import programs as left_running
from tests.engines.program_support import is_running, until_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROMPT = "The capital of France is"


@pytest.fixture(autouse=True)
def _nothing_is_left(cache: Path) -> Iterator[None]:
    """But the log of what crashed, which its error names."""
    before = set(left_running())
    yield
    assert set(left_running()) <= before
    files = {path.name for path in cache.rglob("*") if path.is_file()}
    assert not {name for name in files if not name.endswith((".kept", "-builds.json"))}


def load(model: Artifact, **settings: object) -> LlamaServerSession:
    wanted = {"context": 512, "threads": 1} | settings
    return LlamaServerBackend().load(model, Settings(**wanted))  # type: ignore[arg-type]


def changed(tmp_path: Path, content: bytes) -> Artifact:
    path = tmp_path / "changed.gguf"
    path.write_bytes(content)
    return Artifact("gguf", path, (path,))


# --- loading -------------------------------------------------------------------------------------


def test_killed_while_loading(program: Callable[..., Path], tiny: Artifact) -> None:
    program("killed while loading")
    with pytest.raises(BackendCrashed, match=r"was killed .* before it was ready"):
        load(tiny)


def test_a_model_that_is_refused_has_the_reason_of_the_log(
    program: Callable[..., Path], tiny: Artifact
) -> None:
    program("exits")
    with pytest.raises(LoadFailed, match=r"cannot load tiny.*: failed to load the moon") as caught:
        load(tiny)
    assert "its log is " in caught.value.hint


def test_a_real_refusal(tmp_path: Path, tiny: Artifact) -> None:
    content = tiny.path.read_bytes().replace(b"gemma3", b"gemma9")
    with pytest.raises(LoadFailed, match="unknown model architecture: 'gemma9'") as caught:
        load(changed(tmp_path, content))
    assert "download it again" not in caught.value.hint


def test_a_file_that_is_not_complete(tmp_path: Path, tiny: Artifact) -> None:
    with pytest.raises(LoadFailed) as caught:
        load(changed(tmp_path, tiny.path.read_bytes()[:300_000]))
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"hello", b"GGUF\3\0\0\0" + b"\xff" * 16])
def test_a_file_that_is_not_a_model(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed):
        load(changed(tmp_path, content))


def test_a_template_that_never_ends_does_not_hold_up_the_start(
    tmp_path: Path, tiny: Artifact
) -> None:
    from gemmahub.testing.model_writer import write_model

    path = tmp_path / "slow.gguf"
    loop = "{% for x in range(99999999) %}"
    write_model(path, template=f"{loop}{loop}{{% endfor %}}{{% endfor %}}")
    with load(Artifact("gguf", path, (path,))) as session:
        assert ask(session, "hello")[1].tokens
        with pytest.raises(BackendError, match="chat template"):
            ask(session, [Message("user", "hello")])


@pytest.mark.parametrize("kib", [500_000, 900_000])
def test_not_enough_memory(
    kib: int, tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = tmp_path / "llama-server"
    limited.touch(0o755)
    real = programs.find_build().command[0]
    limited.write_text(f'#!/bin/sh\nulimit -v {kib}\nexec "{real}" "$@"\n')
    monkeypatch.setenv("LLAMA_SERVER_PATH", str(limited))
    with pytest.raises((LoadFailed, BackendCrashed), match=r"memory|alloc") as caught:
        load(
            artifact, context=32768, cache_type_k="f32", cache_type_v="f32", options={"mmap": False}
        )
    assert "smaller" in caught.value.hint


def test_a_port_that_is_taken(tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    from gemmahub.engines import program as starting

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1]]
        find = starting._free_port
        monkeypatch.setattr(starting, "_free_port", lambda: ports.pop() if ports else find())
        with load(tiny) as session:
            assert ask(session, "hello")[1].tokens
    assert not ports


def test_a_server_that_does_not_say_its_context(
    program: Callable[..., Path], tiny: Artifact
) -> None:
    program("no context")
    with pytest.raises(LoadFailed, match="does not report its context"):
        load(tiny)


def test_loading_that_is_given_up(tiny: Artifact) -> None:
    def give_up(_: float) -> None:
        raise Cancelled("loading was cancelled", "load the model again")

    with pytest.raises(Cancelled):
        LlamaServerBackend().load(tiny, Settings(context=512), give_up)


# --- answering -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "error", "reason"),
    [
        ("nonsense", BackendCrashed, "not JSON"),
        ("deep", BackendCrashed, "not JSON"),
        ("endless line", BackendCrashed, "a line of more"),
        ("half", BackendCrashed, "in the middle of the answer"),
        ("controls", GenerationFailed, "out of luck"),
        ("wrong tokens", GenerationFailed, "sent invalid tokens"),
    ],
)
def test_an_answer_that_is_invalid(
    mode: str,
    error: type[BackendError],
    reason: str,
    program: Callable[..., Path],
    tiny: Artifact,
) -> None:
    program(mode)
    with load(tiny) as session, pytest.raises(error, match=reason) as caught:
        ask(session, "hello")
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("mode", ["wrong kinds", "huge numbers"])
def test_invalid_counts_are_not_shown(
    mode: str, program: Callable[..., Path], tiny: Artifact
) -> None:
    program(mode)
    with load(tiny) as session:
        usage = ask(session, "hello")[1]
    assert (usage.tokens, usage.prompt_tokens, usage.decode_seconds) == (None, None, None)


def test_a_limit_of_thoughts_that_the_server_does_not_know_is_reported(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "thinking.gguf"
    write_thinking_model(path)
    program("endless thought")
    with LlamaServerBackend().load(
        Artifact("gguf", path, (path,), name="thinking"), Settings(context=512)
    ) as session:
        chunks = session.generate([Message("user", "Hi")], Sampling(thinking=5))
        with pytest.raises(GenerationFailed, match="cannot limit thinking"):
            list(chunks)


def test_killed_while_answering_carries_the_reason(
    program: Callable[..., Path], tiny: Artifact
) -> None:
    program("killed")
    with load(tiny) as session:
        with pytest.raises(BackendCrashed, match=r"was killed .*GGML_ASSERT") as caught:
            ask(session, "hello")
        assert "its log is " in caught.value.hint
        with pytest.raises(BackendCrashed):
            ask(session, "hello")
    with load(tiny):  # a new server is started
        pass


def test_a_server_that_stops_answering(tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LlamaServerSession, "silence_seconds", 0.5)
    with load(tiny) as session:
        chunks = session.generate("hello", Sampling(temperature=0, max_tokens=400))
        next(chunks)
        pid = session.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(BackendCrashed, match=r"does not answer|too slowly"):
            list(chunks)
        until_gone(pid)


def test_a_prompt_of_100_000_characters(artifact: Artifact) -> None:
    with load(artifact) as session:
        with pytest.raises(ContextExceeded, match=r"the prompt has more than 1,250 tokens .* 512"):
            ask(session, "word " * 20_000)
        assert ask(session, PROMPT)[1].tokens == 24


# --- other circumstances -------------------------------------------------------------------------

_PROGRAM = """
import sys
from pathlib import Path
from gemmahub.engines.contract import Artifact, Sampling, Settings
from gemmahub_llamaserver.backend import LlamaServerBackend
from gemmahub_llamaserver.build import own_folder
path = Path(sys.argv[1])
artifact = Artifact("gguf", path, (path,))
session = LlamaServerBackend().load(artifact, Settings(context=512, threads=1))
sys.stdout.write(f"{session.pid}\\n")
sys.stdout.flush()
sys.stdin.readline()
text = "".join(c.text for c in session.generate("hello", Sampling(temperature=0, max_tokens=8)))
session.close()
sys.stdout.write(text.encode().hex() + "\\n")
"""


def other(model: Artifact) -> subprocess.Popen[str]:
    """A process of ours that loads the model, says the server's number, and waits."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(model.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_of_ours_have_a_server_each(tiny: Artifact) -> None:
    with other(tiny) as one, other(tiny) as two:
        pids = {int(line_of(each)) for each in (one, two)}
        assert len(pids) == 2
        answers = set()
        for process in (one, two):
            out, _ = process.communicate("\n")
            answers.add(out.strip())
            assert process.returncode == 0
        assert len(answers) == 1
        assert "" not in answers
    until_gone(*pids)


def test_the_server_ends_when_we_are_killed(tiny: Artifact) -> None:
    with other(tiny) as process:
        pid = int(line_of(process))
        assert is_running(pid)
        process.kill()
        process.communicate()
    until_gone(pid)


def test_folders_that_cannot_be_written_to(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    for name in ("TMPDIR", "TEMP", "TMP", "GEMMAHUB_CACHE", "HOME"):
        monkeypatch.setenv(name, str(file / "folder"))
    monkeypatch.setattr("tempfile.tempdir", str(file / "folder"))
    with load(tiny) as session:
        assert ask(session, "hello")[1].tokens


def test_libraries_in_the_current_folder_are_not_loaded(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp looks for its backends there, too."""
    monkeypatch.chdir(tmp_path)
    for name in ("cuda", "hip", "rpc", "blas"):
        (tmp_path / f"libggml-{name}.so").write_bytes(b"no library")
    with load(tiny) as session:
        program = psutil.Process(session.pid)
        assert program.cwd() == str(own_folder(program.exe()))
        assert not [line for line in session._server.program.log.lines if "libggml-cuda" in line]
    assert LlamaServerBackend().devices()


def test_a_path_may_be_relative(tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.path.parent)
    path = type(tiny.path)(tiny.path.name)
    with load(Artifact("gguf", path, (path,))) as session:
        assert ask(session, "hello")[1].tokens


def test_it_listens_on_the_loopback_of_ipv4_alone(tiny: Artifact) -> None:
    with load(tiny) as session:
        listening = [
            found.laddr.ip
            for found in psutil.Process(session.pid).net_connections()
            if found.status == psutil.CONN_LISTEN
        ]
    assert listening == ["127.0.0.1"]


def test_variables_of_llama_cpp_do_not_reach_the_server(
    tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ARG_CTX_SIZE": "64", "ARG_HOST": "0.0.0.0", "API_KEY": "x"}.items():
        monkeypatch.setenv(f"LLAMA_{name}", value)
    with load(tiny) as session:
        assert session.info.context == 512
        environment = psutil.Process(session.pid).environ()
        assert {name for name in environment if name.startswith("LLAMA_")} == {"LLAMA_API_KEY"}
        assert len(environment["LLAMA_API_KEY"]) > 30
        assert environment["LLAMA_API_KEY"] not in " ".join(psutil.Process(session.pid).cmdline())


def test_nobody_gets_an_answer_without_the_key(tiny: Artifact) -> None:
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, Request, build_opener

    with load(tiny) as session:
        url = f"http://127.0.0.1:{session._server.program.port}/completion"
        request = Request(url, json.dumps({"prompt": "x"}).encode())
        with pytest.raises(HTTPError, match="401") as caught:
            build_opener(ProxyHandler({})).open(request, timeout=30)
        caught.value.close()


def test_neither_prompts_nor_answers_are_in_the_log(artifact: Artifact) -> None:
    with load(artifact) as session:
        text, _ = ask(session, f"{PROMPT} secret-word, and")
        log = "\n".join(session._server.program.log.lines)
    assert "secret-word" not in log
    assert text.split()[0] not in log or len(text.split()[0]) < 5


def test_closing_from_another_thread_ends_the_answer(artifact: Artifact) -> None:
    session = load(artifact, context=2048)
    timer = threading.Timer(0.3, session.close)
    timer.start()
    with pytest.raises(GenerationFailed, match="closed"):
        ask_until_closed(session)
    timer.join()


def ask_until_closed(session: LlamaServerSession) -> None:
    while True:
        ask(session, PROMPT, max_tokens=400)
