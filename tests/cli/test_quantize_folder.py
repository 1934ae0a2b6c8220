"""``gemmahub quantize`` of a folder: MLX packs it, and what stands in the folders is never half of
one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.folder_writer import write_model_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

pytest.importorskip("mlx_lm")
WAIT = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the settings with a model folder in bfloat16."""
    found = tmp_path / "models"
    found.mkdir()
    write_model_folder(found / "tiny", "bfloat16")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(found))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def listed(command: Command, folder: Path) -> set[str]:
    """What ``gemmahub list`` shows of a folder, also of what it could not read."""
    found = json.loads(command("list", "--json").out)
    every = {e["path"] for e in found["broken"]} | {m["reference"] for m in found["models"]}
    return {name for name in every if str(folder) in name}


def test_the_plan_is_what_is_made(command: Command, folder: Path) -> None:
    """Size to the byte, bits per weight and metadata; the new folder is listed at once, read
    back, and says of what it was made."""
    given = ("quantize", folder / "tiny", "--to", "4-bit", "--embedding", "6bit",
             "--keep", "mlp.down_proj=8bit-g32")  # fmt: skip
    planned = json.loads(command(*given, "--dry-run", "--json").out)
    assert names(folder) == ["tiny"]
    done = command(*given, "--json")
    assert done.code == 0, done.err
    made, path = json.loads(done.out), folder / "tiny-4bit"
    assert made["path"] == planned["path"] == str(path)
    size = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    assert made["size_bytes"] == planned["size_bytes"] == size
    assert made["precision"]["label"] == "4bit"
    assert made["listed"] is True
    said = json.loads((path / "config.json").read_text())
    assert {key: said[key] for key in made["metadata"]} == made["metadata"]
    assert said["quantize.gemmahub.source"] == "tiny"
    assert said["quantize.gemmahub.source_label"] == "BF16"
    assert said["quantize.gemmahub.recipe"] == "4bit, embedding=6bit, mlp.down_proj=8bit-g32"
    assert said["quantize.gemmahub.by"].startswith("mlx ")
    assert str(folder) not in json.dumps(said)
    assert said["quantization"]["model.embed_tokens"]["bits"] == 6
    assert listed(command, folder) == {str(folder / "tiny"), str(path)}
    inspected = json.loads(command("inspect", path, "--json").out)["precision"]
    assert inspected["bits_per_weight"] == planned["precision"]["bits_per_weight"]
    assert inspected["training"] == "PTQ"
    assert "tiny" in inspected["training_basis"]
    assert names(folder) == ["tiny", "tiny-4bit"]


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--to", "7bit"), 2, "'7bit' is not a type for folders"),
        (("--to", "BF16"), 2, "BF16 would change nothing"),
        (("--to", "Q4_0"), 5, "Q4_0 is a GGUF type"),
        (("--to", "4bit", "--keep", "wings=8bit"), 2, "the model has no 'wings'"),
        (("--to", "4bit", "--keep", "attention=Q8_0"), 2, "'Q8_0' is not a type for folders"),
        (("--to", "4bit", "--keep", "attention=F16"), 2, "is BF16 and cannot become F16"),
        (("--embedding", "BF16"), 2, "no tensor would change"),
        (("--to", "4bit", "--compare"), 2, "--compare is for GGUF files"),
        (("--to", "4bit", "--imatrix", "make"), 2, "--imatrix is for GGUF files"),
        (("--to", "4bit", "-o", "{folder}/tiny"), 2, "is the folder that is quantized"),
        (("--to", "4bit", "-o", "{folder}/tiny/in/it"), 2, "is the folder that is quantized"),
        (("--to", "4bit", "-o", "{folder}/x.gguf"), 2, "would be a folder"),
        (("--to", "4bit", "--backend", "llama.cpp"), 5, "llama.cpp"),
    ],
)
def test_what_cannot_be_made(
    command: Command, folder: Path, given: tuple[str, ...], code: int, said: str
) -> None:
    """One clear error, and nothing is written."""
    filled = [part.format(folder=folder) for part in given]
    done = command("quantize", folder / "tiny", *filled)
    assert (done.code, said in done.err) == (code, True), done.err
    assert names(folder) == ["tiny"]


def test_a_folder_that_exists(command: Command, folder: Path) -> None:
    """Is replaced with --force where it is a model, and never otherwise; named by -o or not."""
    target = folder / "made"
    assert command("quantize", folder / "tiny", "--to", "8bit", "-o", target).code == 0
    before = (target / "config.json").read_bytes()
    done = command("quantize", folder / "tiny", "--to", "4bit", "-o", target)
    assert (done.code, "exists" in done.err) == (2, True), done.err
    assert (target / "config.json").read_bytes() == before
    again = command("quantize", folder / "tiny", "--to", "4bit", "-o", target, "--force")
    assert again.code == 0, again.err
    assert json.loads((target / "config.json").read_text())["quantization"]["bits"] == 4
    (folder / "tiny-4bit").mkdir()
    (folder / "tiny-4bit" / "letters.txt").write_text("precious")
    refused = command("quantize", folder / "tiny", "--to", "4bit", "--force")
    assert (refused.code, "exists" in refused.err) == (2, True)
    assert (folder / "tiny-4bit" / "letters.txt").read_text() == "precious"


def test_packed_weights_are_refused_in_words(command: Command, folder: Path) -> None:
    assert command("quantize", folder / "tiny", "--to", "8bit").code == 0
    done = command("quantize", folder / "tiny-8bit", "--to", "4bit")
    assert (done.code, "packed already" in done.err) == (5, True), done.err
    assert names(folder) == ["tiny", "tiny-8bit"]


def test_what_a_kill_left_is_not_a_model(command: Command, folder: Path) -> None:
    """Even where all of it was written but its name; the next folder of that name removes it."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(WAIT)
    left = folder / f".tiny-4bit.{process.pid}.part"
    shutil.copytree(folder / "tiny", left)
    assert listed(command, folder) == {str(folder / "tiny")}
    assert command("quantize", folder / "tiny", "--to", "4bit").code == 0
    assert names(folder) == ["tiny", "tiny-4bit"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_kill_in_the_middle(
    command: Command, folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The program waits in its progress, with a part of the folder written."""
    (tmp_path / "slow.py").write_text(
        "import sys, time, pathlib\n"
        "from gemmahub.cli import quantize\n"
        "def wait(fraction):\n"
        "    if fraction > 0.3:\n"
        f"        pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "        time.sleep(60)\n"
        "quantize._writing = wait\n"
        "from gemmahub.cli.main import run\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    arguments = [sys.executable, str(tmp_path / "slow.py"), "quantize", str(folder / "tiny"),
                 "--to", "4bit"]  # fmt: skip
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + WAIT
    while not (tmp_path / "ready").exists():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < until, "it did not begin to write"
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.wait(WAIT)
    assert not (folder / "tiny-4bit").exists()
    assert listed(command, folder) == {str(folder / "tiny")}
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert names(folder) == ["tiny"]
    assert command("quantize", folder / "tiny", "--to", "4bit").code == 0
    assert names(folder) == ["tiny", "tiny-4bit"]


def test_a_disk_that_is_full_in_the_middle(folder: Path) -> None:
    """A limit in the middle of the file, as a quota is one: one error, and nothing is left."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "from gemmahub.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "quantize", str(folder / "tiny"), "--to", "8bit"],
        capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "cannot be written" in done.stderr
    assert names(folder) == ["tiny"]


def test_what_the_engine_does_not_load_is_reported_and_left_out(
    command: Command, folder: Path
) -> None:
    """A model that sees: its text model is written, without the part for images."""
    source = folder / "tiny"
    config = json.loads((source / "config.json").read_text())
    whole = {"model_type": "gemma3", "text_config": config, "vision_config": {"hidden_size": 8},
             "torch_dtype": "bfloat16", "vocab_size": config["vocab_size"]}  # fmt: skip
    (source / "config.json").write_text(json.dumps(whole))
    raw = (source / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    old = json.loads(raw[8 : 8 + length])
    weights = raw[8 + length :]
    header = {f"language_model.{k}" if k[0] != "_" else k: v for k, v in old.items()}
    span = [len(weights), len(weights) + 64]
    header["vision_tower.a.weight"] = {"dtype": "BF16", "shape": [4, 8], "data_offsets": span}
    made = json.dumps(header).encode()
    (source / "model.safetensors").write_bytes(
        len(made).to_bytes(8, "little") + made + weights + bytes(64)
    )
    done = command("quantize", source, "--to", "4bit", "--embedding", "8bit")
    assert done.code == 0, done.err
    assert "32 weights that the engine does not load, such as those for images" in done.err
    made_config = json.loads((folder / "tiny-4bit" / "config.json").read_text())
    assert "vision_config" not in made_config
    assert made_config["quantization"]["language_model.model.embed_tokens"]["bits"] == 8
    assert command("run", folder / "tiny-4bit", "abc", "--max-tokens", "2").code == 0
