"""What a test does with a hub, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gemmahub.catalog.records import CatalogVariant
from gemmahub.service.remote import RemoteModel

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.sources import PulledFile, RemoteArtifact
    from gemmahub.formats.reader import ModelFile
    from gemmahub.hub.source import Hub


def found(hub: Hub, named: str | CatalogVariant | RemoteArtifact) -> RemoteArtifact:
    """What names a model, looked up."""
    if isinstance(named, CatalogVariant):
        return hub.find(named.reference)
    return hub.find(named) if isinstance(named, str) else named


def read(hub: Hub, named: str | CatalogVariant | RemoteArtifact) -> ModelFile:
    """The model as its headers describe it."""
    return RemoteModel(hub, found(hub, named)).headers()


def write_header(hub: Hub, named: str | CatalogVariant | RemoteArtifact, folder: Path) -> Path:
    """A file for a dry load."""
    return RemoteModel(hub, found(hub, named)).write_header(folder)


class Here(NamedTuple):
    """A model that was pulled into the Hugging Face cache, which has a path there."""

    path: Path
    moved_bytes: int
    files: tuple[PulledFile, ...]


def pull(hub: Hub, named: str | RemoteArtifact, **options: Any) -> Here:
    """Into the cache of this test."""
    done = hub.pull(found(hub, named), **options)
    assert done.path is not None
    return Here(done.path, done.moved_bytes, done.files)


def need_bytes(hub: Hub, named: str) -> int:
    """What of a model is not here."""
    return hub.landing(hub.find(named)).need_bytes
