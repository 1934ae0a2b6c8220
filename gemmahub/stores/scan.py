"""Which files of a folder are models: whole GGUF files, split ones, folders with safetensors.

Only names and sizes are looked at, and no file is opened but those beside a projector: an inventory
of hundreds of models has to take milliseconds. Split files are named as llama.cpp names them
(``llama_split_path`` in ``src/llama.cpp``: ``%s-%05d-of-%05d.gguf``), projectors carry ``mmproj``
in their name.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import BrokenEntry, last_read
from gemmahub.formats.folder import ADAPTER_CONFIG, CONFIG
from gemmahub.formats.kinds import DRAFTER, PROJECTOR, is_projector
from gemmahub.formats.numbered import gaps
from gemmahub.formats.split import split_key
from gemmahub.stores.companions import best_fitting, seam_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_CONFIGS: Final = (CONFIG, ADAPTER_CONFIG)


@dataclass(frozen=True, slots=True)
class Found:
    """A model among the files of a folder. ``problem`` says what is wrong, empty when nothing is.

    ``format`` is that of its name: of ``safetensors`` the header tells what is MLX. ``path`` is the
    file (the first part), or the folder of a folder format; ``files`` are the parts of a GGUF
    model, empty for a folder.
    """

    format: str
    path: Path
    files: tuple[Path, ...] = ()
    projector: Path | None = None
    last_used: float | None = None
    problem: str = ""


def walk(
    root: str,
    on_error: Callable[[OSError], None],
    *,
    hidden: bool = False,
    links: bool = False,
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Each folder below ``root`` with its entries by name.

    Hidden folders and files are left out: downloaders keep their state there. With ``links``, links
    to folders are followed, after all others and each folder once: a model that a folder and a link
    lead to lies in the folder, and circles end.
    """
    waiting, linked = [root], deque[str]()
    seen: set[tuple[int, int]] = set()
    while waiting or linked:
        folder = waiting.pop() if waiting else linked.popleft()
        try:
            if links:
                status = os.stat(folder)  # noqa: PTH116 - for each of thousands
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                entries = sorted(
                    (e for e in found if hidden or not e.name.startswith(".")),
                    key=lambda e: e.name,
                )
        except OSError as error:
            on_error(error)
            continue
        yield folder, entries
        waiting += [e.path for e in reversed(entries) if e.is_dir(follow_symlinks=False)]
        if links:
            linked += [e.path for e in entries if e.is_symlink() and _is_folder(e)]


def _is_folder(link: os.DirEntry[str]) -> bool:
    try:
        return link.is_dir()
    except OSError:  # a link to itself, or into a folder that is closed
        return False


def models_among(
    folder: str,
    entries: Sequence[os.DirEntry[str]],
    *,
    folders: bool = True,
    above: Sequence[Path] = (),
    formats: Mapping[str, str] | None = None,
) -> list[Found]:
    """The models in one folder; ``folders`` also takes it as a model folder, if it is one.

    ``above`` are projectors in the folder above, for models in a folder without any (llama.cpp's
    ``find_best_mmproj`` in ``common/download.cpp`` takes the nearest folder's). ``formats`` are
    further formats of single files, by the ends of their names in small letters.
    """
    found: list[Found] = []
    times: dict[str, float | None] = {}
    whole: list[str] = []
    splits: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    own: list[Path] = []
    for entry in entries:
        if not entry.name.lower().endswith(".gguf"):
            continue
        problem, times[entry.path] = _look(entry)
        if problem is None:
            continue
        if problem:
            found.append(Found("gguf", Path(entry.path), problem=problem))
        elif is_projector(entry.name):
            own.append(Path(entry.path))
        elif key := split_key(entry.name):
            stem, number, count = key
            splits[stem, count][number] = entry.path
        else:
            whole.append(entry.path)
    projectors = (own, above)
    for path in whole:
        found.append(_gguf((path,), projectors, times))
    for (_, count), parts in splits.items():
        missing = gaps(count, parts)
        problem = f"part {missing.first[0]} of {count} is missing" if missing.total else ""
        files = tuple(parts[n] for n in sorted(parts))
        found.append(_gguf(files, projectors, times, problem))
    if folders and (model := _model_folder(folder, entries)):
        found.append(model)
    found += _of_formats(entries, formats or {})
    return sorted(found, key=lambda model: str(model.path))


def absence(folder: Path) -> str | None:
    """Why a folder cannot be listed: empty where it is not there, None when nothing is wrong."""
    try:
        status = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or "unreadable"
    return None if stat.S_ISDIR(status.st_mode) else "it is not a folder"


def broken_link(path: str) -> str:
    """What is wrong with a link that leads nowhere."""
    try:
        return f"a link to {Path(path).readlink()}, which is missing"
    except OSError as error:
        return error.strerror or "unreadable"


def broken_folder(store: str, broken: list[BrokenEntry]) -> Callable[[OSError], None]:
    """Takes down a folder that cannot be read; one that vanished meanwhile is nothing."""

    def report(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            reason = error.strerror or "unreadable"
            broken.append(BrokenEntry(Path(os.fsdecode(error.filename)), store, reason))

    return report


def _look(entry: os.DirEntry[str]) -> tuple[str | None, float | None]:
    """What is wrong with a file (None: it is a folder), and when it was last read."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return broken_link(entry.path), None
    except OSError as error:
        return error.strerror or "unreadable", None
    if stat.S_ISDIR(status.st_mode):
        return None, None
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file", None
    return "", last_read(status)


def _gguf(
    files: tuple[str, ...],
    projectors: tuple[Sequence[Path], ...],
    times: dict[str, float | None],
    problem: str = "",
) -> Found:
    paths = tuple(Path(file) for file in files)
    last_used = _latest(times[file] for file in files)
    nearest = (best_fitting(paths[0], some) for some in projectors)
    projector = next(filter(None, nearest), None)
    return Found("gguf", paths[0], paths, projector, last_used, problem)


def _of_formats(entries: Sequence[os.DirEntry[str]], formats: Mapping[str, str]) -> Iterator[Found]:
    """Files whose names end as those of further formats do."""
    for entry in entries if formats else ():
        name = entry.name.lower()
        format_ = next((f for suffix, f in formats.items() if name.endswith(suffix)), None)
        if format_ is not None:
            problem, last_used = _look(entry)
            if problem is not None:
                path = Path(entry.path)
                yield Found(format_, path, (path,), last_used=last_used, problem=problem)


def projector_beside(path: Path) -> Path | None:
    """The projector in the folder of a GGUF file that somebody names by its path."""
    if not path.name.lower().endswith(".gguf") or is_projector(path.name):
        return None
    try:
        files = [file for file in path.parent.iterdir() if file.suffix.lower() == ".gguf"]
    except OSError:
        return None
    found = [file for file in files if is_projector(file.name) or seam_of(file).kind == PROJECTOR]
    return best_fitting(path, found)


def drafter_beside(path: Path) -> Path | None:
    """The drafter in the folder of a GGUF file, or in ``MTP`` there, that may fit it."""
    for folder in (path.parent, path.parent / "MTP"):
        try:
            files = [file for file in folder.iterdir() if file.suffix.lower() == ".gguf"]
        except OSError:
            continue
        found = best_fitting(path, [file for file in files if seam_of(file).kind == DRAFTER])
        if found is not None:
            return found
    return None


def _model_folder(folder: str, entries: Sequence[os.DirEntry[str]]) -> Found | None:
    """The folder as a model: it has a config and safetensors. A broken link in it is told."""
    weights = [e for e in entries if e.name.lower().endswith(".safetensors")]
    if not weights or all(e.name not in _CONFIGS for e in entries):
        return None
    looks = [_look(entry) for entry in weights]
    problems = [problem for problem, _ in looks if problem]
    times = [when for problem, when in looks if problem == ""]
    if not times and not problems:
        return None
    problem = problems[0] if problems else ""
    return Found("safetensors", Path(folder), last_used=_latest(times), problem=problem)


def _latest(times: Iterable[float | None]) -> float | None:
    known = [when for when in times if when is not None]
    return max(known) if known else None
