"""Remote models: the same as local ones, and only their headers are moved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import FormatError, IntegrityError, NetworkError
from gemmahub.formats.detect import open_model
from gemmahub.formats.kinds import kind_of
from gemmahub.hub.remembered import Remembered
from gemmahub.hub.source import Hub
from gemmahub.testing.hub.models import GIB, mlx_folder, projector, served, small_model, write_model
from tests.hub.ways import read, write_header

if TYPE_CHECKING:
    from gemmahub.catalog.records import Catalog
    from gemmahub.testing.hub.server import HubServer


@pytest.fixture
def catalog(hub: Hub) -> Catalog:
    return hub.catalog


def test_of_a_large_model_only_the_header_is_moved(
    server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    file, header = write_model(tmp_path / "big-Q4_0.gguf", words=262_144, layers=34)
    assert file.size > GIB
    assert header > 6_000_000
    server.add("user/big", {file.path: file})
    remote = read(hub, "user/big")
    local = open_model(tmp_path / "big-Q4_0.gguf")
    assert remote.tensors == local.tensors
    assert remote.metadata == local.metadata
    assert remote.chat_template == local.chat_template
    assert remote.size_bytes == file.size == hub.find("user/big").download_bytes
    assert remote.files == (Path("big-Q4_0.gguf"),)
    # The whole header came, so that an engine can read it, and hardly anything else.
    assert header <= server.sent(file.path) <= header * 1.03
    assert server.sent_twice(file.path) == 0
    assert len(server.requests("/blob/")) <= 10
    assert hub.traffic.received_bytes >= server.sent(file.path)


def test_a_header_is_fetched_once(
    server: HubServer, hub: Hub, tmp_path: Path, catalog: Catalog
) -> None:
    file, _ = write_model(tmp_path / "model-Q4_0.gguf", words=20_000)
    server.add("user/repo", {file.path: file})
    first = read(hub, "user/repo")
    server.forget()
    again = read(Hub(tmp_path / "cache", catalog), "user/repo")
    assert again == first
    assert server.sent(file.path) == 0
    assert not server.requests("/resolve/")


def test_a_new_commit_with_the_same_file_costs_nothing(
    server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    file, _ = write_model(tmp_path / "model-Q4_0.gguf")
    server.add("user/repo", {file.path: file})
    first = read(hub, "user/repo")
    server.add("user/repo", {file.path: file, "README.md": b"more words"})
    server.forget()
    second = read(hub, "user/repo")
    assert second == first
    assert server.sent(file.path) == 0


def test_a_replaced_file_is_read_again(server: HubServer, hub: Hub, tmp_path: Path) -> None:
    server.add("user/repo", {"m.gguf": small_model()})
    assert read(hub, "user/repo").metadata["general.name"] == "Gemma test"
    server.add("user/repo", {"m.gguf": small_model(**{"general.name": "Newer"})})
    assert read(hub, "user/repo").metadata["general.name"] == "Newer"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "nonsense"])
def test_a_damaged_cache_is_made_again(
    server: HubServer, hub: Hub, tmp_path: Path, catalog: Catalog, damage: str
) -> None:
    file, header = write_model(tmp_path / "model-Q4_0.gguf", words=9000)
    server.add("user/repo", {file.path: file})
    first = read(hub, "user/repo")
    entries = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert entries
    for entry in entries:
        raw = bytearray(entry.read_bytes())
        if damage == "flip":
            raw[len(raw) // 2] ^= 0x55
        entry.write_bytes(
            {"flip": bytes(raw), "cut": bytes(raw[:-9]), "empty": b"", "nonsense": b"x" * 99}[
                damage
            ]
        )
    server.forget()
    again = read(Hub(tmp_path / "cache", catalog), "user/repo")
    assert again == first
    assert server.sent(file.path) >= header
    server.forget()
    assert read(Hub(tmp_path / "cache", catalog), "user/repo") == first
    assert server.sent(file.path) == 0


def test_a_cache_that_cannot_be_written_is_not_a_failure(
    server: HubServer, tmp_path: Path, catalog: Catalog
) -> None:
    server.add("user/repo", {"m.gguf": small_model()})
    (tmp_path / "file").write_bytes(b"")
    assert read(Hub(tmp_path / "file", catalog), "user/repo").tensors
    assert read(Hub(None, catalog), "user/repo").tensors


def test_a_split_model(server: HubServer, hub: Hub, tmp_path: Path) -> None:
    names = [f"m-Q4_0-{n:05}-of-00003.gguf" for n in (1, 2, 3)]
    made = [write_model(tmp_path / name, split=(n, 3)) for n, name in enumerate(names)]
    server.add("user/split", {f"Q4_0/{file.path}": file for file, _ in made})
    # What the server calls a file is its path in the repository.
    repo = server.repos["user/split"]
    files = {
        f"Q4_0/{f.path}": type(f).of(f"Q4_0/{f.path}", tmp_path / f.path, f.sha256) for f, _ in made
    }
    repo.commit(files)
    remote = read(hub, "user/split:Q4_0")
    assert remote.tensors == open_model(tmp_path / names[0]).tensors
    assert [file.name for file in hub.find("user/split:Q4_0").files] == [f"Q4_0/{n}" for n in names]
    assert remote.files == tuple(Path(f"Q4_0/{name}") for name in names)
    for (_, header), path in zip(made, files, strict=True):
        assert server.sent(path) <= max(header * 1.1, 65536)


def test_an_mlx_folder(server: HubServer, hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "mlx"
    folder.mkdir()
    files = mlx_folder(folder)
    server.add("mlx-community/gemma-4bit", served(files), library="mlx")
    for name, data in files.items():
        if isinstance(data, bytes):
            (folder / name).write_bytes(data)
    remote = read(hub, "mlx-community/gemma-4bit")
    local = open_model(folder)
    assert remote.format == local.format == "mlx"
    assert remote.tensors == local.tensors
    assert remote.metadata == local.metadata
    assert remote.chat_template == local.chat_template == "{{ messages }}"
    assert {str(file) for file in remote.files} == {n for n in files if "-of-" in n}
    weights = sum(server.sent(name) for name in files if name.endswith(".safetensors"))
    with (folder / "model-00001-of-00002.safetensors").open("rb") as file:
        header = 8 + int.from_bytes(file.read(8), "little")
    assert 2 * header <= weights <= 2 * header * 1.1
    assert server.sent("tokenizer.json") == server.sent("README.md") == 0


def test_of_the_files_with_a_chat_template_one_is_read(
    server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    files = mlx_folder(tmp_path)
    files["tokenizer_config.json"] = b'{"chat_template": "other"}'
    server.add("user/mlx", served(files), tags=("mlx",))
    assert read(hub, "user/mlx").chat_template == "{{ messages }}"
    assert not server.requests("tokenizer_config.json")
    del files["chat_template.jinja"]
    server.add("user/mlx", served(files))
    assert read(hub, "user/mlx").chat_template == "other"


def test_the_header_is_written_down_for_a_dry_load(
    server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    file, header = write_model(tmp_path / "model-Q4_0.gguf", words=50_000, layers=26)
    server.add("user/repo", {file.path: file})
    path = write_header(hub, "user/repo", tmp_path / "headers")
    assert path == tmp_path / "headers" / "model-Q4_0.gguf"
    assert path.stat().st_size == file.size
    assert path.stat().st_blocks * 512 < header * 2
    with path.open("rb") as made, (tmp_path / file.path).open("rb") as original:
        assert made.read(header) == original.read(header)
    assert open_model(path).tensors == open_model(tmp_path / file.path).tensors
    server.forget()
    write_header(hub, "user/repo", tmp_path / "again")
    assert server.sent(file.path) == 0


def test_the_headers_of_a_folder_are_written_down(
    server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    folder = tmp_path / "mlx"
    folder.mkdir()
    server.add("mlx-community/gemma-4bit", served(mlx_folder(folder)), library="mlx")
    path = write_header(hub, "mlx-community/gemma-4bit", tmp_path / "headers")
    assert open_model(path).tensors == read(hub, "mlx-community/gemma-4bit").tensors


def test_a_projector_by_itself(server: HubServer, hub: Hub) -> None:
    server.add("user/repo", {"m.gguf": small_model(), "mmproj-F16.gguf": projector()})
    remote = read(hub, "hf://user/repo/mmproj-F16.gguf")
    assert remote.metadata["general.architecture"] == "clip"
    assert kind_of("mmproj-F16.gguf", remote.metadata, remote.tensors) == "projector"


def test_what_is_not_a_model_says_what_it_is(server: HubServer, hub: Hub) -> None:
    server.add("user/repo", {"a.gguf": b"<!DOCTYPE html><p>no</p>", "b.gguf": small_model()[:2000]})
    with pytest.raises(FormatError, match="a web page"):
        read(hub, "hf://user/repo/a.gguf")
    with pytest.raises(IntegrityError, match=r"incomplete|missing|ends"):
        read(hub, "hf://user/repo/b.gguf")


def test_a_header_that_claims_to_be_endless_is_not_followed(server: HubServer, hub: Hub) -> None:
    raw = bytearray(small_model())
    raw[8:16] = (1 << 60).to_bytes(8, "little")  # the number of tensors
    server.add("user/repo", {"m.gguf": bytes(raw)})
    with pytest.raises(IntegrityError):
        read(hub, "user/repo")
    assert server.sent("m.gguf") <= 65536


def test_offline_what_was_looked_at_still_answers(
    server: HubServer, hub: Hub, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("user/repo", {"m.gguf": small_model()})
    first = read(hub, "user/repo")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.forget()
    assert read(Hub(tmp_path / "cache", catalog), "user/repo") == first
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE") as failure:
        read(hub, "user/other")
    assert "gemmahub list" in failure.value.hint
    assert not server.seen


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{", b"[]", b"null", b"5", b"NaN", b"\xff\xfe", b"[" * 100_000, b"9" * 5000),
        *(b'{"sha": 5}', b'{"sha": "main"}', b'{"sha": null, "siblings": []}'),
        b'{"sha": "' + b"a" * 40 + b'", "siblings": [{"rfilename": "../x", "size": 1}]}',
    ],
)
def test_a_damaged_remembered_listing_is_requested_again(
    server: HubServer, hub: Hub, tmp_path: Path, catalog: Catalog, text: bytes
) -> None:
    server.add("user/repo", {"m.gguf": small_model()})
    first = read(hub, "user/repo")
    commit = hub.find("user/repo").revision
    (folder,) = (tmp_path / "cache" / "hub" / "repositories").iterdir()
    Remembered(folder).put(f"user/repo@{commit}", text)
    again = read(Hub(tmp_path / "cache", catalog), f"user/repo@{commit}")
    assert again == first


def test_an_odd_entry_of_the_cache_is_none(tmp_path: Path) -> None:
    cache = Remembered(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_bytes(b"gemmahub 1 \xff")
    for key in ("folder", "pipe", "text", "half \ud800"):
        assert cache.get(key) is None
        cache.put(key, b"data")
        assert cache.get(key) == (None if key == "folder" else b"data")
