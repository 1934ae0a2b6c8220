"""What leaves the Hugging Face cache with a model, in the order of ``huggingface_hub``:
links, refs, snapshot folders, and blobs last (``_cache_manager.py``, ``DeleteCacheStrategy``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Artifact, Kept, Removal, RemovalStep, Unfinished
from gemmahub.stores.disk import allocated
from gemmahub.stores.hf_layout import SHARED, CacheFile, real_folder
from gemmahub.stores.hf_unfinished import FETCHED, INCOMPLETE, is_fetched, left_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_REFS: Final = ".refs"
_ABSENT: Final = ".no_exist"
_USED: Final = "used by {}"
_LINKED: Final = "its folder is a link, and its target may not belong to the model"
# Files that somebody may need without the model that goes: other weights of the repository.
_WEIGHTS: Final = frozenset(
    {".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".msgpack", ".npz"}
    | {".tflite", ".task", ".litertlm"}
)


def removal_from(
    root: Path, artifacts: Sequence[Artifact], all_here: Iterable[Artifact]
) -> Removal:
    """The removal of these models, repository by repository."""
    steps: list[RemovalStep] = []
    kept: list[Kept] = []
    going = {artifact.path for artifact in artifacts}
    staying = [artifact for artifact in all_here if artifact.path not in going]
    for repository in dict.fromkeys(_repository_folder(root, a.path) for a in artifacts):
        layout = CacheFile(str(repository), "")
        links: dict[Path, None] = {}
        for artifact in artifacts:
            if repository in artifact.path.parents:
                links |= dict.fromkeys(_links_of(artifact, staying, kept))
        found = _of_repository(layout, links)
        steps += found.steps
        kept += found.kept
    return Removal(tuple(steps), tuple(dict.fromkeys(kept)))


def discard_blob(root: Path, blob: Path) -> str:
    """Remove a blob, or say who uses it. A shared one goes by the hub client's own rules."""
    folder = _repository_folder(root, blob)
    if folder.name == SHARED:  # what a removed blob led to: the hub client took it, or keeps it
        return "the hub client keeps it; run `hf cache prune`" if blob.exists() else ""
    if blob.parent.name != SHARED:  # a file in a snapshot, where links are not possible
        blob.unlink(missing_ok=True)
        return ""
    if blob.parent.is_symlink():
        return _LINKED
    if blob.name.endswith(INCOMPLETE) and is_fetched(blob):
        return FETCHED
    users = _users(CacheFile(str(folder), ""), blob)
    if users:
        return _USED.format(users[0])
    if not blob.is_symlink():
        blob.unlink(missing_ok=True)
        return ""
    # The blob is a link into the store that repositories share: the hub client removes it and, if
    # it was the last link, what it leads to, under its lock.
    from huggingface_hub import DeleteCacheStrategy

    nothing: frozenset[Path] = frozenset()
    DeleteCacheStrategy(
        expected_freed_size=0,
        blobs=frozenset({blob}),
        refs=nothing,
        repos=nothing,
        snapshots=nothing,
        cache_dir=root,
    ).execute()
    return ""


def shared_payload(root: Path, blob: Path) -> tuple[Path, frozenset[Path]] | None:
    """What a blob that is a link into the shared store leads to, and all blobs that do so."""
    if not blob.is_symlink():
        return None
    payload = Path(os.path.normpath(blob.parent / blob.readlink()))
    if payload.parent.parent != root / SHARED:
        return None
    try:
        lines = payload.with_name(payload.name + _REFS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    users = {
        root / line
        for line in lines
        if line and ".." not in Path(line).parts and not Path(line).is_absolute()
    }
    return payload, frozenset(user for user in users if _leads_to(user, payload))


def _of_repository(layout: CacheFile, links: dict[Path, None]) -> Removal:
    """Steps of one repository, when these files of its snapshots go."""
    folder = Path(layout.folder)
    snapshots = {Path(path): _files_below(Path(path)) for path, _ in layout.snapshots(_raise)}
    emptied = [path for path, files in snapshots.items() if not set(files) - set(links)]
    commits = {path.name for path in emptied}
    refs = [Path(path) for path, commit in layout.refs().items() if commit in commits]
    inside = {parent for path in links for parent in _between(path, folder / "snapshots")}
    users: dict[Path, list[Path]] = {}
    for path in (path for files in snapshots.values() for path in files):
        if path not in links and (blob := layout.blob_of(path)):
            users.setdefault(blob, []).append(path)
    blobs = dict.fromkeys(b for path in links if (b := layout.blob_of(path)))
    everything = len(emptied) == len(snapshots)
    fetched: list[Path] = []
    if everything:
        rest = _blobs_in(folder / "blobs")
        fetched = [blob for blob in rest if blob.name.endswith(INCOMPLETE) and is_fetched(blob)]
        blobs |= dict.fromkeys(blob for blob in rest if blob not in fetched)
    kept = [Kept(blob, FETCHED) for blob in fetched]
    kept += [Kept(blob, _USED.format(users[blob][0])) for blob in blobs if blob in users]
    going = [blob for blob in blobs if blob not in users]
    if (folder / SHARED).is_symlink():
        kept += [Kept(blob, _LINKED) for blob in going]
        going = []
    payloads = _payloads(folder.parent, going, kept)
    steps = [RemovalStep(path, "entry") for path in links if path.is_symlink()]
    steps += [RemovalStep(path, "entry") for path in refs]
    # Where links are not possible, the snapshot holds the file itself.
    steps += [RemovalStep(path, "data") for path in links if not path.is_symlink()]
    steps += [RemovalStep(path, "folder") for path in _deepest_first(inside)]
    steps += [RemovalStep(path, "data") for path in (*going, *payloads)]
    return Removal((*steps, *(_leftovers(folder) if everything else ())), tuple(kept))


def unfinished_in(folder: Path, name: str) -> Unfinished | None:
    """What interrupted downloads left in the folder of a repository; None where there is nothing.
    The folders go with it where they hold nothing else."""
    paths = left_in(folder / "blobs")
    if not paths:
        return None
    steps = [RemovalStep(path, "data") for path in paths]
    empty = not _files_below(folder / "snapshots")
    removal = Removal((*steps, *(_leftovers(folder) if empty else ())))
    return Unfinished(f"hf://{name}", sum(allocated(path.lstat()) for path in paths), removal)


def _leftovers(folder: Path) -> list[RemovalStep]:
    """The rest of a repository without snapshots: marks of absent files, then the empty folders."""
    marks = [RemovalStep(path, "entry") for path in _files_below(folder / _ABSENT)]
    folders = [*_nested(folder / "refs"), *_nested(folder / _ABSENT)]
    folders += [folder / name for name in (_ABSENT, "snapshots", "blobs", "refs")]
    return [*marks, *(RemovalStep(path, "folder") for path in (*folders, folder))]


def _blobs_in(folder: Path) -> list[Path]:
    """All blobs there, also the beginnings of some; none where the folder is a link."""
    if folder.is_symlink():
        return []
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return []
    return [folder / name for name in names]


def _payloads(root: Path, going: Sequence[Path], kept: list[Kept]) -> list[Path]:
    """What the blobs that go lead to in the shared store, where no other repository uses it."""
    found: list[Path] = []
    for blob in going:
        shared = shared_payload(root, blob)
        if shared is None:
            continue
        others = sorted(shared[1] - set(going))
        if others or not shared[1]:
            reason = (
                _USED.format(others[0]) if others else "the hub client does not know who uses it"
            )
            kept.append(Kept(shared[0], reason))
        else:
            found.append(shared[0])
    return list(dict.fromkeys(found))


def _links_of(artifact: Artifact, staying: Sequence[Artifact], kept: list[Kept]) -> Iterable[Path]:
    """The files of a snapshot that are this model's; all of a snapshot with no other weights."""
    snapshot = _snapshot_folder(artifact.path)
    everything = _files_below(snapshot)
    mine = dict.fromkeys(artifact.files or (p for p in everything if p.suffix.lower() != ".gguf"))
    if artifact.projector is not None:
        users = [other for other in staying if other.projector == artifact.projector]
        if users:
            kept.append(Kept(artifact.projector, f"{users[0].name} uses this projector"))
        else:
            mine[artifact.projector] = None
    others = [p for p in everything if p not in mine and p.suffix.lower() in _WEIGHTS]
    return mine if others else everything


def _users(layout: CacheFile, blob: Path) -> list[Path]:
    """All files of all snapshots that are links to this blob."""
    found = []
    for snapshot, _ in layout.snapshots(_raise):
        found += [path for path in _files_below(Path(snapshot)) if layout.blob_of(path) == blob]
    return found


def _raise(error: OSError) -> None:
    # A snapshot that cannot be read may use the blob: it must not go. One that is gone cannot.
    if not isinstance(error, FileNotFoundError):
        raise error


def _files_below(folder: Path) -> list[Path]:
    return [
        Path(place, name)
        for place, _, names in os.walk(real_folder(folder), onerror=_raise)
        for name in sorted(names)
    ]


def _repository_folder(root: Path, path: Path) -> Path:
    return root / path.relative_to(root).parts[0]


def _snapshot_folder(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.parent.name == "snapshots")


def _between(path: Path, above: Path) -> list[Path]:
    """The folders that hold ``path``, below ``above``."""
    return [parent for parent in path.parents if above in parent.parents]


def _deepest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (-len(path.parts), path))


def _nested(folder: Path) -> list[Path]:
    walked = os.walk(real_folder(folder))
    return _deepest_first(Path(place) for place, _, _ in walked if Path(place) != folder)


def _leads_to(link: Path, payload: Path) -> bool:
    try:
        return Path(os.path.normpath(link.parent / link.readlink())) == payload
    except OSError:
        return False
