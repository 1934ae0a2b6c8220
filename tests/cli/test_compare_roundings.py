"""``gemmahub quantize --compare``: both roundings are measured against the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gemmahub.cli.quantize import compared_text
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.measurements.records import Divergence, Estimate, MeasuredModel
from gemmahub.service.compare_roundings import ComparedRoundings
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest bfloat16, as float32."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def put_on_lattice(path: Path) -> None:
    """Each block of the layers' matrices: up to 7 times a bfloat16 scale, the largest not 8."""
    draw = np.random.default_rng(3)
    with LocalFile(path) as source:
        header = read_gguf(source)
    with path.open("r+b") as file:
        for tensor, offset in zip(header.tensors, header.offsets, strict=True):
            if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
                blocks = tensor.parameters // 32
                multiples = draw.integers(-5, 6, (blocks, 32)).astype(np.float32)
                scales = bfloat16(draw.uniform(0.02, 0.06, (blocks, 1)).astype(np.float32))
                file.seek(header.data_offset + offset)
                file.write(bfloat16(scales * multiples).tobytes())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the settings with a model whose weights lie on a lattice; its name says nothing
    of a training."""
    found = tmp_path / "models"
    found.mkdir()
    write_model(found / "tiny.gguf")
    put_on_lattice(found / "tiny.gguf")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(found))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    return found


def test_the_lattice_is_nearer_and_kept(command: Command, folder: Path) -> None:
    keep = ("--keep", "embedding=F32", "--keep", "output=F32")
    given = ("quantize", folder / "tiny.gguf", "--to", "Q4_0", *keep)
    done = command(*given, "--compare", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    compared = found["compared"]
    assert compared["kept"] == "lattice"
    assert (compared["text"], compared["windows"]) == ("prose", 8)
    assert 0 <= compared["lattice"]["divergence"] < compared["naive"]["divergence"] / 10
    assert compared["naive"]["error"] > 0
    assert found["rounding"]["blocks_on_lattice"] > 0.99
    made = folder / "tiny-Q4_0.gguf"
    assert sorted(path.name for path in folder.iterdir()) == [made.name, "tiny.gguf"]
    with LocalFile(made) as source:
        recipe = read_gguf(source).metadata["quantize.gemmahub.recipe"]
    assert recipe == "Q4_0, embedding=F32, output=F32, lattice"
    listing = json.loads(command("list", "--json").out)["models"]
    names = {each["reference"] for each in listing}
    assert {name for name in names if "tiny" in name} == {str(made), str(folder / "tiny.gguf")}


def test_both_divergences_are_said_with_their_errors() -> None:
    def divergence(mean: float) -> Divergence:
        number = Estimate(value=mean, error=0.002)
        model = MeasuredModel(reference="a", name="a", precision="F32", content="")
        return Divergence(
            reference=model,
            mean=number,
            median=0.1,
            percentile_99=0.2,
            same_top=Estimate(value=0.875),
            rms_change=number,
        )

    made: Any = None
    found = ComparedRoundings(made, divergence(0.25), divergence(0.125), "prose", 8, False)
    assert compared_text(found) == (
        "divergence from the model, 8 windows of prose: 0.250000 ± 0.002000 (same top token "
        "87.50%) with the searched scales, 0.125000 ± 0.002000 (same top token 87.50%) with "
        "llama.cpp's scales; kept: the file with llama.cpp's scales"
    )
    assert found.as_json()["kept"] == "naive"


def test_a_target_that_exists_is_seen_before_anything_is_made(
    command: Command, folder: Path
) -> None:
    (folder / "tiny-Q4_0.gguf").write_text("precious")
    done = command("quantize", folder / "tiny.gguf", "--to", "Q4_0", "--compare")
    assert (done.code, "exists" in done.err) == (2, True)
    assert (folder / "tiny-Q4_0.gguf").read_text() == "precious"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--to", "Q8_0"), "for Q4_0 only"),
        (("--to", "Q4_0", "--no-lattice"), "--compare and --no-lattice"),
    ],
)
def test_where_there_are_no_two_roundings(
    command: Command, folder: Path, given: tuple[str, ...], said: str
) -> None:
    done = command("quantize", folder / "tiny.gguf", "--compare", *given)
    assert (done.code, said in done.err) == (2, True), done.err
    assert [path.name for path in folder.iterdir()] == ["tiny.gguf"]


def test_weights_that_are_quantized_already(command: Command, folder: Path) -> None:
    assert command("quantize", folder / "tiny.gguf", "--to", "Q8_0").code == 0
    done = command("quantize", folder / "tiny-Q8_0.gguf", "--to", "Q4_0", "--compare")
    assert (done.code, "is quantized already" in done.err) == (2, True), done.err
    assert len(list(folder.iterdir())) == 2
