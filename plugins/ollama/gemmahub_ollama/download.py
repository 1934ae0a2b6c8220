"""Files of a tag into a folder: resumed where an earlier try left off, checked, then named.

A file is fetched under ``NAME.part`` and gets its name when its sha256 is right, so that nothing
half or wrong can be run.
"""

from __future__ import annotations

import errno
from hashlib import file_digest
from typing import TYPE_CHECKING, Final

from gemmahub.engines.sources import PROJECTOR, WEIGHTS, Pulled, PullProgress
from gemmahub.errors import DoesNotFit, FormatError, GemmahubError, IntegrityError
from gemmahub.records.whole_file import replace_file
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.sources import OnPull, Phase, RemoteArtifact, RemoteFile
    from gemmahub_ollama.place import TagAddress
    from gemmahub_ollama.registry import RegistryClient

_WANTED: Final = (WEIGHTS, PROJECTOR)


def missing_bytes(artifact: RemoteArtifact, folder: Path) -> int:
    """What has still to come, by the sizes of what is there."""
    missing = 0
    for file in wanted(artifact):
        path = folder / file.name
        part = _part(path)
        here = path if path.is_file() else part
        missing += max(0, file.size - (here.stat().st_size if here.is_file() else 0))
    return missing


def wanted(artifact: RemoteArtifact) -> list[RemoteFile]:
    """The files that a model is run with: weights and projector.

    Raises: FormatError for two files that would get the same name.
    """
    found = list({file.sha256: file for file in artifact.files if file.kind in _WANTED}.values())
    if len({file.name for file in found}) < len(found):
        raise FormatError(
            f"{one_line(artifact.name)} has more than one file of weights",
            "let the Ollama server fetch it (without --to), or choose another tag",
        )
    return found


def download(
    client: RegistryClient,
    place: TagAddress,
    artifact: RemoteArtifact,
    folder: Path,
    on_progress: OnPull,
) -> Pulled:
    """Fetch weights and projector into a folder.

    Raises: NetworkError, Gated, NotFound; IntegrityError for other content than the manifest says;
    DoesNotFit for a full disk.
    """
    before = client.received_bytes
    files = wanted(artifact)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            _fetch(client, place, file, folder / file.name, on_progress)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DoesNotFit(
                f"the disk of {folder} is full; the part that arrived is kept",
                "free some space, and run the same command again",
            ) from error
        raise GemmahubError(
            f"{error.filename or folder}: {error.strerror}", "choose another folder with --to"
        ) from error
    path = folder / files[0].name
    return Pulled(str(path), path, client.received_bytes - before)


def _fetch(
    client: RegistryClient,
    place: TagAddress,
    file: RemoteFile,
    path: Path,
    on_progress: OnPull,
) -> None:
    def tell(done: int, phase: Phase) -> None:
        on_progress(PullProgress(file.name, done, file.size, phase))

    digest = file.sha256 or ""
    if path.is_file() and path.stat().st_size == file.size and _sum(path) == digest:
        tell(file.size, "ready")
        return
    part = _part(path)
    done = part.stat().st_size if part.is_file() else 0
    if done > file.size:
        part.unlink()
        done = 0
    with part.open("ab") as target:
        for piece, _ in client.part(place, digest, done, file.size, file.size):
            target.write(piece)
            done += len(piece)
            tell(done, "fetching")
    tell(done, "verifying")
    if (found := _sum(part)) != digest:
        part.unlink()
        raise IntegrityError(
            f"{one_line(file.name)} came with sha256 {found[:12]}…, not {digest[:12]}…: "
            f"{format_bytes(file.size)} were discarded",
            "try again; if it persists, do not trust this registry",
        )
    replace_file(part, path)
    tell(done, "ready")


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
