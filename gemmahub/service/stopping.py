"""The use case: give back the memory that models hold in servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError, NotFound
from gemmahub.service.loaded import loaded_models, names_of
from gemmahub.service.serving.known import ENGINE, known_servers
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from gemmahub.engines.contract import LoadedModel
    from gemmahub.service.installation import Installation


def stop(here: Installation, reference: str | None = None) -> tuple[LoadedModel, ...]:
    """Unload what is loaded under that reference, or all that is; which models that were.

    Each is tried, also after one that fails. Raises: NotFound when nothing is loaded under it;
    UsageError for a reference that is none; GemmahubError for a server that does not do it.
    """
    rows = loaded_models(here).rows
    if reference is not None:
        wanted = _names(here, reference)
        found = [
            row
            for row in rows
            if {row.model.name.casefold(), row.model.reference.casefold()} & wanted
        ]
        if not found:
            near = nearest(reference, [row.model.reference or row.model.name for row in rows])
            raise NotFound(
                f"{one_line(reference)} is not loaded",
                f"did you mean {', '.join(near)}?" if near else "gemmahub ps shows what is loaded",
            )
        rows = tuple(found)
    failures: list[GemmahubError] = []
    for row in rows:
        try:
            _unload(here, row.model)
        except GemmahubError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return tuple(row.model for row in rows)


def _names(here: Installation, reference: str) -> set[str]:
    """What a model may be called where it is loaded."""
    found = {reference.casefold()}
    try:
        variant = here.registry.resolve(reference)
    except GemmahubError:  # a server's own name
        return found
    return found | names_of(variant)


def _unload(here: Installation, model: LoadedModel) -> None:
    from gemmahub.engines import asking
    from gemmahub.http.limits import ExchangeError
    from gemmahub.http.values import NotJson

    if model.backend != ENGINE:
        asking.unload(here.plugins_manager.backend(model.backend), model.name)
        return
    for server in known_servers(here.config.data):
        if server.address == model.place:
            try:
                server.unload(model.reference)
            except (ExchangeError, NotJson) as error:
                raise GemmahubError(
                    f"{one_line(model.place)} does not unload {model.name}: {error}", "try again"
                ) from None
