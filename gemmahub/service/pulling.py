"""The use case: getting a model from Hugging Face into its cache."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmahub.errors import (
    DoesNotFit,
    FormatError,
    IntegrityError,
    NetworkError,
    NotFound,
    UsageError,
)
from gemmahub.hub.reference import HuggingFaceReference
from gemmahub.registry.reference import (
    NameReference,
    PathReference,
    SourceReference,
    parse_reference,
    unknown_scheme,
)
from gemmahub.service.remote import artifact_of, place_of, remote_variant
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.catalog.records import CatalogVariant, Model
    from gemmahub.hub import DownloadPlan, HubModel, Pulled
    from gemmahub.hub.download_records import OnDownload
    from gemmahub.planning.fit import Fit
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class PullOptions:
    """``revision`` is a branch, tag or commit in place of the reference's own."""

    revision: str | None = None
    projector: bool = True


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What pulling a model would do; nothing has been fetched but its header.

    ``download`` is None when the model is on this machine already, in another store. ``free_bytes``
    is what is free at the destination, None where the system does not say.
    """

    variant: Variant
    fit: Fit
    download: DownloadPlan | None = None
    free_bytes: int | None = None

    @property
    def fetch_bytes(self) -> int:
        """What has to come over the network."""
        return self.download.fetch_bytes if self.download else 0

    @property
    def short_bytes(self) -> int:
        """What is missing on the disk; 0 where it fits."""
        return 0 if self.free_bytes is None else max(0, self.fetch_bytes - self.free_bytes)

    @property
    def command(self) -> str:
        """What runs the model."""
        return command_line("run", self.variant.reference)

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub pull --dry-run --json``."""
        plan, precision = self.download, self.variant.precision
        return {
            "reference": self.variant.reference,
            "name": self.variant.name,
            "format": self.variant.format,
            "precision": precision.as_json(),
            "repository": plan.model.repository.name if plan else None,
            "revision": plan.model.repository.commit if plan else None,
            "size_bytes": plan.size_bytes if plan else self.variant.size_bytes,
            "fetch_bytes": self.fetch_bytes,
            "destination": str(plan.folder) if plan else None,
            "free_bytes": self.free_bytes,
            "short_bytes": self.short_bytes,
            "fit": self.fit.as_json(),
            "places": [str(artifact.path) for artifact in self.variant.artifacts],
            "files": [
                {
                    "file": planned.file.path,
                    "repository": planned.file.repository,
                    "size_bytes": planned.file.size,
                    "fetch_bytes": planned.fetch_bytes,
                    "sha256": planned.file.sha256,
                    "path": str(planned.path),
                }
                for planned in (plan.files if plan else ())
            ],
            "notes": list(self.variant.notes),
            "command": self.command,
        }


def prepare(here: Installation, reference: str, options: PullOptions) -> PullPlan:
    """What pulling ``reference`` would do.

    Raises: UsageError for what Hugging Face has not; NotFound, Gated, NetworkError; FormatError for
    a file that is no model; IntegrityError where the hub has another file than the catalogue.
    """
    from gemmahub.stores.hf_cache import cache_folder

    wanted, variant = _wanted(here, reference, options.revision)
    if variant is not None and wanted is None:
        return PullPlan(variant, _fit(here, variant))
    assert wanted is not None
    model = here.hub.resolve(wanted)
    if not isinstance(wanted, HuggingFaceReference):
        _check_known(wanted, model)
    download = here.hub.plan_download(model, cache_folder(), projector=options.projector)
    found = _described(here, download)
    found = replace(found, notes=(*found.notes, *_twins(here, model)))
    return PullPlan(found, _fit(here, found), download, _free(download.folder))


def execute(
    here: Installation,
    plan: PullPlan,
    *,
    on_progress: OnDownload | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Pulled:
    """Get what a plan says; the model is listed afterwards. What is here already is verified.

    Raises: DoesNotFit for a disk that is too small, or full before the end; NetworkError, Gated,
    NotFound; IntegrityError for content that is not what the hub recorded; Cancelled.
    """
    if plan.download is None:
        raise UsageError(f"{plan.variant.reference} is here already", plan.command)
    check_disk(plan)
    pulled = here.hub.download(
        plan.download, here.sums, on_progress=on_progress, cancelled=cancelled
    )
    here.look_again()
    return pulled


def here_bytes(plan: PullPlan) -> int:
    """What is here of the files of a plan by now, also in parts; nobody is asked."""
    from gemmahub.hub.download_place import CachePlace

    if plan.download is None:
        return 0
    folder = plan.download.folder
    return sum(CachePlace(folder, planned.file).here_bytes() for planned in plan.download.files)


def check_disk(plan: PullPlan) -> None:
    """Raises: DoesNotFit where the disk is too small, with what is missing."""
    if plan.short_bytes and plan.download is not None:
        raise DoesNotFit(
            f"{format_bytes(plan.fetch_bytes)} are to fetch and {format_bytes(plan.free_bytes)} "
            f"are free at {plan.download.folder}: {format_bytes(plan.short_bytes)} too little",
            "free some (gemmahub du, gemmahub rm), or set HF_HOME to a folder on another disk",
        )


def _wanted(
    here: Installation, reference: str, revision: str | None
) -> tuple[HuggingFaceReference | CatalogVariant | None, Variant | None]:
    """What to ask the hub for; nothing, and the variant, where another store has it already."""
    from gemmahub.planning.model import catalogued

    parsed, shown = parse_reference(reference), one_line(reference)
    if isinstance(parsed, PathReference):
        raise UsageError(f"{shown} is a file or folder here", f"gemmahub run {shown}")
    if isinstance(parsed, SourceReference):
        raise unknown_scheme(reference)
    if isinstance(parsed, HuggingFaceReference):
        return (parsed if revision is None else replace(parsed, revision=revision)), None
    assert isinstance(parsed, NameReference)
    variant, _ = here.resolve(reference)
    entry = catalogued(variant, here.registry.catalog)
    if variant.artifacts and revision is None and not _pulled_from(variant, entry):
        return None, variant
    if entry is None:
        raise NotFound(
            f"where {shown} lies on Hugging Face is not known",
            "name the repository: user/repo:Q4_0",
        )
    if revision is not None:
        known = entry[1]
        return HuggingFaceReference(known.repository, known.file, revision=revision), None
    return entry[1], None


def _pulled_from(variant: Variant, entry: tuple[Model, CatalogVariant] | None) -> bool:
    """Whether it lies in the Hugging Face cache, from the repository that the catalogue names."""
    repository = entry[1].repository.lower() if entry else None
    return any(
        artifact.store == "huggingface" and artifact.repository.lower() == repository
        for artifact in variant.artifacts
    )


def _check_known(known: CatalogVariant, model: HubModel) -> None:
    """A catalogue name means the file that the catalogue knows, and no other."""
    pairs = [(known.sha256, model.files[0])]
    if known.projector is not None and model.projector is not None:
        pairs.append((known.projector.sha256, model.projector))
    for sha256, file in pairs:
        if sha256 and file.sha256 and sha256 != file.sha256:
            raise IntegrityError(
                f"{one_line(file.path, 120)} of {file.repository} is another file than the "
                f"catalogue knows: sha256 {file.sha256[:12]}…, not {sha256[:12]}…",
                f"to take what is there now, name it: gemmahub pull {model.reference}",
            )


def _described(here: Installation, download: DownloadPlan) -> Variant:
    """The variant, from the file where it is here, else from its header on the hub."""
    from gemmahub.hub.failures import RangesIgnored

    model = download.model
    files = set(model.files)
    weights = [p for p in download.files if p.file in files]
    if all(p.path.exists() and not p.fetch_bytes for p in weights):
        path = weights[0].path if model.format == "gguf" else weights[0].path.parent
        with suppress(IntegrityError, FormatError):  # a damaged file, which is fetched again
            summary = here.registry.inspector.summary(path, tuple(p.path for p in weights))
            found = here.registry.described(artifact_of(model), summary)
            return replace(found, artifacts=(), notes=(*found.notes, *model.notes))
    try:
        return remote_variant(here, here.hub.remote_model(model))
    except RangesIgnored as error:
        return _by_name(here, model, error)


def _by_name(here: Installation, model: HubModel, error: NetworkError) -> Variant:
    """What the names say, where a server does not give a header alone."""
    from gemmahub.registry.artifacts import FileSummary

    artifact = artifact_of(model)
    summary = FileSummary(model.format, model.size_bytes, (), {}, model.label, chat_template=False)
    found = here.registry.described(artifact, summary)
    note = f"not measured before it is here: {error.message}"
    return replace(found, artifacts=(), remote=place_of(model), notes=(*found.notes, note))


def _twins(here: Installation, model: HubModel) -> list[str]:
    """Where else on this machine the same content lies, as notes."""
    sha256 = model.files[0].sha256
    return [
        f"the same file is in {artifact.store or 'a folder'} already: {artifact.path}; "
        "gemmahub dedupe lets both share their place"
        for variant in here.registry.installed().variants
        for artifact in variant.artifacts
        if sha256 and artifact.sha256 == sha256 and artifact.store != "huggingface"
    ]


def _fit(here: Installation, variant: Variant) -> Fit:
    from gemmahub.planning import fits_of

    return fits_of([variant], here.registry.catalog, here.hardware())[0]


def _free(folder: Path) -> int | None:
    """What is free where a folder is, or will be made."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None


__all__ = ["PullOptions", "PullPlan", "check_disk", "execute", "here_bytes", "prepare"]
