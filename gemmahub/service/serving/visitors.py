"""Who asks a server, and what became of it: the last requests, for the eyes of its owner."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from gemmahub.service.serving.api_errors import ApiError

VisitState = Literal["waiting", "answering", "done", "failed", "left"]
"""``waiting`` for the model or a slot of it; ``left``: the client went away before its end."""

_KEPT: Final = 50
_SHOWN: Final = 200


@dataclass(slots=True, eq=False)
class Visit:
    """A request. ``client`` is what the program calls itself, ``model`` what it asked for, ``said``
    the message of a failure; no part of what was asked or answered."""

    client: str
    path: str
    began: datetime
    model: str = ""
    state: VisitState = "waiting"
    said: str = ""
    _since: float = 0.0
    _took: float | None = None

    def fail(self, error: ApiError) -> None:
        """It was answered with an error."""
        self.state, self.said = "failed", one_line(error.message, _SHOWN)

    def as_json(self) -> dict[str, Any]:
        """What is told of it; ``seconds`` until its end, or until now."""
        took = monotonic() - self._since if self._took is None else self._took
        return {
            "client": self.client,
            "path": self.path,
            "began": self.began.isoformat(timespec="seconds"),
            "model": self.model,
            "state": self.state,
            "said": self.said,
            "seconds": round(took, 2),
        }


class Visitors:
    """The last 50 requests."""

    def __init__(self) -> None:
        self._visits: deque[Visit] = deque(maxlen=_KEPT)

    @contextmanager
    def visit(self, request: Request) -> Iterator[Visit]:
        """A request from its beginning to its end."""
        agent = one_line(request.headers.get("user-agent", ""), _SHOWN).split(" ")[0]
        visit = Visit(agent or "?", request.url.path, datetime.now(UTC), _since=monotonic())
        self._visits.append(visit)
        try:
            yield visit
            if visit.state != "failed":
                visit.state = "done"
        except BaseException:  # also the end of this server
            visit.state = "left"
            raise
        finally:
            visit._took = monotonic() - visit._since

    def as_json(self) -> list[dict[str, Any]]:
        """The newest first."""
        return [visit.as_json() for visit in reversed(self._visits)]
