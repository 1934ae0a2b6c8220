"""The one address: who may ask, what may be asked, and the list of models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gemmahub.http.gate import Gate, is_same
from gemmahub.service.serving.api_errors import ApiError, response_of
from gemmahub.service.serving.forward import Forward
from gemmahub.service.serving.requests import EMBEDDINGS, Desk
from gemmahub.service.serving.visitors import Visitors

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from gemmahub.service.serving.supervisor import Held, Supervisor

PATHS: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    EMBEDDINGS,
    "/v1/messages",
    "/v1/messages/count_tokens",
)
"""What is passed on to engines."""
CONTROL: Final = "/gemmahub/"
"""What only gemmahub itself asks, with a key of its own."""
_FREE: Final = "/health"  # says nothing but that it is there


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may ask: by which names and from which pages; with a key, None for anybody. ``control``
    is the key of gemmahub itself."""

    gate: Gate
    key: str | None
    control: str


def application(supervisor: Supervisor, doors: Doors) -> ASGIApp:
    """The ASGI application."""
    visitors = Visitors()
    forward, lists = Forward(supervisor, Desk(), visitors), _Lists(supervisor, visitors)
    origins = sorted(doors.gate.origins)
    cors = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]
    )
    return Starlette(
        routes=[
            *(Route(path, forward, methods=["POST"]) for path in PATHS),
            Route("/v1/models", lists.models),
            Route("/v1/models/{name:path}", lists.model),
            Route(_FREE, _there),
            Route(f"{CONTROL}status", lists.status),
            Route(f"{CONTROL}unload", lists.unload, methods=["POST"]),
        ],
        middleware=[
            Middleware(_ByName, doors=doors),
            *([cors] if origins else []),
            Middleware(_ByKey, doors=doors),
        ],
        exception_handlers={
            HTTPException: _refused,
            ApiError: _failed,
            Exception: _defect,
        },
    )


class _ByName:
    """Lets through who asks us by our name, from no foreign page."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app, self._gate = app, doors.gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Request(scope).headers
            if not self._gate.is_own(headers.getlist("host"), headers.getlist("origin")):
                said = (
                    "this server answers only under its own name, and only to pages "
                    "named with --cors"
                )
                await response_of(ApiError(403, said), scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _ByKey:
    """Lets through who knows the key."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app, self._doors = app, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        control = path.startswith(CONTROL)
        key = self._doors.control if control else self._doors.key
        if key is None or path == _FREE or is_same(_key_of(Request(scope)), key):
            await self._app(scope, receive, send)
            return
        said = "the key is wrong or missing: send it as 'Authorization: Bearer KEY'"
        error = ApiError(401, said, "invalid_api_key")
        await response_of(error, path)(scope, receive, send)


class _Lists:
    """What is said of the models, and done with them."""

    def __init__(self, supervisor: Supervisor, visitors: Visitors) -> None:
        self._supervisor, self._visitors = supervisor, visitors
        self._began = datetime.now(UTC)

    async def models(self, _: Request) -> Response:
        """All of them, as both APIs list models."""
        data = [self._row(held) for held in self._supervisor.models]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"], "has_more": False}
        return JSONResponse({"object": "list", "data": data, **ends})

    async def model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(self._row(self._found(request.path_params["name"])))

    async def status(self, _: Request) -> Response:
        """All models, the newest requests first: for ``gemmahub ps`` and the terminal UI."""
        models = [_status_row(held) for held in self._supervisor.models]
        began = self._began.isoformat(timespec="seconds")
        return JSONResponse({"began": began, "models": models, "visits": self._visitors.as_json()})

    async def unload(self, request: Request) -> Response:
        """Give back the memory of one."""
        held = self._found(request.query_params.get("model", ""))
        return JSONResponse({"unloaded": await self._supervisor.unload(held)})

    def _found(self, name: str) -> Held:
        held = self._supervisor.find(name) if name else None
        if held is None:
            raise ApiError(404, f"there is no model {name[:80]!r} here", "model_not_found")
        return held

    def _row(self, held: Held) -> dict[str, Any]:
        variant, settings = held.offered.variant, held.plan.settings
        precision = variant.precision.as_json()
        for part in ("types", "roles"):
            precision.pop(part, None)
        return {
            "id": held.offered.name,
            "object": "model",
            "type": "model",
            "display_name": f"{variant.name} · {variant.precision.summary}",
            "created": int(self._began.timestamp()),
            "created_at": self._began.isoformat(timespec="seconds"),
            "owned_by": "gemmahub",
            "meta": {
                "precision": precision,
                "context": settings.context // settings.parallel,
                "memory_bytes": held.plan.total_bytes,
                "embeds": variant.embeds,
                "loaded": held.server is not None,
            },
        }


def _status_row(held: Held) -> dict[str, Any]:
    plan, info = held.plan, None if held.server is None else held.server.info
    settings = plan.settings
    return {
        "name": held.offered.name,
        "precision": held.offered.variant.precision.label or "",
        "summary": held.offered.variant.precision.summary,
        "memory_bytes": plan.total_bytes,
        "device_bytes": sum(place.total_bytes for place in plan.places[:-1]),
        "context": settings.context // settings.parallel if info is None else info.context,
        "device": "" if info is None else info.device,
        "pinned": held.offered.pinned,
        "loaded": info is not None,
        "answers": held.users,
    }


def _key_of(request: Request) -> str:
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")


async def _there(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return response_of(error, request.url.path)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    paths = ", ".join(PATHS)
    said = {404: f"there is no {request.url.path[:80]!r} here; available: /v1/models, {paths}"}
    said[405] = f"{request.url.path[:80]!r} does not accept {request.method}"
    found = ApiError(error.status_code, said.get(error.status_code, error.detail))
    return response_of(found, request.url.path)


async def _defect(request: Request, error: Exception) -> Response:
    said = f"unexpected {type(error).__name__}: this is a bug in gemmahub"
    return response_of(ApiError(500, said), request.url.path)
