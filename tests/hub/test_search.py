"""Search: what lies in repositories, and where each label comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import NetworkError
from gemmahub.hub.records import HubFile, HubModel, Repository
from gemmahub.hub.search import catalogue_entry
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import mlx_folder, projector, served, small_model
from tests.hub.ways import read

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.hub.source import Hub
    from gemmahub.testing.hub.server import HubServer

MODEL = small_model()


@pytest.fixture
def shop(server: HubServer, hub: Hub, tmp_path: Path) -> HubServer:
    """A hub with repositories of everybody, of Google, and of the catalogue."""
    known = hub.catalog.variant("gemma-3-4b-it", "q8_0")
    assert known is not None
    assert known.sha256
    server.add(
        "popular/gemma-3-4b-it-GGUF",
        {"g-Q4_0.gguf": MODEL, "g-UD-Q4_K_XL.gguf": MODEL, "mmproj-F16.gguf": projector()},
        downloads=90_000, card={"license": "gemma"},
    )  # fmt: skip
    server.add(
        "some/gemma-3-4b-it-GGUF",
        {f"g-Q8_0-{n:05}-of-00002.gguf": MODEL for n in (1, 2)},
        downloads=10,
    )
    server.add("google/gemma-3-4b-it", {"README.md": b"x"}, downloads=500, gated="manual")
    server.add(
        known.repository,
        {known.file: Served.of(known.file, MODEL, known.sha256), "other-Q4_K_M.gguf": MODEL},
        downloads=3,
    )
    folder = tmp_path / "mlx"
    folder.mkdir()
    server.add(
        "mlx-community/gemma-3-4b-it-qat-4bit", served(mlx_folder(folder)), library="mlx",
        downloads=100,
    )  # fmt: skip
    server.add("user/llama-3", {"l-Q4_0.gguf": MODEL}, downloads=10**6)
    return server


def test_the_catalogue_first_then_google_then_the_rest(shop: HubServer, hub: Hub) -> None:
    found = hub.search("gemma-3-4b-it")
    here = [r.name for r in found if r.name in shop.repos]
    known = hub.catalog.variant("gemma-3-4b-it", "q8_0")
    assert known is not None
    assert here == [
        "mlx-community/gemma-3-4b-it-qat-4bit", known.repository,
        "google/gemma-3-4b-it", "popular/gemma-3-4b-it-GGUF", "some/gemma-3-4b-it-GGUF",
    ]  # fmt: skip
    assert [r.catalogued for r in found if r.name in shop.repos] == [True] * 2 + [False] * 3
    assert [r.official for r in found if r.name in shop.repos][:3] == [False, False, True]


def test_what_is_in_them(shop: HubServer, hub: Hub) -> None:
    found = {r.name: r for r in hub.search("gemma-3-4b-it")}
    popular = found["popular/gemma-3-4b-it-GGUF"]
    assert [(f.label, f.basis, f.size_bytes, f.qat) for f in popular.files] == [
        ("Q4_0", "by name", len(MODEL), False),
        ("UD-Q4_K_XL", "by name", len(MODEL), False),
    ]
    assert (popular.projector, popular.downloads, popular.licence) == (True, 90_000, "gemma")
    assert popular.files[0].reference == "hf://popular/gemma-3-4b-it-GGUF/g-Q4_0.gguf"
    (parts,) = found["some/gemma-3-4b-it-GGUF"].files
    assert (parts.label, parts.size_bytes) == ("Q8_0", 2 * len(MODEL))
    (mlx,) = found["mlx-community/gemma-3-4b-it-qat-4bit"].files
    assert (mlx.format, mlx.label, mlx.qat) == ("mlx", "4bit", True)
    assert found["google/gemma-3-4b-it"].gated == "manual"
    assert found["google/gemma-3-4b-it"].files == ()
    # Nothing was opened for this.
    assert not shop.requests("/resolve/")


def test_what_the_catalogue_knows_by_content(shop: HubServer, hub: Hub) -> None:
    known = hub.catalog.variant("gemma-3-4b-it", "q8_0")
    assert known is not None
    found = next(r for r in hub.search("gemma-3-4b-it") if r.name == known.repository)
    by_path = {file.path: file for file in found.files}
    assert by_path[known.file].basis == "catalogue"
    assert by_path[known.file].catalogued == "gemma-3-4b-it:q8_0"
    assert by_path["other-Q4_K_M.gguf"].basis == "by name"


@pytest.mark.parametrize(
    ("sha256", "size", "known"),
    [("same", 0, True), ("other", 0, False), (None, 0, True), (None, 1, False)],
)
def test_a_file_is_the_catalogues_by_content_else_by_name_and_size(
    hub: Hub, sha256: str | None, size: int, known: bool
) -> None:
    variant = hub.catalog.variant("gemma-3-4b-it", "q4_0-qat")
    assert variant is not None
    assert variant.bytes is not None
    digest = variant.sha256 if sha256 == "same" else sha256 and "f" * 64
    file = HubFile(variant.repository, "0" * 40, variant.file, variant.bytes + size, digest)
    model = HubModel(Repository(file.repository, "main", "0" * 40, (file,)), "gguf", None, (file,))
    assert (catalogue_entry(hub.catalog, model) is not None) is known


def test_a_file_that_was_looked_at_is_measured(shop: HubServer, hub: Hub) -> None:
    read(hub, "popular/gemma-3-4b-it-GGUF:Q4_0")
    shop.forget()
    found = {r.name: r for r in hub.search("gemma-3-4b-it popular")}
    by_path = {file.path: file for file in found["popular/gemma-3-4b-it-GGUF"].files}
    measured = by_path["g-Q4_0.gguf"]
    assert measured.basis == "measured"
    # An embedding of 64 x 256 weights in Q8_0 and 256 more in F32.
    assert measured.bits_per_weight == pytest.approx((16384 * 8.5 + 256 * 32) / 16640, abs=0.01)
    assert not shop.requests("/resolve/")


def test_the_limit_and_nothing_found(shop: HubServer, hub: Hub) -> None:
    assert len(hub.search("gemma", limit=2)) <= 2
    assert hub.search("no such model anywhere") == ()


def test_a_repository_that_cannot_be_asked_is_listed_without_files(
    shop: HubServer, hub: Hub
) -> None:
    shop.fault("status", match="/api/models/popular", value=400, times=None)
    found = {r.name: r for r in hub.search("gemma-3-4b-it")}
    assert found["popular/gemma-3-4b-it-GGUF"].files == ()
    assert found["popular/gemma-3-4b-it-GGUF"].downloads == 90_000
    assert found["some/gemma-3-4b-it-GGUF"].files


def test_a_repository_with_evil_names_is_left_out(shop: HubServer, hub: Hub) -> None:
    shop.add("evil/gemma-3-4b-it", {"../../x.gguf": MODEL}, downloads=10**9)
    names = [r.name for r in hub.search("gemma-3-4b-it")]
    assert "evil/gemma-3-4b-it" not in names
    assert "some/gemma-3-4b-it-GGUF" in names


def test_an_answer_that_is_not_a_list(shop: HubServer, hub: Hub) -> None:
    shop.fault("page", match="/api/models?", times=None)
    with pytest.raises(NetworkError, match="not JSON"):
        hub.search("gemma")
