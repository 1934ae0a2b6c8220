"""What a repository holds at one commit: asked of the hub, read with suspicion, remembered.

A commit never changes, so its listing is asked for once; a branch is asked for each time, and its
last answer serves when the hub may not be asked (HF_HUB_OFFLINE).
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gemmahub.errors import GemmahubError, IntegrityError
from gemmahub.hub import failures
from gemmahub.hub.client import is_offline
from gemmahub.hub.path_names import is_storable, path_parts, problem_of
from gemmahub.hub.records import HubFile, Repository
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.hub.client import HubClient
    from gemmahub.hub.remembered import Remembered

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAIN: Final = "main"
# As much as ext4 takes for one file, and 32 times what the hub takes.
_LARGEST_SIZE: Final = 16 << 40
_KEPT: Final = (
    "id", "sha", "siblings", "gated", "private", "cardData", "tags", "downloads", "library_name",
)  # fmt: skip


def fetch_repository(
    client: HubClient, remembered: Remembered, name: str, revision: str | None
) -> Repository:
    """The repository at ``revision`` (default: main).

    Raises: NotFound for a repository or revision that does not exist, or is private; Gated;
    NetworkError; IntegrityError for a repository with file names that lead out of it.
    """
    revision = revision or _MAIN
    key = f"{name}@{revision}"
    if _COMMIT.fullmatch(revision) or is_offline():
        # What is remembered and damaged is asked for again.
        with contextlib.suppress(ValueError, RecursionError, GemmahubError):
            if known := remembered.get(key):
                return repository_of(json.loads(known), name, revision, client.endpoint)
    path = f"/api/models/{quote(name)}/revision/{quote(revision, safe='')}"
    data = client.json(path, name, f"revision {revision}", {"blobs": "true"})
    found = repository_of(data, name, revision, client.endpoint)
    kept = json.dumps({field: data[field] for field in _KEPT if field in data}).encode()
    remembered.put(key, kept)
    remembered.put(f"{name}@{found.commit}", kept)
    return found


def repository_of(data: Any, name: str, revision: str, endpoint: str) -> Repository:
    """The hub's answer about one repository as a record; raises as :func:`fetch_repository`."""
    if not isinstance(data, dict):
        raise failures.odd_answer(endpoint, "it does not describe a repository")
    commit = data.get("sha")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise failures.odd_answer(endpoint, f"it names no commit of {name}")
    name = _own_name(data.get("id"), name)
    files, skipped = _files(data.get("siblings"), name, commit)
    licence, url = _licence(data)
    return Repository(
        name=name,
        revision=revision,
        commit=commit,
        files=files,
        gated=gate_of(data),
        private=data.get("private") is True,
        licence=licence,
        licence_url=url or f"{failures.without_login(endpoint)}/{name}",
        downloads=whole_number(data.get("downloads")),
        library=one_line(str(data.get("library_name") or ""), 40),
        tags=tags_of(data),
        skipped=skipped,
    )


def gate_of(data: dict[str, Any]) -> str:
    """How a repository is gated: "", "auto" or "manual"."""
    gated = data.get("gated")
    if gated in (None, False, ""):
        return ""
    return gated if gated in ("auto", "manual") else "manual"


def tags_of(data: dict[str, Any]) -> tuple[str, ...]:
    """The tags that the hub gives a repository."""
    tags = data.get("tags")
    if not isinstance(tags, list):
        return ()
    return tuple(one_line(tag, 80) for tag in tags if isinstance(tag, str))


def whole_number(value: object) -> int | None:
    """A count or a size in bytes from elsewhere, at most 16 TiB; None if it is none."""
    return value if type(value) is int and 0 <= value <= _LARGEST_SIZE else None


def _own_name(named: object, asked: str) -> str:
    """What the hub calls the repository: another name than ``asked`` where it was renamed.

    Raises: IntegrityError for a name that no repository has.
    """
    if named is None:
        return asked
    name = named if isinstance(named, str) else ""
    path_parts("repository", name)
    return name


def _files(siblings: object, name: str, commit: str) -> tuple[tuple[HubFile, ...], tuple[str, ...]]:
    """The files, and the names of those that not every system can store under their name."""
    files, skipped = [], []
    for entry in siblings if isinstance(siblings, list) else []:
        path = entry.get("rfilename") if isinstance(entry, dict) else None
        if not isinstance(path, str):
            continue
        if problem := problem_of("file", path):
            raise IntegrityError(
                f"{name} names a file {one_line(repr(path), 120)}: {problem}",
                "do not use this repository, and report it to the hub",
            )
        lfs = entry.get("lfs") if isinstance(entry.get("lfs"), dict) else {}
        said = lfs.get("size")
        size = whole_number(entry.get("size") if said is None else said)
        if size is None or not is_storable(path):
            skipped.append(one_line(path, 120))
            continue
        sha256 = lfs.get("sha256") or str(lfs.get("oid") or "").removeprefix("sha256:")
        files.append(
            HubFile(
                name,
                commit,
                path,
                size,
                _hash(sha256, _SHA256),
                _hash(entry["blobId"], _COMMIT) if "blobId" in entry else None,
            )
        )
    return tuple(files), tuple(skipped)


def _hash(value: object, form: re.Pattern[str]) -> str | None:
    text = value.lower() if isinstance(value, str) else ""
    return text if form.fullmatch(text) else None


def _licence(data: dict[str, Any]) -> tuple[str, str]:
    """Name and address of the licence; empty where the repository says none."""
    card = data.get("cardData")
    card = card if isinstance(card, dict) else {}
    name, link = card.get("license"), card.get("license_link")
    if name == "other":
        name = card.get("license_name") or name
    if not isinstance(name, str):
        tagged = [tag for tag in tags_of(data) if tag.startswith("license:")]
        name = tagged[0].removeprefix("license:") if tagged else ""
    usable = isinstance(link, str) and link.startswith("https://")
    return one_line(name, 80), one_line(str(link), 200) if usable else ""
