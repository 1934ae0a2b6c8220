"""Folders and llama.cpp's cache: what is a model there, and where they lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gemmahub.stores.folder import FolderStore
from gemmahub.stores.llamacpp import LlamaCppStore, cache_folder

CONTENT = b"GGUF" + b"1" * 999


def write(path: Path, content: bytes | str = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- folders -----------------------------------------------------------------------------------


def test_a_folder_of_everything(tmp_path: Path) -> None:
    write(tmp_path / "b.gguf")
    write(tmp_path / "sub" / "A.GGUF")
    for n in (1, 2):
        write(tmp_path / "split" / f"s-0000{n}-of-00002.gguf")
    write(tmp_path / "mlx" / "config.json")
    write(tmp_path / "mlx" / "model.safetensors")
    for name in ("._b.gguf", "half.gguf.part", ".cache/x.gguf", "adapter/adapter.safetensors"):
        write(tmp_path / name)
    inventory = FolderStore(tmp_path, "mine").inventory()
    assert [str(a.path.relative_to(tmp_path)) for a in inventory.artifacts] == [
        "b.gguf",
        "mlx",
        "split/s-00001-of-00002.gguf",
        "sub/A.GGUF",
    ]
    assert [a.format for a in inventory.artifacts] == ["gguf", "safetensors", "gguf", "gguf"]
    assert inventory.broken == ()


def test_broken_ones_have_a_reason(tmp_path: Path) -> None:
    write(tmp_path / "s-00001-of-00003.gguf")
    write(tmp_path / "s-00003-of-00003.gguf")
    (tmp_path / "gone.gguf").symlink_to("/no/such/file")
    (tmp_path / "circle.gguf").symlink_to("circle.gguf")
    os.mkfifo(tmp_path / "pipe.gguf")
    write(tmp_path / "mlx" / "config.json")
    (tmp_path / "mlx" / "model.safetensors").symlink_to("gone")
    (tmp_path / "folder.gguf").mkdir()
    inventory = FolderStore(tmp_path, "mine").inventory()
    assert inventory.artifacts == ()
    reasons = {broken.path.name: broken.reason for broken in inventory.broken}
    assert reasons == {
        "s-00001-of-00003.gguf": "part 2 of 3 is missing",
        "gone.gguf": "a link to /no/such/file, which is missing",
        "circle.gguf": "Too many levels of symbolic links",
        "pipe.gguf": "it is not a regular file",
        "mlx": "a link to gone, which is missing",
    }


def test_a_circle_of_folders_ends(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.gguf")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert len(FolderStore(tmp_path, "mine").inventory().artifacts) == 1


def test_of_several_projectors_f16_is_used(tmp_path: Path) -> None:
    for name in ("x.gguf", "mmproj-x-BF16.gguf", "mmproj-x-f16.gguf", "x-mmproj-Q8_0.gguf"):
        write(tmp_path / name)
    (artifact,) = FolderStore(tmp_path, "mine").inventory().artifacts
    assert artifact.projector == tmp_path / "mmproj-x-f16.gguf"


def test_a_folder_that_is_not_there_or_none(tmp_path: Path) -> None:
    missing = FolderStore(tmp_path / "none", "mine").inventory()
    assert missing.broken[0].reason == "there is no such folder"
    assert "not a folder" in FolderStore(write(tmp_path / "f"), "mine").inventory().broken[0].reason


# --- llama.cpp ---------------------------------------------------------------------------------


def manifest(sha256: str = "c" * 64, size: int = len(CONTENT)) -> str:
    return json.dumps(
        {
            "ggufFile": {"rfilename": "g-Q4_0.gguf", "size": size, "lfs": {"sha256": sha256}},
            "mmprojFile": {"rfilename": "mmproj-model-f16.gguf"},
        }
    )


def test_llama_cpp_manifests_tell_where_a_file_is_from(tmp_path: Path) -> None:
    write(tmp_path / "ggml-org_gemma-GGUF_g-Q4_0.gguf")
    write(tmp_path / "ggml-org_gemma-GGUF_g-Q4_0.gguf.etag", '"e"')
    write(tmp_path / "ggml-org_gemma-GGUF_mmproj-model-f16.gguf")
    write(tmp_path / "manifest=ggml-org=gemma-GGUF=Q4_0.json", manifest())
    write(tmp_path / "from-a-url.gguf")
    write(tmp_path / "half.gguf.downloadInProgress")
    found = {a.path.name: a for a in LlamaCppStore(tmp_path).inventory().artifacts}
    assert len(found) == 2
    known = found["ggml-org_gemma-GGUF_g-Q4_0.gguf"]
    assert (known.repository, known.sha256) == ("ggml-org/gemma-GGUF", "c" * 64)
    assert known.projector is not None
    assert known.projector.name == "ggml-org_gemma-GGUF_mmproj-model-f16.gguf"
    assert found["from-a-url.gguf"].projector is None


def test_a_sum_of_a_file_of_another_length_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "u_r_g-Q4_0.gguf")
    write(tmp_path / "manifest=u=r=Q4_0.json", manifest(size=5))
    (artifact,) = LlamaCppStore(tmp_path).inventory().artifacts
    assert (artifact.repository, artifact.sha256) == ("u/r", None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"ggufFile": 5}', '{"ggufFile": {"rfilename": 5}}'),
        *("[" * 100_000, '{"ggufFile":' * 50_000, "9" * 5000, '{"ggufFile": NaN}'),
    ],
    ids=lambda text: text[:20],
)
def test_manifests_that_say_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path / "u_r_g-Q4_0.gguf")
    write(tmp_path / "manifest=u=r=Q4_0.json", text)
    write(tmp_path / "manifest=odd.json", manifest())
    (artifact,) = LlamaCppStore(tmp_path).inventory().artifacts
    assert artifact.repository == ""


@pytest.mark.parametrize("sha256", ["z" * 64, "C" * 64 + "0", "", 5, None, ["c" * 64]])
def test_a_sum_that_is_none_is_not_taken(tmp_path: Path, sha256: object) -> None:
    write(tmp_path / "u_r_g-Q4_0.gguf")
    node = {"rfilename": "g-Q4_0.gguf", "size": len(CONTENT), "lfs": {"sha256": sha256}}
    write(tmp_path / "manifest=u=r=Q4_0.json", json.dumps({"ggufFile": node}))
    (artifact,) = LlamaCppStore(tmp_path).inventory().artifacts
    assert (artifact.repository, artifact.sha256) == ("u/r", None)


def test_where_llama_cpp_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLAMA_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("LLAMA_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "llama.cpp"
    assert LlamaCppStore().inventory().broken == ()


def test_links_to_folders_are_followed_once_each(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    (root / "z").mkdir(parents=True)
    (disk / "deep" / "er").mkdir(parents=True)
    for place in (root / "z" / "one.gguf", disk / "deep" / "er" / "two.gguf"):
        place.write_bytes(b"GGUF")
    (root / "a").symlink_to(root / "z")  # beside the folder itself
    (root / "linked").symlink_to(disk)
    (root / "linked again").symlink_to(disk / "deep")
    (disk / "deep" / "up").symlink_to(disk)
    (disk / "deep" / "top").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    (root / "itself").symlink_to(root / "itself")
    found = FolderStore(root).inventory()
    assert [str(a.path.relative_to(root)) for a in found.artifacts] == [
        "linked/deep/er/two.gguf",
        "z/one.gguf",
    ]
    assert found.broken == ()
