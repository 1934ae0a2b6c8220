"""What a server of a model that embeds makes of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.engines.server_session import SILENCE_SECONDS
from gemmahub.errors import GenerationFailed
from gemmahub.http.values import NotJson, object_of
from gemmahub_llamaserver.servers import RefusedRequest, ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.http.client import WebClient

_NOT_SUPPORTED: Final = 501  # it was started without --embeddings


def vector_of(web: WebClient, tokens: Sequence[int]) -> tuple[float, ...]:
    """The vector of a text of these tokens, of length 1.

    Raises: GenerationFailed for a model that writes; ExchangeError, NotJson.
    """
    try:
        answer = ask(web, "/v1/embeddings", {"input": list(tokens)}, SILENCE_SECONDS)
    except RefusedRequest as error:
        if error.status != _NOT_SUPPORTED:
            raise
        raise GenerationFailed(
            "this model writes text: it cannot embed", "use an embedding model: EmbeddingGemma"
        ) from None
    rows = answer.get("data")
    values = object_of(rows[0]).get("embedding") if isinstance(rows, list) and rows else None
    if not isinstance(values, list) or not values:
        raise NotJson("it sent no vector")
    if any(type(value) not in (int, float) for value in values):
        raise NotJson("its vector has values that are not numbers")
    return tuple(map(float, values))
