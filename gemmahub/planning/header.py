"""A file for a dry load: the model's own, or one that has its header and no weights."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gemmahub.catalog.header import write_catalog_header
from gemmahub.engines.contract import Artifact
from gemmahub.errors import GemmahubError, NetworkError, NotFound
from gemmahub.planning.model import catalogued
from gemmahub.text import one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.catalog.records import Catalog
    from gemmahub.registry.variants import Variant


@dataclass(frozen=True, slots=True)
class Header:
    """What a dry load reads; ``remark`` says where it came from when it is not the model's file."""

    artifact: Artifact
    remark: str = ""


Fetch: TypeAlias = "Callable[[Path], Path]"
"""Writes a header that is read from a server into a folder; returns the path to load."""


@contextmanager
def header_of(variant: Variant, catalog: Catalog, fetch: Fetch | None = None) -> Iterator[Header]:
    """A file whose header is that of the variant; a temporary one is removed afterwards.

    In this order: the file on this machine, its header on the server (``fetch``, which says more
    than the catalogue), a header made from the catalogue where the server cannot be asked.

    Raises: NotFound when there is none; GemmahubError when the file cannot be written, and what
    ``fetch`` raises where the catalogue does not know the file.
    """
    if variant.artifacts:
        yield Header(variant.artifacts[0])
        return
    with tempfile.TemporaryDirectory(prefix="gemmahub-", ignore_cleanup_errors=True) as folder:
        if fetch is None:
            yield _from_catalog(variant, catalog, Path(folder))
            return
        try:
            header = _fetched(variant, Path(folder), fetch)
        except NetworkError as error:
            if catalogued(variant, catalog) is None:
                raise
            header = _from_catalog(variant, catalog, Path(folder))
            remark = f"{header.remark} ({one_line(error.message)})"
            header = replace(header, remark=remark)
        yield header


def _fetched(variant: Variant, folder: Path, fetch: Fetch) -> Header:
    try:
        path = fetch(folder / "model")
    except OSError as error:
        raise _unwritable(variant, folder, error) from None
    return Header(
        Artifact(variant.format, path, (path,), name=variant.name),
        "the engine was asked with the header of the remote file",
    )


def _from_catalog(variant: Variant, catalog: Catalog, folder: Path) -> Header:
    entry = catalogued(variant, catalog)
    if entry is None or variant.format != "gguf":
        raise NotFound(
            f"{variant.reference} is not on this machine, so its header is missing",
            f"plan without --exact, or {command_line('pull', variant.reference)}",
        )
    path = folder / "header.gguf"
    try:
        write_catalog_header(*entry, path)
    except OSError as error:
        raise _unwritable(variant, folder, error) from None
    return Header(
        Artifact("gguf", path, (path,), name=variant.name),
        "the engine was asked with a header made from the catalogue",
    )


def _unwritable(variant: Variant, folder: Path, error: OSError) -> GemmahubError:
    return GemmahubError(
        f"a header of {variant.reference} cannot be written to {folder}: {error.strerror}",
        "set TMPDIR to a folder that can hold a sparse file of the model's size",
    )
