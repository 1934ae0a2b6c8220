"""Members of the family that are for one purpose are known by architecture, else by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import catalog_from, load_catalog
from gemmahub.catalog.members import member_of
from gemmahub.catalog.table import CatalogError
from gemmahub.testing.hub.models import small_model
from tests.catalog.test_catalog_loader import MINIMAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

MEMBERS = load_catalog().members
MEMBER = """
[[members]]
name = "x"
title = "X"
what = "does x"
runs = "x"
names = ["x"]
grade = "B"
source = "a source"
"""


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("google/embeddinggemma-2", "embeddinggemma2"),
        ("unsloth/embeddinggemma-300m-GGUF", "embeddinggemma"),
        ("google/functiongemma-270m-it", "functiongemma"),
        ("unsloth/medgemma-1.5-4b-it-GGUF", "medgemma"),
        ("ollama://medgemma1.5:4b", "medgemma"),
        ("ollama://translategemma:12b", "translategemma"),
        ("mlx-community/translategemma-4b-it-4bit", "translategemma"),
        ("google/t5gemma-2-1b-1b", "t5gemma2"),
        ("google/shieldgemma-2-4b-it", "shieldgemma"),
        ("google/paligemma2-10b-pt-896", "paligemma"),
        ("google/vaultgemma-1b", "vaultgemma"),
        ("mlx-community/diffusiongemma-26B-A4B-it-4bit", "diffusiongemma"),
        ("google/gemma-3-4b-it", None),
        ("someone/notmedgemma", None),
        ("google/gemma-4-26B-A4B-it-assistant", "gemma4-assistant"),
        ("google/gemma-4-12B-it-qat-q4_0-unquantized-assistant", "gemma4-assistant"),
        ("someone/gemma-4-12B-it", None),
        ("google/t5gemma-2b-2b-ul2", "t5gemma"),
        ("google/t5gemma-s-s-prefixlm-it", "t5gemma"),
        ("google/t5gemma-9b-2b-prefixlm", "t5gemma"),
        ("someone/medgemma4b", "medgemma"),
    ],
)
def test_names_of_repositories_and_tags(name: str, member: str | None) -> None:
    found = member_of(MEMBERS, [name])
    assert (found and found.name) == member


@pytest.mark.parametrize(
    ("architecture", "member"),
    [
        ("gemma-embedding", "embeddinggemma"),
        ("gemma-embedding2", "embeddinggemma2"),
        ("gemma4-assistant", "gemma4-assistant"),
        ("gemma4_assistant", "gemma4-assistant"),
        ("diffusion_gemma", "diffusiongemma"),
        ("t5gemma2", "t5gemma2"),
        ("t5gemma", "t5gemma"),
        ("gemma3", None),
    ],
)
def test_the_architecture_goes_before_the_name(architecture: str, member: str | None) -> None:
    found = member_of(MEMBERS, ["mine.gguf"], architecture)
    assert (found and found.name) == member
    other = member_of(MEMBERS, ["medgemma.gguf"], architecture)
    assert other is not None
    assert other.name == (member or "medgemma")


def test_only_what_several_sources_say_is_reported() -> None:
    assert {member.grade for member in MEMBERS} <= {"A", "B"}


def test_the_licence_is_the_familys_unless_it_has_its_own() -> None:
    (member,) = catalog_from({"x.toml": MINIMAL + MEMBER}).members
    assert (member.licence, member.gated) == ("Gemma Terms of Use", False)
    own = MEMBER + 'licence = "Own"\nlicence_url = "https://example.org"\n'
    (member,) = catalog_from({"x.toml": MINIMAL + own}).members
    assert member.licence == "Own"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MEMBER.replace("what", "waht"), "members x: unknown key waht"),
        (MEMBER.replace('["x"]', '["(x"]'), "names"),
        (MEMBER * 2, "the member x occurs twice"),
    ],
)
def test_a_mistake_in_the_table_is_named(text: str, complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint):
        catalog_from({"x.toml": MINIMAL + text})


def test_list_and_inspect_say_what_it_is(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "medgemma-1.5-4b-it-Q4_K_M.gguf"
    path.write_bytes(small_model())
    listed = command("list", "--folder", tmp_path)
    assert "MedGemma: a Gemma 3 for texts and images of medicine" in listed.err
    found = json.loads(command("inspect", path, "--json").out)
    assert found["member"]["title"] == "MedGemma"
    assert found["licence"].startswith("Health AI Developer Foundations Terms of Use")
    shown = command("inspect", path).out
    assert "what runs Gemma 3" in shown


def test_search_says_it_of_repositories(command: Command, hub_server: HubServer) -> None:
    hub_server.add("someone/functiongemma-270m-it-GGUF", {"f-Q8_0.gguf": small_model()})
    hub_server.add("someone/gemma-other-GGUF", {"g-Q8_0.gguf": small_model()})
    shown = command("search", "functiongemma")
    assert "FunctionGemma: a Gemma 3 270M that calls functions" in shown.out
    (row,) = json.loads(command("search", "functiongemma", "--json").out)["repositories"]
    assert row["member"]["name"] == "functiongemma"
    (row,) = json.loads(command("search", "gemma-other", "--json").out)["repositories"]
    assert row["member"] is None


def test_an_encoder_with_its_decoder_says_what_runs_it(
    command: Command, hub_server: HubServer
) -> None:
    hub_server.add("google/t5gemma-2b-2b-ul2-it", {"t-Q8_0.gguf": small_model()})
    (row,) = json.loads(command("search", "t5gemma", "--json").out)["repositories"]
    assert row["member"]["name"] == "t5gemma"
    assert row["member"]["licence"].startswith("Gemma Terms of Use")
    assert row["member"]["gated"]
    assert "transformers" in row["member"]["runs"]
    assert "an encoder and a decoder of Gemma 2" in command("search", "t5gemma").out
