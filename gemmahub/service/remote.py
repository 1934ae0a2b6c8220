"""The use case: what a model on Hugging Face is, before it is fetched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact
from gemmahub.errors import Gated, NetworkError, NotFound, NotInstalled, UsageError
from gemmahub.hub.reference import HuggingFaceReference
from gemmahub.registry.reference import SourceReference, parse_reference
from gemmahub.text import format_bytes, one_line, plural

if TYPE_CHECKING:
    from gemmahub.catalog.records import CatalogVariant
    from gemmahub.hardware.records import Machine
    from gemmahub.hub import HubModel, RemoteModel, Traffic
    from gemmahub.planning.header import Fetch
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class Looked:
    """What a reference names. ``fetch_header`` writes the header of what is not here into a folder,
    for a dry load; None for what is here or only in the catalogue."""

    variant: Variant
    fetch_header: Fetch | None = None


def look(
    here: Installation,
    reference: str,
    machine: Machine | None = None,
    *,
    remote: bool = False,
) -> Looked:
    """The variant that a reference names: on this machine, in the catalogue, or on the hub.

    What is neither here nor in the catalogue is read from its header on the hub; ``remote`` reads
    that also for what the catalogue knows, or for what is here.

    Raises: UsageError, NotFound, FormatError, IntegrityError, Gated, NetworkError.
    """
    try:
        variant, _ = here.resolve(reference, machine)
    except NotInstalled as missing:
        if (looked := _elsewhere(here, missing)) is not None:
            return looked
        model = _resolved(here, reference, missing)
        found = remote_variant(here, here.hub.remote_model(model))
        return Looked(found, header_on_the_hub(here, model))
    if not remote:
        return Looked(variant)
    model = on_the_hub(here, variant, reference)
    found = remote_variant(here, here.hub.remote_model(model))
    found = replace(found, artifacts=variant.artifacts)
    return Looked(found, header_on_the_hub(here, model))


def header_on_the_hub(here: Installation, model: HubModel | CatalogVariant) -> Fetch:
    """What writes the header of a model on the hub into a folder."""
    return lambda folder: here.hub_at_once.write_remote_header(model, folder)


def _resolved(here: Installation, reference: str, missing: NotInstalled) -> HubModel:
    """Where it lies on the hub. Raises also: NetworkError, saying that it is nowhere else."""
    try:
        return here.hub.resolve(reference)
    except Gated:
        raise
    except NetworkError as error:
        raise NetworkError(f"{missing.message}, and {error.message}", error.hint) from error


def _elsewhere(here: Installation, missing: NotInstalled) -> Looked | None:
    """What a plugin's source has; None for a reference that is not one of a source.

    Raises: NotFound with what the catalogue knows, where the source cannot be asked or has it not.
    """
    from gemmahub.service.elsewhere import find

    try:
        found = find(here, missing.reference)
    except (NotFound, NetworkError) as error:
        raise NotFound(f"{missing.message} ({error.message})", missing.hint) from error
    if found is None:
        if isinstance(parse_reference(missing.reference), SourceReference):
            raise missing
        return None
    known = () if missing.hint.startswith("gemmahub pull") else (missing.hint,)
    variant = replace(found.variant, notes=(*found.variant.notes, *known))
    return Looked(variant, fetch_header=found.write_header)


def on_the_hub(here: Installation, variant: Variant, reference: str) -> HubModel:
    """Where a variant lies on the hub.

    Raises: UsageError for one that is only here; NotFound, Gated, NetworkError.
    """
    from gemmahub.planning.model import catalogued

    parsed = parse_reference(reference)
    if isinstance(parsed, HuggingFaceReference):
        return here.hub.resolve(parsed)
    entry = catalogued(variant, here.registry.catalog)
    if entry is None:
        raise UsageError(
            f"where {one_line(reference)} lies on Hugging Face is not known",
            "name the repository: user/repo:Q4_0",
        )
    return here.hub.resolve(entry[1])


def remote_variant(here: Installation, remote: RemoteModel) -> Variant:
    """A model on the hub as the registry describes one: its precision measured from the header."""
    from gemmahub.registry.artifacts import summary_of

    source = remote.source
    found = here.registry.described(artifact_of(source), summary_of(remote.model))
    return replace(
        found, artifacts=(), remote=place_of(source), notes=(*found.notes, *source.notes)
    )


def artifact_of(model: HubModel) -> Artifact:
    """A model on the hub as a record of files; their paths are those in the repository."""
    first = model.files[0]
    folder = Path(first.path).parent.name or model.repository.name.rpartition("/")[2]
    path = Path(first.path) if model.format == "gguf" else Path(folder)
    return Artifact(
        format=model.format,
        path=path,
        files=tuple(Path(file.path) for file in model.files),
        name=path.name if model.format != "gguf" else path.stem,
        repository=model.repository.name,
        revision=model.repository.commit,
        sha256=first.sha256 if len(model.files) == 1 else None,
        projector=Path(model.projector.path) if model.projector else None,
        reference=model.reference,
    )


def place_of(model: HubModel) -> str:
    """Where a model lies on the hub, with its commit."""
    first, repository = model.files[0], model.repository
    inside = f"/{first.path}" if model.format == "gguf" else ""
    return f"hf.co/{repository.name}{one_line(inside, 120)} at {repository.commit[:12]}"


def moved_text(traffic: Traffic, size_bytes: int | None) -> str:
    """What was moved to look at a model: ``moved 6.40 MB of 17.2 GB in 5 requests``."""
    of = f" of {format_bytes(size_bytes)}" if size_bytes else ""
    return (
        f"moved {format_bytes(traffic.received_bytes)}{of} in {plural(traffic.requests, 'request')}"
    )
