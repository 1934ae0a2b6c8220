"""The Hugging Face cache: what is a model there, and what is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.stores.hf_cache import HuggingFaceStore, cache_folder

if TYPE_CHECKING:
    from tests.stores.conftest import Hub, PlainUser

COMMIT, OLDER = "a" * 40, "b" * 40
CONTENT = b"GGUF" + b"1" * 5000
REPO = "google/gemma-3-4b-it-qat-q4_0-gguf"


def test_no_cache_is_an_empty_inventory(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        inventory = HuggingFaceStore(folder).inventory()
        assert (inventory.artifacts, inventory.broken) == ((), ())
    (tmp_path / "file").write_text("")
    assert HuggingFaceStore(tmp_path / "file").inventory().artifacts == ()


def test_a_file_with_its_record(hub: Hub) -> None:
    snapshot = hub.add(
        REPO,
        {
            "gemma-3-4b-it-q4_0.gguf": CONTENT,
            "mmproj-model-f16-4B.gguf": b"GGUFp",
            "README.md": b"",
        },
    )
    (artifact,) = HuggingFaceStore(hub.root).inventory().artifacts
    assert artifact.path == snapshot / "gemma-3-4b-it-q4_0.gguf"
    assert artifact.sha256 == artifact.path.resolve().name
    assert artifact.projector == snapshot / "mmproj-model-f16-4B.gguf"
    assert (artifact.repository, artifact.revision) == (REPO, COMMIT)
    assert artifact.reference == f"hf://{REPO}/gemma-3-4b-it-q4_0.gguf"
    assert artifact.store == "huggingface"


def test_the_hub_client_reads_this_layout_too(hub: Hub) -> None:
    from huggingface_hub import scan_cache_dir

    hub.add(REPO, {"x.gguf": CONTENT, "README.md": b"text"})
    hub.add("user/other", {"x.gguf": CONTENT})
    hub.share("user/other", CONTENT)
    info = scan_cache_dir(hub.root)
    assert info.warnings == []
    assert {repo.repo_id for repo in info.repos} == {REPO, "user/other"}
    assert {a.repository for a in HuggingFaceStore(hub.root).inventory().artifacts} == {
        REPO,
        "user/other",
    }


def test_parts_in_a_folder_use_the_projector_above(hub: Hub) -> None:
    parts = {f"BF16/g-0000{n}-of-00002.gguf": CONTENT + bytes([n]) for n in (1, 2)}
    snapshot = hub.add("user/repo", {**parts, "mmproj-BF16.gguf": b"b", "mmproj-F16.gguf": b"f"})
    (artifact,) = HuggingFaceStore(hub.root).inventory().artifacts
    assert [path.name for path in artifact.files] == [
        "g-00001-of-00002.gguf",
        "g-00002-of-00002.gguf",
    ]
    assert artifact.sha256 is None
    assert artifact.projector == snapshot / "mmproj-F16.gguf"


def test_two_revisions_are_two_models_and_main_is_first(hub: Hub) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT}, commit=OLDER, ref=None)
    hub.add("user/repo", {"x.gguf": CONTENT + b"2"}, commit=COMMIT)
    first, second = HuggingFaceStore(hub.root).inventory().artifacts
    assert (first.revision, first.reference) == (COMMIT, "hf://user/repo/x.gguf")
    assert second.reference == f"hf://user/repo/x.gguf@{OLDER[:12]}"


def test_a_safetensors_repository_is_one_model(hub: Hub) -> None:
    files = {
        "config.json": b"{}",
        "model-00001-of-00002.safetensors": b"1",
        "model-00002-of-00002.safetensors": b"2",
    }
    snapshot = hub.add("mlx-community/gemma-3-4b-it-4bit", files)
    (artifact,) = HuggingFaceStore(hub.root).inventory().artifacts
    assert artifact.path == snapshot
    assert artifact.format == "safetensors"
    assert artifact.name == "gemma-3-4b-it-4bit"
    assert artifact.reference == "hf://mlx-community/gemma-3-4b-it-4bit"


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer.json": b"{}", "config.json": b"{}"},
        {"pytorch_model.bin": b"x", "config.json": b"{}"},
        {"adapter_model.safetensors": b"x", "README.md": b"{}"},
        {},
    ],
)
def test_a_repository_without_weights_is_nothing(hub: Hub, files: dict[str, bytes]) -> None:
    hub.add("user/repo", files)
    hub.root.joinpath("datasets--user--set", "snapshots", COMMIT).mkdir(parents=True)
    hub.root.joinpath("version.txt").write_text("1")
    inventory = HuggingFaceStore(hub.root).inventory()
    assert (inventory.artifacts, inventory.broken) == ((), ())


def test_a_download_in_progress_is_nothing(hub: Hub) -> None:
    folder = hub.repository("user/repo")
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / f"{'c' * 64}.1234abcd.incomplete").write_bytes(b"GGUF")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    assert HuggingFaceStore(hub.root).inventory().artifacts == ()
    assert HuggingFaceStore(hub.root).inventory().broken == ()


def test_a_link_to_a_blob_that_is_gone_is_broken(hub: Hub) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": CONTENT, "y.gguf": CONTENT + b"y"})
    (snapshot / "x.gguf").resolve().unlink()
    inventory = HuggingFaceStore(hub.root).inventory()
    assert [artifact.name for artifact in inventory.artifacts] == ["y"]
    (broken,) = inventory.broken
    assert broken.path == snapshot / "x.gguf"
    assert "which is missing" in broken.reason


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../outside.gguf", "../../blobs/../x"])
def test_a_link_out_of_the_repository_is_broken(hub: Hub, target: str) -> None:
    snapshot = hub.add("user/repo", {})
    snapshot.mkdir(parents=True)
    (hub.root.parent / "outside.gguf").write_bytes(CONTENT)
    (hub.root / "outside.gguf").write_bytes(CONTENT)
    (hub.repository("user/repo") / "x").write_bytes(CONTENT)
    (snapshot / "x.gguf").symlink_to(target)
    inventory = HuggingFaceStore(hub.root).inventory()
    assert inventory.artifacts == ()
    assert "outside its repository" in inventory.broken[0].reason


def test_where_links_are_not_possible(hub: Hub) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT}, links=False)
    (artifact,) = HuggingFaceStore(hub.root).inventory().artifacts
    assert artifact.sha256 is None
    assert artifact.repository == "user/repo"


@pytest.mark.parametrize("name", ["gemma ü 模型.gguf", "a:b@c.gguf", "new\nline.gguf", "-x.gguf"])
def test_odd_names(hub: Hub, name: str) -> None:
    from gemmahub.errors import UsageError
    from gemmahub.hub.reference import HuggingFaceReference
    from gemmahub.registry.reference import parse_reference

    hub.add("user/repo", {name: CONTENT})
    (artifact,) = HuggingFaceStore(hub.root).inventory().artifacts
    assert artifact.path.name == name
    if not artifact.reference:
        assert set(name) & set(":@\n")
        return
    try:
        reference = parse_reference(artifact.reference)
    except UsageError:
        pytest.fail("a store gave a reference that cannot be parsed")
    assert isinstance(reference, HuggingFaceReference)
    assert (reference.repository, reference.file) == ("user/repo", name)


def test_a_name_that_is_not_unicode(hub: Hub) -> None:
    name = os.fsdecode(b"gemma-\xff\xfe.gguf")
    hub.add("user/repo", {name: CONTENT})
    (artifact,) = HuggingFaceStore(hub.root).inventory().artifacts
    assert artifact.path.name == name


def test_folders_that_cannot_be_read(hub: Hub, open_folder: Path, plain_user: PlainUser) -> None:
    hub.root = open_folder / "hub"
    hub.add("user/one", {"x.gguf": CONTENT})
    closed = hub.add("user/two", {"x.gguf": CONTENT, "deep/y.gguf": CONTENT})
    closed.chmod(0o700)
    with plain_user():
        inventory = HuggingFaceStore(hub.root).inventory()
    assert [a.repository for a in inventory.artifacts] == ["user/one"]
    assert [(b.path, b.reason) for b in inventory.broken] == [(closed, "Permission denied")]
    hub.root.chmod(0o700)
    with plain_user():
        inventory = HuggingFaceStore(hub.root).inventory()
    assert inventory.broken[0].reason == "Permission denied"


def test_last_used_is_the_time_of_reading_or_nothing(hub: Hub) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": CONTENT, "y.gguf": CONTENT + b"2"})
    os.utime(snapshot / "x.gguf", (2_000_000_000, 1_900_000_000))
    os.utime(snapshot / "y.gguf", (1_900_000_000, 1_900_000_000))
    used = {a.name: a.last_used for a in HuggingFaceStore(hub.root).inventory().artifacts}
    assert used == {"x": 2_000_000_000, "y": None}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b"}, "/b"),
        ({"HF_HOME": "/c"}, "/c/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({"HOME": "/e"}, "/e/.cache/huggingface/hub"),
        ({"HF_HOME": "~/f", "HOME": "/e"}, "/e/f/hub"),
        ({"HF_HUB_CACHE": "$PLACE/g", "PLACE": "/h"}, "/h/g"),
    ],
)
def test_where_it_is(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


@pytest.mark.parametrize("target", ["../../../../outside.gguf", "../x", "../../blobs/x", "../../x"])
def test_a_blob_that_is_a_link_out_of_the_cache_is_broken(hub: Hub, target: str) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": CONTENT, "y.gguf": CONTENT + b"y"})
    payload = hub.share("user/repo", CONTENT + b"y")
    blob = (snapshot / "x.gguf").resolve()
    blob.unlink()
    blob.symlink_to(target)
    place = Path(os.path.normpath(blob.parent / target))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(CONTENT)
    inventory = HuggingFaceStore(hub.root).inventory()
    assert [artifact.name for artifact in inventory.artifacts] == ["y"]
    assert (snapshot / "y.gguf").samefile(payload)
    (broken,) = inventory.broken
    assert "outside its repository" in broken.reason


def test_snapshots_behind_a_link_are_not_listed(hub: Hub, tmp_path: Path) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": CONTENT})
    snapshot.parent.rename(tmp_path / "elsewhere")
    snapshot.parent.symlink_to(tmp_path / "elsewhere")
    inventory = HuggingFaceStore(hub.root).inventory()
    assert inventory.artifacts == ()
    assert inventory.broken[0].reason == "it is a link, not a folder"


def test_absolute_links_behind_a_linked_cache(hub: Hub, tmp_path: Path) -> None:
    snapshot = hub.add(REPO, {"x.gguf": CONTENT})
    link = snapshot / "x.gguf"
    blob = link.resolve()
    link.unlink()
    link.symlink_to(blob)
    linked = tmp_path / "linked"
    linked.symlink_to(hub.root)
    (artifact,) = HuggingFaceStore(linked).inventory().artifacts
    assert artifact.sha256 == blob.name
    link.unlink()
    link.symlink_to(tmp_path / "elsewhere" / "blobs" / blob.name)
    (tmp_path / "elsewhere" / "blobs").mkdir(parents=True)
    (tmp_path / "elsewhere" / "blobs" / blob.name).write_bytes(CONTENT)
    (broken,) = HuggingFaceStore(linked).inventory().broken
    assert "outside its repository" in broken.reason
