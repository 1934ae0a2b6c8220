"""Removing models: what goes, what stays and why, the bytes that come back, kill -9 anywhere."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from gemmahub.errors import GemmahubError
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.hf_cache import HuggingFaceStore
from gemmahub.stores.llamacpp import LlamaCppStore
from gemmahub.stores.removal import (
    finish_removals,
    plan_removal,
    plan_unfinished,
    remove,
    unfinished_removals,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Artifact, ManagedStore
    from tests.stores.conftest import Hub, Killed, PlainUser

COMMIT, OLDER = "a" * 40, "b" * 40
CONTENT = b"GGUF" + os.urandom(50_000)
OTHER = b"GGUF" + os.urandom(20_000)


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


def tree(root: Path) -> dict[str, str]:
    """Every file and link below a folder, with what is in it."""
    return {
        str(Path(place, name).relative_to(root)): os.readlink(Path(place, name))
        if Path(place, name).is_symlink()
        else str(hash(Path(place, name).read_bytes()))
        for place, _, names in os.walk(root)
        for name in names
    }


def named(store: ManagedStore, *names: str) -> list[Artifact]:
    found = [a for a in store.inventory().artifacts if a.name in names]
    assert len({a.name for a in found}) == len(names)
    return found


# --- the Hugging Face cache --------------------------------------------------------------------


def test_the_last_model_takes_its_repository_with_it(hub: Hub, data: Path) -> None:
    files = {"x.gguf": CONTENT, "mmproj-f16.gguf": b"p" * 5000, "README.md": b"text"}
    hub.add("user/repo", files)
    hub.add("user/stays", {"x.gguf": OTHER})
    store = HuggingFaceStore(hub.root)
    expected = sum(blocks(path) for path in (hub.repository("user/repo") / "blobs").iterdir())
    plan = plan_removal(named(store, "x")[:1], [store])
    assert plan.freed_bytes == expected
    before = tree(hub.repository("user/stays"))
    done = remove(plan, [store], data=data)
    assert done.freed_bytes == expected
    assert done.failed == ()
    assert not hub.repository("user/repo").exists()
    assert tree(hub.repository("user/stays")) == before
    assert unfinished_removals(data) == []


@pytest.mark.parametrize("place", ["blobs", "refs", ".no_exist"])
def test_what_a_link_in_place_of_a_folder_leads_to_stays(
    hub: Hub, data: Path, tmp_path: Path, place: str
) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": CONTENT})
    outside = tmp_path / "documents"
    outside.mkdir()
    folder = hub.repository("user/repo") / place
    if folder.is_dir():
        for path in folder.iterdir():
            path.rename(outside / path.name)
        folder.rmdir()
    (outside / "thesis").write_text("of years")
    (outside / "commit").write_text(COMMIT)
    folder.symlink_to(outside)
    before = tree(outside)
    store = HuggingFaceStore(hub.root)
    plan = plan_removal(named(store, "x"), [store])
    remove(plan, [store], data=data)
    assert tree(outside) == before
    assert not (snapshot / "x.gguf").is_symlink()
    kept = [entry.reason for entry in plan.kept]
    assert kept == (
        ["its folder is a link, and its target may not belong to the model"] * (place == "blobs")
    )


def test_a_blob_is_not_removed_through_a_link_that_was_put_there_later(
    hub: Hub, tmp_path: Path
) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT})
    blobs = hub.repository("user/repo") / "blobs"
    blobs.rename(tmp_path / "documents")
    blobs.symlink_to(tmp_path / "documents")
    (tmp_path / "documents" / "thesis").write_text("of years")
    assert "is a link" in HuggingFaceStore(hub.root).discard(blobs / "thesis")
    assert (tmp_path / "documents" / "thesis").read_text() == "of years"


def test_another_file_of_the_snapshot_stays(hub: Hub, data: Path) -> None:
    from huggingface_hub import scan_cache_dir

    files = {"x.gguf": CONTENT, "y.gguf": OTHER, "mmproj-f16.gguf": b"p" * 99, "README.md": b"text"}
    snapshot = hub.add("user/repo", files)
    store = HuggingFaceStore(hub.root)
    plan = plan_removal(named(store, "x"), [store])
    assert [kept.reason for kept in plan.kept] == ["y uses this projector"]
    remove(plan, [store], data=data)
    assert sorted(path.name for path in snapshot.iterdir()) == [
        "README.md",
        "mmproj-f16.gguf",
        "y.gguf",
    ]
    assert (snapshot / "y.gguf").read_bytes() == OTHER
    assert scan_cache_dir(hub.root).warnings == []


def test_a_blob_of_another_snapshot_stays_until_that_goes(hub: Hub, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT}, commit=OLDER, ref=None)
    hub.add("user/repo", {"x.gguf": CONTENT})
    store = HuggingFaceStore(hub.root)
    first, second = store.inventory().artifacts
    plan = plan_removal([first], [store])
    assert plan.freed_bytes == 0
    assert f"snapshots/{OLDER}" in plan.kept[0].reason
    assert plan_removal([first, second], [store]).freed_bytes > 0
    remove(plan, [store], data=data)
    (left,) = store.inventory().artifacts
    assert left.revision == OLDER
    assert left.path.read_bytes() == CONTENT
    assert not (hub.repository("user/repo") / "refs" / "main").exists()
    remove(plan_removal([left], [store]), [store], data=data)
    assert not hub.repository("user/repo").exists()


def test_a_blob_that_repositories_share_goes_with_the_last(hub: Hub, data: Path) -> None:
    for name in ("user/one", "user/two"):
        hub.add(name, {"x.gguf": CONTENT})
        payload = hub.share(name, CONTENT)
    store = HuggingFaceStore(hub.root)
    one, two = store.inventory().artifacts
    plan = plan_removal([one], [store])
    assert plan.freed_bytes == 0
    assert any(kept.path == payload for kept in plan.kept)
    assert remove(plan, [store], data=data).freed_bytes == 0
    assert payload.read_bytes() == CONTENT
    last = plan_removal([two], [store])
    assert last.freed_bytes == blocks(payload)
    assert remove(last, [store], data=data).freed_bytes == last.freed_bytes
    assert not payload.exists()


def test_weights_in_other_formats_are_not_taken_along(hub: Hub, data: Path) -> None:
    snapshot = hub.add("user/repo", {"x.gguf": CONTENT, "pytorch_model.bin": OTHER})
    store = HuggingFaceStore(hub.root)
    remove(plan_removal(named(store, "x"), [store]), [store], data=data)
    assert (snapshot / "pytorch_model.bin").read_bytes() == OTHER


def half(hub: Hub, name: str) -> Path:
    """What a broken-off download left in a repository."""
    path = hub.repository(name) / "blobs" / f"{'c' * 64}.0123abcd.incomplete"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half" * 5000)
    return path


def fetching(path: Path) -> FileLock:
    """The lock of the download that writes this file."""
    repository = path.parent.parent
    folder = repository.parent / ".locks" / repository.name
    folder.mkdir(parents=True)
    return FileLock(folder / f"{path.name.partition('.')[0]}.lock")


def test_the_last_model_takes_what_a_download_left_with_it(hub: Hub, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT, "y.gguf": OTHER})
    half(hub, "user/repo")
    store = HuggingFaceStore(hub.root)
    remove(plan_removal(named(store, "x"), [store]), [store], data=data)
    assert half(hub, "user/repo").exists()
    remove(plan_removal(named(store, "y"), [store]), [store], data=data)
    assert not hub.repository("user/repo").exists()


def test_a_download_that_runs_keeps_its_file(hub: Hub, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT})
    begun = half(hub, "user/repo")
    store = HuggingFaceStore(hub.root)
    with fetching(begun):
        plan = plan_removal(named(store, "x"), [store])
        assert [kept.reason for kept in plan.kept] == ["it is being downloaded"]
        remove(plan, [store], data=data)
        assert begun.exists()
        assert store.unfinished() == []
    (left,) = store.unfinished()
    assert (left.reference, left.bytes) == ("hf://user/repo", blocks(begun))


def test_a_download_that_went_on_since_the_plan_keeps_its_file(hub: Hub, data: Path) -> None:
    begun = half(hub, "user/repo")
    store = HuggingFaceStore(hub.root)
    plan = plan_unfinished("hf://USER/repo", [store])
    assert plan is not None
    assert plan.freed_bytes == blocks(begun)
    with fetching(begun):
        done = remove(plan, [store], data=data)
    assert begun.exists()
    assert [kept.reason for kept in done.kept] == ["it is being downloaded"]
    plan = plan_unfinished("hf://user/repo", [store])
    assert plan is not None
    remove(plan, [store], data=data)
    assert not hub.repository("user/repo").exists()
    assert plan_unfinished("hf://user/repo", [store]) is None


def test_without_links_the_files_themselves_go(hub: Hub, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT, "README.md": b"text"}, links=False)
    store = HuggingFaceStore(hub.root)
    plan = plan_removal(named(store, "x"), [store])
    assert plan.freed_bytes >= len(CONTENT)
    assert remove(plan, [store], data=data).freed_bytes == plan.freed_bytes
    assert not hub.repository("user/repo").exists()


def test_a_link_that_came_since_the_plan_keeps_the_blob(hub: Hub, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT})
    store = HuggingFaceStore(hub.root)
    plan = plan_removal(named(store, "x"), [store])
    new = hub.add("user/repo", {"x.gguf": CONTENT}, commit=OLDER, ref="other")
    done = remove(plan, [store], data=data)
    assert (new / "x.gguf").read_bytes() == CONTENT
    assert done.freed_bytes == 0
    assert any("used by" in kept.reason for kept in done.kept)


# --- whose store -------------------------------------------------------------------------------


def test_another_tools_store_has_to_be_named(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "x.gguf").write_bytes(CONTENT)
    store = LlamaCppStore(folder)
    plan = plan_removal(named(store, "x"), [store])
    assert plan.stores == ()
    assert "--store llama.cpp" in plan.refused[0].reason
    remove(plan, [store], data=data)
    assert (folder / "x.gguf").exists()
    plan = plan_removal(named(store, "x"), [store], named=["llama.cpp"])
    remove(plan, [store], data=data)
    assert list(folder.iterdir()) == []


def test_only_the_named_store(hub: Hub, tmp_path: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT})
    store = HuggingFaceStore(hub.root)
    plan = plan_removal(named(store, "x"), [store], named=["llama.cpp"])
    assert "was not chosen" in plan.refused[0].reason
    plan = plan_removal(named(store, "x"), [])
    assert "does not support removal" in plan.refused[0].reason


# --- folders, llama.cpp ------------------------------------------------------------------------


def test_a_split_model_of_a_folder(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "models"
    (root / "sub").mkdir(parents=True)
    for n in (1, 2, 3):
        (root / "sub" / f"g-0000{n}-of-00003.gguf").write_bytes(CONTENT)
    (root / "sub" / "mmproj.gguf").write_bytes(OTHER)
    (root / "sub" / "notes.odt").write_bytes(b"mine")
    store = FolderStore(root, "models")
    plan = plan_removal(store.inventory().artifacts, [store])
    done = remove(plan, [store], data=data)
    assert len(done.removed) == 4
    assert done.freed_bytes == plan.freed_bytes
    assert tree(root) == {"sub/notes.odt": str(hash(b"mine"))}


def test_a_model_folder_leaves_what_is_not_of_the_model(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "models" / "gemma-mlx"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.model", "chat_template.jinja"):
        (folder / name).write_bytes(b"x")
    (folder / "thesis.odt").write_bytes(b"mine")
    (folder / "small.gguf").write_bytes(OTHER)
    store = FolderStore(tmp_path / "models", "models")
    plan = plan_removal(named(store, "gemma-mlx"), [store])
    assert {kept.path.name for kept in plan.kept} == {"thesis.odt"}
    remove(plan, [store], data=data)
    assert sorted(path.name for path in folder.iterdir()) == ["small.gguf", "thesis.odt"]


def test_a_link_goes_and_its_target_stays(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "models"
    root.mkdir()
    target = tmp_path / "elsewhere.gguf"
    target.write_bytes(CONTENT)
    (root / "x.gguf").symlink_to(target)
    store = FolderStore(root, "models")
    plan = plan_removal(named(store, "x"), [store])
    assert plan.freed_bytes == 0
    assert plan.kept[0].reason == "x.gguf is only a link to it"
    remove(plan, [store], data=data)
    assert target.read_bytes() == CONTENT
    assert list(root.iterdir()) == []


def test_a_hard_link_frees_nothing_until_its_last_name_goes(tmp_path: Path, data: Path) -> None:
    root = tmp_path / "models"
    root.mkdir()
    (root / "x.gguf").write_bytes(CONTENT)
    os.link(root / "x.gguf", root / "y.gguf")
    store = FolderStore(root, "models")
    plan = plan_removal(named(store, "x"), [store])
    assert plan.freed_bytes == 0
    assert "hard link" in plan.kept[0].reason
    both = plan_removal(store.inventory().artifacts, [store])
    assert both.freed_bytes == blocks(root / "x.gguf")
    assert remove(both, [store], data=data).freed_bytes == both.freed_bytes


def test_a_sparse_file_frees_its_blocks(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").touch()
    os.truncate(tmp_path / "x.gguf", 10_000_000)
    store = FolderStore(tmp_path, "models")
    assert plan_removal(named(store, "x"), [store]).freed_bytes < 100_000


def test_llama_cpp_keeps_no_notes_of_a_removed_file(tmp_path: Path, data: Path) -> None:
    for name, content in (
        ("u_r_x.gguf", CONTENT),
        ("u_r_mmproj.gguf", b"p"),
        ("other.gguf", OTHER),
    ):
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.etag").write_text('"etag"')
    manifest = {"ggufFile": {"rfilename": "x.gguf"}, "mmprojFile": {"rfilename": "mmproj.gguf"}}
    (tmp_path / "manifest=u=r=Q4_0.json").write_text(json.dumps(manifest))
    store = LlamaCppStore(tmp_path)
    plan = plan_removal(named(store, "u_r_x"), [store], named=["llama.cpp"])
    remove(plan, [store], data=tmp_path / "data")
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"other.gguf", "other.gguf.etag"}


def test_a_data_folder_that_is_full_does_not_keep_from_removing(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(CONTENT)
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = FolderStore(tmp_path, "models")
    done = remove(plan_removal(named(store, "x"), [store]), [store], data=blocked)
    assert done.freed_bytes > 0
    assert not (tmp_path / "x.gguf").exists()


def test_a_file_that_changed_since_the_plan_stays(tmp_path: Path, data: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(CONTENT)
    store = FolderStore(tmp_path, "models")
    plan = plan_removal(named(store, "x"), [store])
    (tmp_path / "x.gguf").write_bytes(OTHER)
    record = data / "removals"
    done = remove(plan, [store], data=data)
    assert done.removed == ()
    assert (tmp_path / "x.gguf").read_bytes() == OTHER
    assert list(record.iterdir()) == []


def test_a_folder_that_cannot_be_written(open_folder: Path, plain_user: PlainUser) -> None:
    root = open_folder / "models"
    root.mkdir()
    (root / "x.gguf").write_bytes(CONTENT)
    root.chmod(0o555)
    store = FolderStore(root, "models")
    plan = plan_removal(named(store, "x"), [store])
    with plain_user(), pytest.raises(GemmahubError, match="nothing was removed"):
        remove(plan, [store], data=open_folder / "data")
    root.chmod(0o755)
    assert (root / "x.gguf").read_bytes() == CONTENT


def test_a_model_that_is_open_says_by_whom(hub: Hub, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT})
    store = HuggingFaceStore(hub.root)
    blob = next((hub.repository("user/repo") / "blobs").iterdir())
    with blob.open("rb"):
        plan = plan_removal(named(store, "x"), [store])
        (used,) = plan.in_use
        assert used.path == blob
        assert f"process {os.getpid()}" in used.reason
        assert plan.as_json()["in_use"] == [{"path": str(blob), "reason": used.reason}]
        if os.name != "nt":  # where an open file cannot be removed
            assert remove(plan, [store], data=data).failed == ()
            assert not blob.exists()


# --- kill -9 -----------------------------------------------------------------------------------


def hub_of_three(hub: Hub) -> tuple[ManagedStore, Callable[[], list[Artifact]]]:
    parts = {f"g-0000{n}-of-00003.gguf": CONTENT + bytes([n]) for n in (1, 2, 3)}
    hub.add("user/repo", {**parts, "README.md": b"text"}, commit=OLDER, ref="old")
    hub.add("user/repo", {"z.gguf": OTHER, "README.md": b"text"})
    hub.add("user/gone", {"deep/x.gguf": CONTENT, "README.md": b"text"})
    store = HuggingFaceStore(hub.root)

    def chosen() -> list[Artifact]:
        return [a for a in store.inventory().artifacts if a.name != "z"]

    return store, chosen


def check_hub(hub: Hub) -> None:
    """No name leads to nothing, and the hub client agrees."""
    for place, _, names in os.walk(hub.root):
        for name in names:
            assert Path(place, name).exists(), f"{place}/{name} leads to nothing"
    for repository in hub.root.iterdir():
        for ref in repository.glob("refs/*"):
            assert (repository / "snapshots" / ref.read_text()).is_dir()
    snapshot = hub.repository("user/repo") / "snapshots" / COMMIT
    assert (snapshot / "z.gguf").read_bytes() == OTHER
    assert (snapshot / "README.md").read_bytes() == b"text"


def test_kill_9_at_each_step_of_a_removal_from_the_hub(
    hub: Hub, killed: Killed, data: Path
) -> None:
    results = set()
    at = 0
    while True:
        hub = type(hub)(hub.root.with_name(f"hub{at}"))
        store, chosen = hub_of_three(hub)
        place = data / str(at)
        plan = plan_removal(chosen(), [store])
        was_killed = killed.run(at, partial(remove, plan, [store], data=place))
        check_hub(hub)
        finish_removals(place, [store])
        check_hub(hub)
        results.add(json.dumps(tree(hub.root), sort_keys=True))
        # Before the record was written nothing was begun: then a new plan does all of it.
        remove(plan_removal(chosen(), [store]), [store], data=place)
        assert unfinished_removals(place) == []
        assert [a.name for a in store.inventory().artifacts] == ["z"]
        assert len(list((hub.repository("user/repo") / "blobs").iterdir())) == 2
        assert not hub.repository("user/gone").exists()
        if not was_killed:
            break
        at += 1
    assert at > 15
    assert len(results) == 2  # not begun, or all done


def test_kill_9_at_each_step_of_a_removal_from_a_folder(
    tmp_path: Path, killed: Killed, data: Path
) -> None:
    at = 0
    while True:
        root = tmp_path / f"models{at}"
        (root / "g").mkdir(parents=True)
        for n in (1, 2, 3):
            (root / "g" / f"g-0000{n}-of-00003.gguf").write_bytes(CONTENT)
        (root / "stays.gguf").write_bytes(OTHER)
        store = FolderStore(root, "models")
        plan = plan_removal(named(store, "g-00001-of-00003"), [store])
        was_killed = killed.run(
            at,
            partial(remove, plan, [store], data=data / str(at)),
        )
        finish_removals(data / str(at), [store])
        left = store.inventory()
        assert left.broken == ()
        assert len(left.artifacts) == (2 if at == 0 else 1)
        assert (root / "stays.gguf").read_bytes() == OTHER
        if not was_killed:
            break
        at += 1
    assert at > 4


def test_what_was_put_there_again_is_not_removed(hub: Hub, killed: Killed, data: Path) -> None:
    hub.add("user/repo", {"x.gguf": CONTENT, "y.gguf": OTHER})
    store = HuggingFaceStore(hub.root)
    plan = plan_removal(named(store, "x"), [store])
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        remove(plan, [store], data=data, on_step=_interrupt_at("data", steps))
    assert len(unfinished_removals(data)) == 1
    snapshot = hub.repository("user/repo") / "snapshots" / COMMIT
    blob = hub.repository("user/repo") / "blobs"
    (snapshot / "x.gguf").symlink_to(f"../../blobs/{plan.stores[0].artifacts[0].sha256}")
    done = finish_removals(data, [store])
    assert done.freed_bytes == 0
    assert (snapshot / "x.gguf").read_bytes() == CONTENT
    assert len(list(blob.iterdir())) == 2
    assert unfinished_removals(data) == []


def test_a_record_that_names_paths_out_of_its_store_is_harmless(tmp_path: Path, data: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    status = victim.stat()
    mark = [status.st_ino, status.st_mtime_ns, status.st_size]
    (data / "removals").mkdir(parents=True)
    paths = [str(victim), str(tmp_path / "models" / ".." / "victim")]
    steps: list[Any] = [{"path": path, "kind": "entry", "mark": mark} for path in paths]
    steps += [{"path": 5}, {"kind": "entry"}, None, [], 5, "x"]
    inside = str(tmp_path / "models" / "x")
    steps += [{"path": f"{inside}\0", "kind": "entry", "mark": mark}]
    for odd in (5, [], "abc", [None] * 3, {"0": 1}, [float("inf")] * 3, [10**400] * 3, ["x"] * 3):
        steps += [{"path": inside, "kind": "entry", "mark": odd}]
    record = {"version": 1, "store": "models", "steps": steps}
    (data / "removals" / "x.json").write_text(json.dumps(record))
    (data / "removals" / "y.json").write_text("{")
    (data / "removals" / "z.json").write_text("[" * 100_000)
    (data / "removals" / "zz.json").write_text('{"version": 1, "store": "models", "steps": 5}')
    (tmp_path / "models").mkdir()
    finish_removals(data, [FolderStore(tmp_path / "models", "models")])
    assert victim.read_text() == "mine"


def _interrupt_at(kind: str, steps: list[str]) -> Callable[[str], None]:
    def step(text: str) -> None:
        steps.append(text)
        if text.startswith(kind):
            raise KeyboardInterrupt

    return step
