"""What the catalogue says of a variant is shown where it is: its grade, its inside, its gaps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.testing.folder_writer import write_model_folder
from gemmahub.testing.hub.models import small_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

FOLDER: Final = "mlx-community/gemma-4-12B-it-qat-4bit"
NAME: Final = "gemma-4-12b-it:4bit-qat-mlx"


def words(command: Command, *arguments: str) -> str:
    return " ".join(command(*arguments).out.split())


def test_inspect_says_what_is_inside_what_is_not_known_and_how_sure_it_is(command: Command) -> None:
    shown = words(command, "inspect", "gemma-4-12b-it:ud-q5_k_xl")
    assert "inside: a dynamic mix of unsloth's: a table of its own, not published" in shown
    assert "unknown: which types its tensors have; gemmahub inspect" in shown
    assert "--remote reads its header" in shown
    assert "unconfirmed: only one public source" in shown
    named = words(command, "inspect", "gemma-3-12b-it:q4_0-qat-dampfinchen")
    assert "unknown: its size, its sha256, which types its tensors have" in named


def test_what_is_known_by_several_sources_and_by_its_types_has_no_such_note(
    command: Command,
) -> None:
    shown = words(command, "inspect", "gemma-4-26b-a4b-it:q4_0")
    for said in ("inside:", "unknown: which", "unknown: its", "unconfirmed"):
        assert said not in shown
    derived = words(command, "inspect", "gemma-3-12b-it:q4_0-qat-bartowski")
    assert "Q4_0 · int4 QAT · 4.69 bits/weight" in derived
    assert "its types were derived from its label, not read: Q4_0 with an importance" in derived
    assert "unknown: its size; gemmahub inspect" in derived


def test_list_says_which_are_unconfirmed(command: Command) -> None:
    rows = {
        line.split()[0]: " ".join(line.split())
        for line in command("list", "--all").out.splitlines()[1:]
    }
    assert rows["gemma-4-12b-it:bf16"].endswith("not installed, unconfirmed")
    assert rows["gemma-4-12b-it:q4_0"].endswith("not installed")
    found = json.loads(command("list", "--all", "--json").out)["models"]
    confirmed = {each["reference"]: each["confirmed"] for each in found}
    assert confirmed["gemma-4-12b-it:q4_0"]
    assert not confirmed["gemma-4-12b-it:bf16"]


def test_search_says_which_are_unconfirmed_and_what_is_missing(
    command: Command, hub_server: HubServer
) -> None:
    folder = {"model.safetensors": b"x", "config.json": b'{"quantization": {"bits": 4}}'}
    hub_server.add("mlx-community/gemma-4-E4B-it-qat-8bit", folder)
    assert ", unconfirmed" in command("search", "gemma-4-E4B").out
    (repository,) = json.loads(command("search", "gemma-4-E4B", "--json").out)["repositories"]
    (row,) = repository["files"]
    assert row["catalogued"] == "gemma-4-e4b-it:8bit-qat-mlx"
    assert not row["confirmed"]
    assert row["missing"] == ["its size", "which types its tensors have"]


def test_a_folder_says_before_it_is_here_that_its_mlp_has_8_bits(command: Command) -> None:
    shown = words(command, "inspect", NAME)
    assert "4 bits in groups of 64, but all of its MLP in 8" in shown
    assert f"download hf.co/{FOLDER}, 11.0 GB" in shown
    assert "mlx-vlm does" in shown


@pytest.fixture
def pulled(command: Command, hub_server: HubServer, tmp_path: Path) -> None:
    """The folder, pulled by its name in the catalogue."""
    folder = write_model_folder(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub_server.add(FOLDER, files, tags=("mlx",))
    result = command("pull", NAME, "--yes")
    assert result.code == 0, result.err
    assert "the commit that the catalogue knows (e70c6b3ba097) is gone" in result.err


def test_the_header_of_a_folder_is_read_where_it_lies(
    command: Command, hub_server: HubServer, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub_server.add(FOLDER, files, tags=("mlx",))
    found = json.loads(command("inspect", NAME, "--remote", "--json").out)
    assert found["precision"]["bits_per_weight"] == 32
    assert found["format"] == "mlx"


@pytest.mark.usefixtures("pulled")
def test_a_folder_is_pulled_and_found_by_its_name(command: Command) -> None:
    (model,) = json.loads(command("list", "--json").out)["models"]
    assert model["reference"] == NAME
    assert model["precision"]["training"] == "QAT"
    assert model["precision"]["bits_per_weight"] == 32
    shown = words(command, "inspect", FOLDER)
    assert f"({NAME})" in shown
    assert "unconfirmed" not in shown


def test_a_name_without_a_variant_means_one_whose_memory_is_known(command: Command) -> None:
    found = json.loads(command("inspect", "gemma-3-270m", "--json").out)
    assert found["reference"] == "gemma-3-270m:q4_k_m"


def test_a_file_in_the_repository_of_a_folder_is_another_model(
    command: Command, hub_server: HubServer
) -> None:
    hub_server.add(FOLDER, {"x-Q8_0.gguf": small_model()})
    (repository,) = json.loads(command("search", FOLDER, "--json").out)["repositories"]
    assert [each["catalogued"] for each in repository["files"]] == [""]
