"""Results that go from one machine to another, and stand beside each other."""

from __future__ import annotations

import errno
import getpass
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from gemmahub.measurements.records import (
    Conditions,
    DepthSpeed,
    MeasuredModel,
    SpeedResult,
    Spread,
)
from gemmahub.measurements.results import Results, as_file, from_file
from gemmahub.service.benching.against import against
from gemmahub.testing.model_writer import write_model

Command = Any
MODEL = MeasuredModel(reference="a.gguf", name="A", precision="Q4_0", content="a" * 64)
CONDITIONS = Conditions(machine="m", system="Linux", engine="e", build="1", at=1.0)


def result(
    low: float, middle: float, high: float, depth: int = 512, runs: int = 5, **model: Any
) -> SpeedResult:
    spread = Spread(median=middle, low=low, high=high, runs=runs)
    return SpeedResult(
        model=changed(MODEL, **model),
        conditions=CONDITIONS,
        depths=(DepthSpeed(depth=depth, decode=spread),),
    )


def write(folder: Path, *results: SpeedResult) -> Path:
    path = folder / "desk.json"
    path.write_text(as_file(results))
    return path


def test_imported_results_are_another_machines_until_they_are_forgotten(
    command: Command, tmp_path: Path
) -> None:
    file = write(tmp_path, result(9, 10, 11))
    assert command("bench", "import", file).code == 0
    assert command("bench", "import", file, "--as", "a friend's").code == 0
    shown = command("bench").out
    assert "another: desk" in shown
    assert "another: a friend's" in shown
    assert "this one" not in shown
    assert command("bench", "forget", "desk").code == 0
    assert [kept.origin for kept in Results(tmp_path / "data").kept] == ["a friend's"]
    missing = command("bench", "forget", "desk")
    assert missing.code == 3
    assert "imported: a friend's" in missing.err


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [("{}", "x", 1), ("not JSON", "x", 1), (as_file([result(1, 2, 3)]), " ", 2)],
)
def test_what_is_not_a_file_of_results_is_not_imported(
    command: Command, tmp_path: Path, content: str, name: str, code: int
) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    assert command("bench", "import", file, "--as", name).code == code
    assert Results(tmp_path / "data").kept == ()


def test_results_of_this_machine_are_exported_without_a_word_of_whose_they_are(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    model = tmp_path / "secret-folder" / "tiny-F32.gguf"
    model.parent.mkdir()
    write_model(model)
    quick = ("--depth", 0, "--repeat", 1)
    assert command("bench", model, *quick).code == 0
    assert command("bench", "import", write(tmp_path, result(9, 10, 11))).code == 0
    file = tmp_path / "out.json"
    assert command("bench", "--export", file).code == 0
    (shared,) = from_file(file)
    assert shared.model.reference == "tiny-F32.gguf"
    text = file.read_text()
    names = [str(tmp_path), "secret-folder", "hf_secret", str(Path.home()), socket.gethostname()]
    user = getpass.getuser()
    told = {each for each in _texts(json.loads(text)) for name in names if name and name in each}
    assert not told
    assert user not in _texts(json.loads(text))
    assert command("bench", model, *quick, "--export", tmp_path / "none" / "x.json").code == 1
    assert list(tmp_path.glob(".*")) == []


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def test_a_full_disk_leaves_the_file_that_was_there(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Results(tmp_path / "data").add([result(1, 2, 3)])
    file = tmp_path / "out" / "shared.json"
    file.parent.mkdir()
    file.write_text("the old one")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gemmahub.service.benching.kept.as_file", full)
    found = command("bench", "--export", file)
    assert found.code == 1
    assert "No space left on device" in found.err
    assert [path.name for path in file.parent.iterdir()] == ["shared.json"]
    assert file.read_text() == "the old one"
    assert command("bench", "--export", file.parent).code != 0


def test_nothing_to_export_is_reported(command: Command, tmp_path: Path) -> None:
    assert command("bench", "--export", tmp_path / "x.json").code == 3
    assert not (tmp_path / "x.json").exists()


def test_a_difference_is_distinguished_from_the_spread() -> None:
    (ratio,) = against(result(20, 21, 22), [result(9, 10, 11)]).ratios
    assert (ratio.times, ratio.verdict) == (2.1, "larger than the spread")
    (ratio,) = against(result(9, 12, 22), [result(9, 10, 11)]).ratios
    assert ratio.verdict == "within the spread"
    (ratio,) = against(result(21, 21, 21, runs=1), [result(9, 10, 11)]).ratios
    assert "no spread is known" in ratio.verdict


def test_the_other_is_found_by_content_then_by_name() -> None:
    same = result(1, 2, 3, reference="other.gguf")
    named = result(4, 5, 6, content="b" * 64)
    assert against(result(7, 8, 9), [named, same]).other is same
    found = against(result(7, 8, 9, content="c" * 64), [named, changed(same, model=named.model)])
    assert found.other is named
    assert "they are different files" in found.notes


def test_a_run_is_shown_beside_another_one(command: Command, tmp_path: Path) -> None:
    model = tmp_path / "tiny-F32.gguf"
    write_model(model)
    quick = (model, "--depth", 0, "--repeat", 2)
    other = write(tmp_path, result(1e-6, 2e-6, 3e-6, depth=0))
    found = command("bench", *quick, "--against", other)
    assert found.code == 0, found
    assert "larger than the spread" in found.out
    assert "they are different files" in found.err
    deeper = write(tmp_path, result(1, 2, 3, depth=99))
    assert "no depth in common" in command("bench", *quick, "--against", deeper).err
    nothing = tmp_path / "nothing.json"
    nothing.write_text(as_file([]))
    assert command("bench", *quick, "--against", nothing).code == 3
    assert command("bench", *quick, "--against", other, "--json").code == 2
