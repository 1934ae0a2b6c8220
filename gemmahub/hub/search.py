"""Search: repositories with the models in them, and the precision of each as far as it is known.

The hub finds repositories by words in their names. What lies in them is asked for one by one, a
few at a time; no file is opened.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.records import WHOLE
from gemmahub.engines.sources import FoundFile, FoundRepository
from gemmahub.errors import GemmahubError, NetworkError
from gemmahub.formats.kinds import EMBEDDING, TEXT, kind_of
from gemmahub.formats.reader import FOLDER_FORMATS
from gemmahub.hub import failures
from gemmahub.hub.choose import folder_of, label_of, models_in, projectors_in
from gemmahub.hub.listing import fetch_repository, gate_of, whole_number
from gemmahub.hub.path_names import problem_of
from gemmahub.precision.mix import mix_of, total_bytes, total_parameters, unknown_packing
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.catalog.records import Catalog, CatalogVariant
    from gemmahub.hub.client import HubClient
    from gemmahub.hub.headers import Headers
    from gemmahub.hub.records import HubModel, Repository
    from gemmahub.hub.remembered import Remembered

OFFICIAL: Final = "google"
_AT_ONCE: Final = 6
_QAT: Final = re.compile(r"(?<![a-z])qat(?![a-z])", re.IGNORECASE)


def search(
    client: HubClient,
    remembered: Remembered,
    headers: Headers,
    catalog: Catalog,
    text: str,
    limit: int,
) -> tuple[FoundRepository, ...]:
    """Repositories for ``text``: those of the catalogue, then Google's, then by downloads.

    Raises: NetworkError when the hub cannot be asked; a single repository that cannot be is
    listed without files.
    """
    known = _catalogued(catalog, text)
    official = _asked(client, text, limit, author=OFFICIAL)
    others = _asked(client, text, limit)
    found: dict[str, dict[str, Any]] = {}
    for entry in (*official, *others):
        found.setdefault(entry["id"].lower(), entry)
    in_catalogue = {v.repository.lower() for v in catalog.variants}
    for name in known:
        found.setdefault(name.lower(), {"id": name})
    order = sorted(found, key=lambda n: _rank(n, found[n], in_catalogue, known))

    def look(name: str) -> FoundRepository | None:
        entry = found[name]
        try:
            repository = fetch_repository(client, remembered, entry["id"], None)
        except NetworkError:
            return _without_files(entry, catalog)
        except GemmahubError:  # gone meanwhile, or a repository that is not to be used
            return None
        return _described(repository, headers, catalog)

    rows: list[FoundRepository] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while order and len(rows) < limit:
            wanted = limit - len(rows)
            asked = [pool.submit(copy_context().run, look, name) for name in order[:wanted]]
            rows += [row for job in asked if (row := job.result()) is not None]
            order = order[wanted:]
    return tuple(rows)


def _asked(
    client: HubClient, text: str, limit: int, author: str | None = None
) -> list[dict[str, Any]]:
    """The hub's own answer, most downloads first."""
    params: dict[str, Any] = {"search": text, "limit": limit, "sort": "downloads"}
    if author:
        params["author"] = author
    answer = client.json("/api/models", "", f"models for {one_line(text, 80)!r}", params)
    if not isinstance(answer, list):
        raise failures.odd_answer(client.endpoint, "it is not a list of models")
    return [
        entry
        for entry in answer[:limit]  # each is asked for: no more than were wanted
        if isinstance(entry, dict)
        and isinstance(entry.get("id"), str)
        and not problem_of("repository", entry["id"])
    ]


def _catalogued(catalog: Catalog, text: str) -> list[str]:
    """Repositories of the catalogue with all the words of ``text`` in a name of theirs."""
    words = text.lower().replace("/", " ").split()
    found = dict.fromkeys(
        variant.repository
        for variant in catalog.variants
        if all(w in f"{variant.repository} {variant.reference}".lower() for w in words)
    )
    return list(found) if words else []


def _rank(
    name: str, entry: dict[str, Any], in_catalogue: set[str], known: Iterable[str]
) -> tuple[bool, bool, int, str]:
    catalogued = name in in_catalogue or entry["id"] in known
    official = name.startswith(f"{OFFICIAL}/")
    return not catalogued, not official, -(whole_number(entry.get("downloads")) or 0), name


def _described(repository: Repository, headers: Headers, catalog: Catalog) -> FoundRepository:
    files = tuple(_described_file(model, headers, catalog) for model in models_in(repository))
    return FoundRepository(
        name=repository.name,
        official=repository.name.lower().startswith(f"{OFFICIAL}/"),
        catalogued=_knows(catalog, repository.name),
        gated=repository.gated,
        private=repository.private,
        licence=repository.licence,
        downloads=repository.downloads,
        files=files,
        projector=bool(projectors_in(repository)),
    )


def _described_file(model: HubModel, headers: Headers, catalog: Catalog) -> FoundFile:
    variant = catalogue_entry(catalog, model)
    first = model.files[0]
    found = FoundFile(
        reference=model.reference,
        path=first.path,
        format=model.format,
        label=model.label or label_of(first.path, model.repository.name),
        basis="by name",
        size_bytes=model.size_bytes,
        qat=bool(_QAT.search(f"{model.repository.name}/{first.path}")),
        kind=_kind_by_name(model),
    )
    if variant is not None:
        found = replace(
            found,
            label=variant.label,
            basis="catalogue",
            qat=variant.training == "QAT",
            catalogued=variant.reference,
        )
    return _measured(found, model, headers)


def _measured(found: FoundFile, model: HubModel, headers: Headers) -> FoundFile:
    """With the bits per weight, where the header was read before; nothing is fetched."""
    try:
        known = headers.recall(model)
    except GemmahubError:  # it is read, and explained, when somebody asks for it
        return found
    if known is None:
        return found
    first, mix = model.files[0], mix_of(known.tensors)
    size, parameters = total_bytes(mix), total_parameters(mix)
    if size is None or not parameters or unknown_packing(mix):
        return found
    kind = kind_of(first.path, known.metadata, known.tensors)
    bits = round(size * 8 / parameters, 2)
    return replace(found, basis="measured", bits_per_weight=bits, kind=kind)


def _kind_by_name(model: HubModel) -> str:
    """A file's name goes before that of its repository, which only says what all of it is."""
    kind = kind_of(model.files[0].path)
    embeds = kind == TEXT and kind_of(model.repository.name) == EMBEDDING
    return EMBEDDING if embeds else kind


def _without_files(entry: dict[str, Any], catalog: Catalog) -> FoundRepository:
    return FoundRepository(
        name=entry["id"],
        official=entry["id"].lower().startswith(f"{OFFICIAL}/"),
        catalogued=_knows(catalog, entry["id"]),
        gated=gate_of(entry),
        private=entry.get("private") is True,
        downloads=whole_number(entry.get("downloads")),
        files=(),
    )


def _knows(catalog: Catalog, name: str) -> bool:
    return any(v.repository.lower() == name.lower() for v in catalog.variants)


def catalogue_entry(catalog: Catalog, model: HubModel) -> CatalogVariant | None:
    """What the catalogue knows of a model: by sha256, else by repository, file and size; a folder
    is known by its repository alone."""
    first = model.files[0]
    if first.sha256 and (variant := catalog.by_sha256(first.sha256)):
        return variant
    if model.format in FOLDER_FORMATS:
        return None if folder_of(first.path) else catalog.by_file(model.repository.name, WHOLE)
    by_file = catalog.by_file(model.repository.name, first.path)
    if by_file is None or (by_file.sha256 and first.sha256):
        return None  # another content than the one that the catalogue describes
    return by_file if by_file.bytes in (None, model.size_bytes) else None
