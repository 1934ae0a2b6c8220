"""Commands as a user types them: data, failures, exit codes. The echo backend is the engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub import __version__
from gemmahub.testing.gguf_writer import write_gguf
from tests.cli.on_terminal import OnTerminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = Any


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A header-only GGUF of a small model."""
    path = tmp_path / "tiny-Q4_0.gguf"
    metadata = {
        "general.architecture": "gemma3",
        "general.name": "Tiny\x1b[2J",
        "general.file_type": 2,
        "gemma3.block_count": 1,
        "gemma3.context_length": 128,
    }
    tensors = [("token_embd.weight", (32, 8), "F16"), ("blk.0.attn_q.weight", (32, 64), "Q4_0")]
    write_gguf(path, metadata, tensors)
    return path


def echo(command: Command, model: Path, *arguments: object) -> Any:
    return command("run", model, *arguments, "--backend", "echo")


# --- run -----------------------------------------------------------------------------------------


def test_run_answers_on_stdout_and_says_what_runs_on_stderr(command: Command, model: Path) -> None:
    result = echo(command, model, "one two")
    assert (result.code, result.out) == (0, "one two\n")
    assert "Tiny · Q4_0 · " in result.err
    assert "echo 1" in result.err
    assert "context 4,096" in result.err
    assert "\x1b" not in result.err


def test_run_strips_control_sequences_from_the_answer(command: Command, model: Path) -> None:
    assert echo(command, model, "a\x1b]0;x\x07b \x1b[31mred").out == "ab red\n"


def test_run_json(command: Command, model: Path) -> None:
    answer = json.loads(echo(command, model, "one two", "--json").out)
    assert answer["text"] == "one two"
    assert answer["usage"]["tokens"] == 2
    assert answer["usage"]["finish_reason"] == "stop"
    assert answer["precision"]["label"] == "Q4_0"


def test_run_prompt_too_long_for_the_context(command: Command, model: Path) -> None:
    result = echo(command, model, "a b c", "-c", 2)
    assert result.code == 4
    assert "the context holds 2" in result.err
    assert "hint:" in result.err


def test_run_reads_a_pipe(model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gemmahub", "run", str(model), "--backend", "echo"],
        input="from a pipe\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "from a pipe\n")


@pytest.mark.parametrize("prompt", ["", "  "])
def test_run_empty_prompt(command: Command, model: Path, prompt: str) -> None:
    result = echo(command, model, prompt)
    assert result.code == 2
    assert "empty" in result.err


def test_run_without_prompt_or_terminal(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    result = echo(command, model)
    assert result.code == 2
    assert "terminal" in result.err


def test_run_unknown_backend_lists_the_known(command: Command, model: Path) -> None:
    result = command("run", model, "x", "--backend", "ecko")
    assert result.code == 5
    assert "echo" in result.err


@pytest.mark.parametrize(
    "options",
    [("--temperature", "-1"), ("-c", "0"), ("-n", "x"), ("--cache-type", "q9"), ("--no",)],
)
def test_run_bad_options(command: Command, model: Path, options: tuple[str, ...]) -> None:
    result = command("run", model, "x", *options)
    assert result.code == 2
    assert "--help" in result.err


def wait_for_worker(process: subprocess.Popen[str]) -> int:
    """The pid of the program's worker."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        if children:
            return int(children[0])
        time.sleep(0.02)
    raise AssertionError("no worker")


SLOW = """
import gemmahub_echo.backend as b
b.EchoBackend.options = (b.Option("delay", "", float, 0.05),)
"""


@pytest.fixture
def slow_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.Popen[str]]:
    """``gemmahub run`` with an engine that takes its time, in a process of its own."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(*options: str) -> subprocess.Popen[str]:
        prompt = "word " * 2000
        command = [sys.executable, "-m", "gemmahub", "run", str(model), prompt, "--backend", "echo"]
        return subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_kill_9_of_the_worker_in_mid_answer(
    slow_run: Callable[..., subprocess.Popen[str]],
) -> None:
    with slow_run() as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == "word"
        os.kill(wait_for_worker(process), signal.SIGKILL)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "was killed (SIGKILL) in the middle of an answer" in err
    assert "hint:" in err
    assert "Traceback" not in err


def test_ctrl_c_stops_the_answer_and_shows_what_came(
    slow_run: Callable[..., subprocess.Popen[str]],
) -> None:
    with slow_run("-v") as process:
        assert process.stdout is not None
        process.stdout.read(4)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "ended by cancelled" in err
    assert "Traceback" not in err


def test_ctrl_c_says_at_once_that_it_waits_for_the_engine(
    slow_run: Callable[..., subprocess.Popen[str]],
) -> None:
    with slow_run() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(4)
        os.kill(wait_for_worker(process), signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        told = next(line for line in process.stderr if "stopping the engine" in line)
        assert "Ctrl-C again to quit" in told
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_not_a_failure(model: Path) -> None:
    program = f"{sys.executable} -m gemmahub run {model} 'a b c' --backend echo | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "a"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_conversation_on_a_terminal(model: Path) -> None:
    with OnTerminal("run", str(model), "--backend", "echo") as terminal:
        terminal.read_until(">>>")
        terminal.write(b"hello there\r")
        terminal.read_until("hello there\r\n")
        terminal.read_until(">>>")
        terminal.write(b"half a line")
        terminal.read_until("half a line")
        # An interrupt that comes just before Python waits for input is noticed with the next key.
        time.sleep(0.2)
        terminal.write(b"\x03")
        terminal.read_until("Ctrl-D")
        terminal.read_until(">>>")
        terminal.write(b"\x04")
        assert terminal.exit_code() == 0


# --- inspect -------------------------------------------------------------------------------------


def test_inspect_json_is_the_contract(command: Command, model: Path) -> None:
    found = json.loads(command("inspect", model, "--json").out)
    assert found["reference"] == str(model)
    assert found["format"] == "gguf"
    assert found["parameters"] == 32 * 8 + 32 * 64
    assert found["size_bytes"] == model.stat().st_size
    assert found["architecture"] == {
        "name": "gemma3", "layers": 1, "embedding_length": None,
        "context_length": 128, "sliding_window": None,
    }  # fmt: skip
    assert found["capabilities"] == ["text"]
    assert found["chat_template"] is False
    assert found["precision"]["bits_per_weight"] == round((512 + 64 * 18) * 8 / 2304, 2)
    assert found["precision"]["mismatch"] == (
        "labelled Q4_0, but the embedding (11% of the weights) is F16"
    )


def test_inspect_for_people(command: Command, model: Path) -> None:
    result = command("inspect", model)
    assert "Q4_0 · int4, F16 embedding · 5.78 bits/weight" in result.out
    assert re.search(r"embedding +F16 +1 +256 +11%", result.out)
    assert "\x1b" not in result.out


def test_inspect_catalogue_variant_that_is_not_here(command: Command) -> None:
    found = json.loads(command("inspect", "gemma-3-27b-it:q4_0-qat", "--json").out)
    assert found["installed"] is False
    assert found["precision"]["bits_per_weight"] == 5.10
    assert found["precision"]["training"] == "QAT"
    assert "embedding" in found["precision"]["mismatch"]
    assert found["parameters"] == 27_009_002_240


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("gemma-3-4b-itt", 3, "gemma-3-4b-it"),
        ("gemma-3-4b-it:q9", 3, "variants"),
        ("./missing.gguf", 3, "missing.gguf"),
        ("zzzzzz", 3, "list --all"),
        ("nobody/nothing", 6, "nor in the catalogue, and the hub was not contacted"),
        ("a b", 2, "reference"),
        ("", 2, "empty"),
        ("gemma3:4b", 3, "gemma-3-4b-it:q4_0-qat"),
        ("ollama://nothing:1b", 3, "Ollama"),
        ("ftp://a/b", 2, "unknown scheme"),
    ],
)
def test_what_is_not_there(command: Command, reference: str, code: int, words: str) -> None:
    result = command("inspect", reference, "--json")
    assert result.code == code
    error = json.loads(result.out)["error"]
    assert words in error["message"] + error["hint"]
    assert error["hint"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", 7), (b"GGUF", 7), (b"<html>not here</html>", 1), (b"GGUF\x09\0\0\0" + b"\0" * 16, 1)],
)
def test_files_that_are_not_models(
    command: Command, tmp_path: Path, content: bytes, code: int
) -> None:
    path = tmp_path / "bad\x1b[31m.gguf"
    path.write_bytes(content)
    result = command("inspect", path)
    assert result.code == code
    assert "hint:" in result.err
    assert "Traceback" not in result.err
    assert "\x1b" not in result.err


def test_truncated_data_is_an_integrity_error(command: Command, model: Path) -> None:
    os.truncate(model, model.stat().st_size - 100)
    for name in ("inspect", "run"):
        result = command(name, model, *(("x",) if name == "run" else ()))
        assert result.code == 7, name
        assert "hint:" in result.err


def test_a_name_that_is_also_a_file(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gemma").mkdir()
    monkeypatch.chdir(tmp_path)
    result = command("inspect", "gemma")
    assert result.code == 3
    assert "no model in the folder gemma" in result.err


def test_a_folder_without_a_model(command: Command, tmp_path: Path) -> None:
    assert command("inspect", tmp_path).code == 3


# --- list ----------------------------------------------------------------------------------------


def test_list_folder(command: Command, model: Path) -> None:
    (model.parent / "broken.gguf").write_bytes(b"GGUF")
    found = json.loads(command("list", "--folder", model.parent, "--json").out)
    rows = {row["reference"]: row for row in found["models"]}
    assert rows[str(model)]["precision"]["label"] == "Q4_0"
    assert [row["path"] for row in found["broken"]] == [str(model.parent / "broken.gguf")]
    assert found["broken"][0]["reason"]
    people = command("list", "--folder", model.parent)
    assert "Q4_0 int4" in people.out
    assert "broken.gguf" in people.err


def test_list_all_names_every_catalogue_variant(command: Command) -> None:
    from gemmahub.catalog.loader import load_catalog

    found = json.loads(command("list", "--all", "--json").out)["models"]
    references = {row["reference"] for row in found}
    assert {variant.reference for variant in load_catalog().variants} <= references
    assert all(row["precision"]["summary"] for row in found)


@pytest.fixture
def gemma(tmp_path: Path) -> Path:
    """A folder with a header-only file of Gemma 3 27B, and one of which memory is not known."""
    from gemmahub.catalog.header import write_catalog_header
    from gemmahub.catalog.loader import load_catalog

    catalog = load_catalog()
    model, variant = catalog.model("gemma-3-27b-it"), catalog.variant("gemma-3-27b-it", "q4_0-qat")
    assert model is not None
    assert variant is not None
    folder = tmp_path / "models"
    folder.mkdir()
    write_catalog_header(model, variant, folder / "large.gguf")
    sizes = ("context_length", "embedding_length", "block_count")
    keys: dict[str, Any] = {f"mamba.{name}": 8 for name in sizes}
    keys |= {
        "tokenizer.ggml.model": "no_vocab",
        "mamba.ssm.conv_kernel": 4,
        "mamba.attention.layer_norm_rms_epsilon": 1e-6,
    }
    tensors = [("token_embd.weight", (32, 8), "F32")]
    write_gguf(folder / "odd.gguf", {"general.architecture": "mamba"} | keys, tensors)
    return folder


@pytest.fixture
def machine_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Let the probe find so many GiB and no GPU; None: it cannot tell."""
    from gemmahub.hardware.simulate import simulate_machine

    def install(gib: int | None) -> None:
        machine = simulate_machine(ram=None if gib is None else gib << 30)
        monkeypatch.setattr(
            "gemmahub.hardware.probe.probe_machine", lambda *_args, **_options: machine
        )

    return install


def fits(command: Command, folder: Path, *options: str) -> dict[str, Any]:
    """The ``fit`` of each model by its file's name, or by its reference."""
    found = json.loads(command("list", "--folder", folder, "--json", *options).out)["models"]
    return {row["reference"].rpartition("/")[2]: row["fit"] for row in found}


def test_list_says_what_fits(
    command: Command, gemma: Path, machine_with: Callable[[int | None], None]
) -> None:
    machine_with(64)
    found = fits(command, gemma)
    assert found["large.gguf"] == {
        "fits": True, "largest_context": 131072, "short_bytes": None, "reason": "",
    }  # fmt: skip
    odd = found["odd.gguf"]
    assert (odd["fits"], odd["largest_context"], odd["short_bytes"]) == (None, None, None)
    assert "unknown" in odd["reason"]
    people = command("list", "--folder", gemma)
    assert re.search(r"large\.gguf .*fits · 131,072", people.out)
    assert re.search(r"odd\.gguf .* \?  ", people.out)
    assert "the cache size of a mamba model is unknown" in people.err
    assert "\x1b" not in people.out


def test_list_says_what_is_missing(
    command: Command, gemma: Path, machine_with: Callable[[int | None], None]
) -> None:
    machine_with(14)
    short = fits(command, gemma)["large.gguf"]
    assert short["fits"] is False
    assert short["short_bytes"] > 1 << 30
    assert re.search(
        r"large\.gguf .*too big · \d\.\d\d GiB short", command("list", "--folder", gemma).out
    )


def test_list_where_free_memory_is_not_known(
    command: Command, gemma: Path, machine_with: Callable[[int | None], None]
) -> None:
    machine_with(None)
    assert {fit["fits"] for fit in fits(command, gemma, "--all").values()} == {None}
    err = command("list", "--folder", gemma).err
    assert "the free memory of this machine is unknown" in err


def test_a_remembered_file_is_not_opened_for_its_fit(
    command: Command, gemma: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fits(command, gemma)
    monkeypatch.setattr("gemmahub.formats.detect.open_model", None)
    assert fits(command, gemma).keys() == first.keys()


def test_fit_of_what_the_catalogue_has(
    command: Command, gemma: Path, machine_with: Callable[[int | None], None]
) -> None:
    machine_with(64)
    found = fits(command, gemma, "--all")
    assert found["gemma-3-270m:q4_k_m"]["largest_context"] == 32768


def test_list_survives_a_missing_folder(command: Command, tmp_path: Path) -> None:
    result = command("list", "--folder", tmp_path / "nowhere")
    assert result.code == 0
    assert "no such folder" in result.err


# --- the rest ------------------------------------------------------------------------------------


def test_version(command: Command) -> None:
    assert command("--version").out == f"gemmahub {__version__}\n"


@pytest.mark.parametrize("arguments", [("--help",), ()])
def test_help_names_the_commands(command: Command, arguments: tuple[str, ...]) -> None:
    result = command(*arguments)
    assert result.code == 0
    for name in ("list | ls", "inspect | show", "run", "plugins", "doctor"):
        assert name in result.out


def test_unknown_command_names_the_nearest(command: Command) -> None:
    result = command("inspct")
    assert result.code == 2
    assert "inspect" in result.err


def test_plugins(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    rows = {row["name"]: row for row in json.loads(command("plugins", "--json").out)["plugins"]}
    assert rows["echo"]["state"] == "ok"
    assert "backend echo (gguf, safetensors, mlx)" in rows["echo"]["offers"]
    assert rows["llamacpp"]["state"] == "left out"


def test_doctor(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    result = command("doctor")
    assert result.code == 0
    assert "backend llama.cpp" in result.out
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    result = command("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
    assert result.code == 1
    assert checks["backends"]["status"] == "failed"


def test_broken_settings_file(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[stores]\nfolder = []\n")
    result = command("list")
    assert result.code == 2
    assert "stores.folders" in result.err
    config.write_text("= what")
    assert command("list").code == 2
    config.write_text('[stores]\nfolders = "x"\n')
    assert "a list of texts" in command("list").err


def test_json_failure_of_click(command: Command) -> None:
    result = command("list", "--json", "--wrong")
    assert result.code == 2
    assert json.loads(result.out)["error"]["kind"] == "usage"


def test_debug_shows_the_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_DEBUG", "1")
    assert "Traceback" in command("inspect", "./missing.gguf").err


def test_hardware(command: Command) -> None:
    machine = json.loads(command("hardware", "--json").out)
    assert machine["memory"]["total"]["value"] > 0
    assert machine["memory"]["total"]["source"]
    assert machine["cpu"]["logical"]["value"] >= 1
    people = command("hardware")
    assert people.code == 0
    assert "GiB (" in people.out
