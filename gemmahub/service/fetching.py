"""The use case: getting a model from the source of a plugin."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.errors import DoesNotFit
from gemmahub.hub.download_records import Progress
from gemmahub.registry.reference import NameReference, SourceReference, parse_reference
from gemmahub.service.elsewhere import find
from gemmahub.text import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.engines.sources import Landing, Pulled, PullProgress, RemoteArtifact
    from gemmahub.hub.download_records import OnDownload
    from gemmahub.planning.fit import Fit
    from gemmahub.registry.variants import Variant
    from gemmahub.service.elsewhere import Elsewhere
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What getting a model from a plugin's source would do; only its header has been read.

    ``to`` is the folder that was named for it. ``free_bytes`` is what is free where it lands, None
    where that is not known.
    """

    elsewhere: Elsewhere
    fit: Fit
    landing: Landing
    to: Path | None = None
    free_bytes: int | None = None

    @property
    def variant(self) -> Variant:
        """What it is."""
        return self.elsewhere.variant

    @property
    def fetch_bytes(self) -> int:
        """What has to come over the network."""
        return self.landing.need_bytes

    @property
    def short_bytes(self) -> int:
        """What is missing on the disk; 0 where it fits."""
        return 0 if self.free_bytes is None else max(0, self.fetch_bytes - self.free_bytes)

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub pull --dry-run --json``."""
        found, variant = self.elsewhere.artifact, self.variant
        return {
            "reference": found.reference,
            "name": variant.name,
            "format": variant.format,
            "precision": variant.precision.as_json(),
            "repository": found.repository or None,
            "revision": found.revision,
            "size_bytes": found.download_bytes,
            "fetch_bytes": self.fetch_bytes,
            "destination": self.landing.how,
            "free_bytes": self.free_bytes,
            "short_bytes": self.short_bytes,
            "fit": self.fit.as_json(),
            "files": [
                {"file": f.name, "kind": f.kind, "size_bytes": f.size, "sha256": f.sha256}
                for f in found.files
            ],
            "notes": list(variant.notes),
        }


def prepare(here: Installation, reference: str, to: Path | None = None) -> FetchPlan | None:
    """What getting ``reference`` would do; None for what is in no plugin's source.

    Raises: NotFound, NetworkError, Gated, FormatError, IntegrityError; BackendMissing where it has
    no place to land.
    """
    from gemmahub.planning import fits_of

    parsed, catalog = parse_reference(reference), here.registry.catalog
    if isinstance(parsed, NameReference) and catalog.model(parsed.name) is None:
        tag = catalog.published(str(parsed))
        parsed = parsed if tag is None else parse_reference(tag.reference)
    if not isinstance(parsed, SourceReference):
        return None
    found = find(here, *here.sources.full_names(parsed))
    if found is None:
        return None
    landing = found.landing(to)
    (fit,) = fits_of([found.variant], here.registry.catalog, here.hardware())
    free = _free(landing.folder) if landing.folder is not None else None
    return FetchPlan(found, fit, landing, to, free)


def execute(here: Installation, plan: FetchPlan, on_progress: OnDownload | None = None) -> Pulled:
    """Get what a plan says; what is in a store is listed afterwards.

    Raises: DoesNotFit for a disk that is too small; what the source raises.
    """
    check_disk(plan)
    report = None if on_progress is None else _Meter(plan.elsewhere.artifact, on_progress)
    pulled = plan.elsewhere.pull(plan.to, report)
    here.look_again()
    return pulled


def check_disk(plan: FetchPlan) -> None:
    """Raises: DoesNotFit where the disk is too small, with what is missing."""
    if plan.short_bytes:
        raise DoesNotFit(
            f"{format_bytes(plan.fetch_bytes)} are to fetch and {format_bytes(plan.free_bytes)} "
            f"are free at {plan.landing.folder}: {format_bytes(plan.short_bytes)} too little",
            "free some (gemmahub du, gemmahub rm), or --to a folder on another disk",
        )


class _Meter:
    """Makes of a source's progress what a download reports: all files, rate, time left."""

    def __init__(
        self,
        artifact: RemoteArtifact,
        report: OnDownload,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._sizes = {file.name: file.size for file in artifact.files}
        self._done: dict[str, int] = {}
        self._first: dict[str, tuple[float, int]] = {}

    def __call__(self, progress: PullProgress) -> None:
        name, size = progress.file, progress.total_bytes
        if name not in self._sizes:  # a step that is about no file
            return
        now, done = self._clock(), progress.done_bytes
        self._done[name] = done
        began, at_first = self._first.setdefault(name, (now, done))
        seconds, came = now - began, done - at_first
        rate = came / seconds if seconds > 0.5 and came > 0 else None
        left, all_done, in_all = size - done, sum(self._done.values()), sum(self._sizes.values())
        self._report(
            Progress(
                file=name,
                phase="verifying" if left <= 0 else "fetching",
                done_bytes=done,
                size=size,
                all_done_bytes=all_done,
                all_bytes=in_all,
                files_done=sum(self._done.get(n, -1) >= s for n, s in self._sizes.items()),
                files=len(self._sizes),
                bytes_per_second=rate,
                seconds_left=left / rate if rate else None,
                all_seconds_left=(in_all - all_done) / rate if rate else None,
            )
        )


def _free(folder: Path) -> int | None:
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None
