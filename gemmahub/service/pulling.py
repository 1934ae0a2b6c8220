"""The use case: getting a model from a source, Hugging Face or a plugin's."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmahub.config.kept_names import forget_names
from gemmahub.engines.sources import WEIGHTS
from gemmahub.errors import (
    DoesNotFit,
    FormatError,
    GemmahubError,
    IntegrityError,
    NotFound,
    UsageError,
)
from gemmahub.formats.reader import FOLDER_FORMATS
from gemmahub.hub.reference import HuggingFaceReference
from gemmahub.registry.reference import (
    NameReference,
    PathReference,
    SourceReference,
    parse_reference,
)
from gemmahub.service.drafting import head_reference
from gemmahub.service.progress import Meter
from gemmahub.service.remote import find
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.catalog.records import CatalogVariant
    from gemmahub.engines.sources import Landing, Pulled, RemoteArtifact, RemoteFile
    from gemmahub.planning.fit import Fit
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.progress import OnPullProgress
    from gemmahub.service.remote import RemoteModel


@dataclass(frozen=True, slots=True)
class PullOptions:
    """``revision`` is a branch, tag or commit in place of the reference's own, ``to`` a folder in
    place of the source's choice; ``draft`` gets the head that drafts for the model, too."""

    revision: str | None = None
    projector: bool = True
    to: Path | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What pulling a model would do; nothing has been fetched but its header.

    ``remote`` and ``landing`` are None when the model is on this machine already, in another store.
    ``free_bytes`` is what is free where it lands, None where the system does not say.
    """

    variant: Variant
    fit: Fit
    remote: RemoteModel | None = None
    landing: Landing | None = None
    to: Path | None = None
    free_bytes: int | None = None

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """What is to be here afterwards, in the order in which it comes."""
        return self.remote.artifact.files if self.remote else ()

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.files)

    @property
    def fetch_bytes(self) -> int:
        """What has to come over the network."""
        return self.landing.need_bytes if self.landing else 0

    @property
    def short_bytes(self) -> int:
        """What is missing on the disk; 0 where it fits."""
        return 0 if self.free_bytes is None else max(0, self.fetch_bytes - self.free_bytes)

    @property
    def command(self) -> str:
        """What runs the model."""
        return self.use(self.variant.reference)

    def use(self, reference: str) -> str:
        """The command for what was pulled under this reference."""
        verb = "embed" if self.variant.embeds else "run" if self.variant.is_model else "inspect"
        return command_line(verb, reference)

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub pull --dry-run --json``."""
        artifact = self.remote.artifact if self.remote else None
        return {
            "reference": self.variant.reference,
            "name": self.variant.name,
            "format": self.variant.format,
            "kind": self.variant.kind,
            "precision": self.variant.precision.as_json(),
            "repository": (artifact.repository or None) if artifact else None,
            "revision": artifact.revision if artifact else None,
            "size_bytes": self.size_bytes if artifact else self.variant.size_bytes,
            "fetch_bytes": self.fetch_bytes,
            "destination": self.landing.how if self.landing else None,
            "free_bytes": self.free_bytes,
            "short_bytes": self.short_bytes,
            "fit": self.fit.as_json(),
            "places": [str(artifact.path) for artifact in self.variant.artifacts],
            "files": self._files_as_json(artifact.repository) if artifact else [],
            "notes": list(self.variant.notes),
            "command": self.command,
        }

    def _files_as_json(self, repository: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {
                "file": file.name,
                "kind": file.kind,
                "repository": file.repository or repository or None,
                "size_bytes": file.size,
                "sha256": file.sha256,
            }
            for file in self.files
        ]
        for entry, place in zip(found, self.landing.files if self.landing else (), strict=False):
            entry["fetch_bytes"] = entry["size_bytes"] - place.here_bytes
            entry["path"] = str(place.path)
        return found


def plan_pull(here: Installation, reference: str, options: PullOptions | None = None) -> PullPlan:
    """What pulling ``reference`` would do.

    Raises: UsageError for what no source has, and for options that it does not know; NotFound,
    Gated, NetworkError; FormatError for a file that is no model, NotFound for one that only belongs
    to a model and was not named; IntegrityError where the hub has
    another file than the catalogue; BackendMissing where it has no place to land.
    """
    options = options or PullOptions()
    name, known, variant = _wanted(here, reference, options)
    if variant is not None:
        if not options.draft:
            return PullPlan(variant, here.fits([variant])[0])
        name = head_reference(here, variant)  # the model is here
        options = replace(options, draft=False, projector=False)
    remote = find(here, name, options.revision, projector=options.projector, draft=options.draft)
    if known is not None and options.revision is None:
        _check_known(known, remote.artifact)
    landing = remote.landing(options.to)
    found = _described(here, remote, landing)
    parsed = parse_reference(name)
    if not found.is_model and isinstance(parsed, HuggingFaceReference) and not parsed.file:
        what, file = found.what.partition(":")[0], remote.artifact.weights[0].name
        raise NotFound(
            f"{one_line(reference)} is {what}, not a model: {one_line(file, 120)}",
            f"{command_line('pull', remote.artifact.reference)} downloads it anyway",
        )
    found = replace(
        found,
        licence=found.licence or remote.artifact.licence,
        notes=(
            *found.notes,
            *here.registry.installed().older_than(known.reference if known else found.reference),
            *_twins(here, remote),
        ),
    )
    free = _free(landing.folder) if landing.folder is not None else None
    return PullPlan(found, here.fits([found])[0], remote, landing, options.to, free)


def pull(
    here: Installation,
    plan: PullPlan,
    *,
    on_progress: OnPullProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Pulled:
    """Get what a plan says; what is in a store is listed afterwards. What is here is verified.

    Raises: DoesNotFit for a disk that is too small, or full before the end; NetworkError, Gated,
    NotFound; IntegrityError for content that is not what the source recorded; Cancelled.
    """
    from gemmahub.service.download_speed import TimedDownload

    if plan.remote is None:
        raise UsageError(f"{plan.variant.reference} is here already", plan.command)
    check_disk(plan)
    places = plan.landing.files if plan.landing else ()
    have = {file.name: place.here_bytes for file, place in zip(plan.files, places, strict=False)}
    timed = TimedDownload(Meter(have, {f.name: f.size for f in plan.files}, on_progress, cancelled))
    try:
        pulled = plan.remote.pull(plan.to, timed, cancelled)
    finally:  # what came before it was stopped says as much of the rate
        timed.remember(here)
    here.look_again()
    forget_names(here.config.cache)
    return pulled


def here_bytes(plan: PullPlan) -> int | None:
    """What is here of the files of a plan by now, also in parts; None where that is not known."""
    if plan.remote is None:
        return 0
    try:
        files = plan.remote.landing(plan.to).files
    except GemmahubError:
        return None
    return sum(file.here_bytes for file in files) if files else None


def check_disk(plan: PullPlan) -> None:
    """Raises: DoesNotFit where the disk is too small, with what is missing."""
    if plan.short_bytes and plan.landing is not None:
        raise DoesNotFit(
            f"it needs {format_bytes(plan.fetch_bytes)}, but only {format_bytes(plan.free_bytes)} "
            f"is free in {plan.landing.folder} ({format_bytes(plan.short_bytes)} short)",
            f"free some (gemmahub du, gemmahub rm), or {plan.landing.elsewhere}",
        )


def _wanted(
    here: Installation, reference: str, options: PullOptions
) -> tuple[str, CatalogVariant | None, Variant | None]:
    """What to ask a source for; the catalogue's entry where it is one of its names; the variant
    where another store has it already."""
    from gemmahub.planning.model import catalogued

    reference = here.registry.model_in(reference)
    parsed, shown = parse_reference(reference), one_line(reference)
    if isinstance(parsed, PathReference):
        raise UsageError(f"{shown} is a file or folder here", f"gemmahub run {shown}")
    catalog = here.registry.catalog
    if isinstance(parsed, NameReference) and catalog.model(parsed.name) is None:
        tag = catalog.published(str(parsed))
        parsed = parsed if tag is None else parse_reference(tag.reference)
    if isinstance(parsed, SourceReference) and (server := _server_of(here, str(parsed))):
        raise UsageError(
            f"{shown} is a model of the server {server}: there is nothing to pull",
            f"gemmahub run {shown}",
        )
    if isinstance(parsed, SourceReference | HuggingFaceReference):
        (name,) = here.sources.full_names(parsed)
        return name, None, None
    variant, _ = here.chosen(reference)
    entry = catalogued(variant, catalog)
    known = entry[1] if entry else None
    if variant.artifacts and options.revision is None and not _pulled_from(variant, known):
        return "", None, variant
    if known is None:
        raise NotFound(
            f"the place of {shown} on Hugging Face is unknown",
            "name the repository: user/repo:Q4_0",
        )
    return known.reference, known, None


def _server_of(here: Installation, reference: str) -> str:
    """The server that offers a model under this reference, where no source answers for it."""
    if here.sources.of(reference) is not None:
        return ""
    models = here.registry.servers().models
    return next((m.place or m.backend for m in models if m.reference == reference), "")


def _pulled_from(variant: Variant, known: CatalogVariant | None) -> bool:
    """Whether it lies in the Hugging Face cache, from the repository that the catalogue names."""
    return known is not None and any(
        artifact.store == "huggingface" and artifact.repository.lower() == known.repository.lower()
        for artifact in variant.artifacts
    )


def _check_known(known: CatalogVariant, found: RemoteArtifact) -> None:
    """A catalogue name means the file that the catalogue knows, and no other."""
    pairs = [(known.sha256, found.weights[0])]
    if known.projector is not None and found.projector is not None:
        pairs.append((known.projector.sha256, found.projector))
    if known.drafter is not None and found.drafter is not None:
        pairs.append((known.drafter.sha256, found.drafter))
    for sha256, file in pairs:
        if sha256 and file.sha256 and sha256 != file.sha256:
            raise IntegrityError(
                f"{one_line(file.name, 120)} of {file.repository or found.repository} is not "
                f"the file that the catalogue knows: sha256 {file.sha256[:12]}…, not "
                f"{sha256[:12]}…",
                f"to download the present file, use: gemmahub pull {found.reference}",
            )


def _described(here: Installation, remote: RemoteModel, landing: Landing) -> Variant:
    """The variant, from the file where it is here, else from its header in the source."""
    artifact = remote.artifact
    weights = [
        place
        for file, place in zip(artifact.files, landing.files, strict=False)
        if file.kind == WEIGHTS and place.here_bytes == file.size and place.path.exists()
    ]
    if len(weights) == len(artifact.weights):
        paths = tuple(place.path for place in weights)
        path = paths[0].parent if artifact.format in FOLDER_FORMATS else paths[0]
        with suppress(IntegrityError, FormatError):  # a damaged file, which is fetched again
            return remote.described(here, here.registry.inspector.summary(path, paths))
    return remote.described_at_least(here)


def _twins(here: Installation, remote: RemoteModel) -> list[str]:
    """Where else on this machine the same content is, as notes."""
    sha256, own = remote.artifact.weights[0].sha256, remote.source.name
    return [
        f"the same file is in {artifact.store or 'a folder'} already: {artifact.path}; "
        "gemmahub dedupe lets both share disk space"
        for variant in here.registry.installed().files
        for artifact in variant.artifacts
        if sha256 and artifact.sha256 == sha256 and artifact.store != own
    ]


def _free(folder: Path) -> int | None:
    """What is free where a folder is, or will be made."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None
