"""The worker process: streaming, cancelling, crashing, closing. The echo plugin is the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, FinishReason, Message, Sampling, Settings
from gemmahub.engines.isolated import IsolatedSession, load_isolated
from gemmahub.errors import BackendCrashed, ContextExceeded, LoadFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.manager import PluginManager

GREEDY = Sampling(temperature=0)


def load(
    manager: PluginManager, artifact: Artifact, context: int | None = None, **options: object
) -> IsolatedSession:
    return load_isolated(
        manager.backend("echo"), artifact, Settings(context=context, options=options)
    )


@pytest.fixture
def session(echo_manager: PluginManager, any_artifact: Artifact) -> Iterator[IsolatedSession]:
    with load(echo_manager, any_artifact) as found:
        yield found


def text_of(session: IsolatedSession, prompt: str) -> str:
    return "".join(chunk.text for chunk in session.generate(prompt, GREEDY))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_streams_through_the_process(session: IsolatedSession) -> None:
    chunks = list(session.generate([Message("user", "ein zwei drei")], GREEDY))
    assert [c.text for c in chunks] == ["ein", " zwei", " drei", ""]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.tokens == 3
    assert session.info.engine == "echo 1"
    assert session.pid != os.getpid()


def test_errors_of_the_backend_keep_their_class(
    echo_manager: PluginManager, any_artifact: Artifact
) -> None:
    with load(echo_manager, any_artifact, context=4) as session:
        with pytest.raises(ContextExceeded) as caught:
            list(session.generate("a b c d e", GREEDY))
        assert caught.value.hint == "shorten the prompt, or load the model with --ctx-size 512"
        assert text_of(session, "a b") == "a b"
    with pytest.raises(LoadFailed, match="no option"):
        load(echo_manager, any_artifact, wrong=1)


def test_progress_is_reported(echo_manager: PluginManager, any_artifact: Artifact) -> None:
    seen: list[float] = []
    load_isolated(echo_manager.backend("echo"), any_artifact, Settings(), seen.append).close()
    assert seen == [1.0]


def test_an_abandoned_answer_leaves_the_session_usable(
    echo_manager: PluginManager, any_artifact: Artifact
) -> None:
    with load(echo_manager, any_artifact, delay=0.02) as session:
        chunks = session.generate("word " * 500, GREEDY)
        assert next(chunks).text == "word"
        chunks.close()
        assert text_of(session, "still here") == "still here"


def test_cancel_gives_the_usage(echo_manager: PluginManager, any_artifact: Artifact) -> None:
    with load(echo_manager, any_artifact, delay=0.02) as session:
        seen = []
        for chunk in session.generate("word " * 1000, GREEDY):
            seen.append(chunk)
            session.cancel()
        last = seen[-1]
        assert last.usage is not None
        assert last.usage.finish_reason == FinishReason.CANCELLED
        assert last.usage.tokens < 1000
        assert text_of(session, "again") == "again"


def test_cancel_without_an_answer_does_nothing(session: IsolatedSession) -> None:
    session.cancel()
    assert text_of(session, "a b") == "a b"


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "out of memory"), (signal.SIGABRT, "rejected")]
)
def test_a_killed_worker_is_an_error(
    number: signal.Signals, words: str, echo_manager: PluginManager, any_artifact: Artifact
) -> None:
    with load(echo_manager, any_artifact, delay=0.02) as session:
        chunks = session.generate("word " * 1000, GREEDY)
        next(chunks)
        os.kill(session.pid, number)
        with pytest.raises(BackendCrashed) as caught:
            list(chunks)
        assert number.name in caught.value.message
        assert words in caught.value.hint
        with pytest.raises(BackendCrashed):
            text_of(session, "again")


def test_close_ends_the_process_and_may_be_called_twice(
    echo_manager: PluginManager, any_artifact: Artifact
) -> None:
    session = load(echo_manager, any_artifact)
    pid = session.pid
    session.close()
    session.close()
    assert not is_running(pid)
    with pytest.raises(BackendCrashed):
        text_of(session, "x")


def test_no_worker_outlives_its_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from gemmahub.engines.contract import Artifact, Settings\n"
        "from gemmahub.engines.isolated import load_isolated\n"
        "from gemmahub.engines.manager import load_plugins\n"
        "offer = load_plugins(only=['echo']).backend('echo')\n"
        "session = load_isolated(offer, Artifact('gguf', Path(__file__)), Settings())\n"
        "print(session.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        assert is_running(worker)
        process.kill()
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(worker)


# --- engines that misbehave ----------------------------------------------------------------------

BAD_PLUGIN = """
import os, sys
from gemmahub import hookimpl
from gemmahub.engines.contract import *

class Bad(Backend):
    name = "bad"
    formats = ("gguf",)
    def availability(self):
        return Availability(True)
    def load(self, artifact, settings, on_progress=None):
        match artifact.name:
            case "raise": raise RuntimeError("out of cheese")
            case "abort": os.write(2, b"GGML_ASSERT(cheese) failed\\n"); os.abort()
            case "print": print("hello from python"); os.write(1, b"hello from C\\n")
        return BadSession()

class BadSession(SessionBase):
    info = SessionInfo("bad", 8, None, True, "none", Settings())
    def generate(self, prompt, sampling):
        yield Chunk("a")
        if prompt == "raise": raise RuntimeError("mid")
        if prompt == "exit": os._exit(7)
        while prompt == "deaf": yield Chunk("b")
        yield Chunk("c", Usage(FinishReason.STOP, 1, 1, 1, 0, 0, 1, 8))

@hookimpl
def gemmahub_backends():
    return [Bad()]
"""


@pytest.fixture
def bad_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginManager:
    """A plugin that does all that an engine should not, installed for the worker too."""
    info = tmp_path / "gemmahub_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gemmahub-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gemmahub]\nbad = gemmahub_bad_engine\n")
    (tmp_path / "gemmahub_bad_engine.py").write_text(BAD_PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    from gemmahub.engines.manager import load_plugins

    manager = load_plugins(only=["bad"])
    sys.modules.pop("gemmahub_bad_engine")
    return manager


def bad(manager: PluginManager, how: str = "") -> IsolatedSession:
    return load_isolated(manager.backend("bad"), Artifact("gguf", Path("x"), name=how), Settings())


def test_abort_while_loading_shows_the_last_lines(bad_manager: PluginManager) -> None:
    with pytest.raises(BackendCrashed) as caught:
        bad(bad_manager, "abort")
    assert "SIGABRT" in caught.value.message
    assert "GGML_ASSERT(cheese) failed" in caught.value.message


def test_a_foreign_exception_is_a_backend_error(bad_manager: PluginManager) -> None:
    with pytest.raises(LoadFailed, match="RuntimeError: out of cheese"):
        bad(bad_manager, "raise")
    with bad(bad_manager) as session:
        with pytest.raises(Exception, match="RuntimeError: mid") as caught:
            text_of(session, "raise")
        assert caught.value.exit_code == 5  # type: ignore[attr-defined]
        assert text_of(session, "ok") == "ac"


def test_exit_in_mid_answer(bad_manager: PluginManager) -> None:
    with bad(bad_manager) as session, pytest.raises(BackendCrashed, match="exit code 7"):
        text_of(session, "exit")


def test_what_an_engine_prints_does_not_reach_the_stream(
    bad_manager: PluginManager, capfd: pytest.CaptureFixture[str]
) -> None:
    with bad(bad_manager, "print") as session:
        assert text_of(session, "ok") == "ac"
        deadline = time.monotonic() + 10
        while len(session.log) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert {"hello from python", "hello from C"} <= set(session.log)
    assert capfd.readouterr() == ("", "")


def test_an_engine_deaf_to_cancel_is_stopped_between_chunks(bad_manager: PluginManager) -> None:
    with bad(bad_manager) as session:
        seen = 0
        for _ in session.generate("deaf", GREEDY):
            seen += 1
            session.cancel()
        assert seen > 0
        assert text_of(session, "ok") == "ac"
