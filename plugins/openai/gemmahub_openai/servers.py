"""Where servers are: a name, an address, a key. And what they state, as records."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_VERSIONED: Final = ("/v1", "/api/v1", "/api/v0")
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Server:
    """A server. ``name`` is the scheme of its models' references, ``url`` what stands before
    ``/v1``, ``key`` its bearer token. ``found``: nobody named it, it answered on this machine."""

    name: str
    url: str
    key: str = field(default="", repr=False)
    found: bool = False

    @property
    def shown(self) -> str:
        """As messages call it: ``lab (127.0.0.1:8000)``."""
        place = urlsplit(self.url).netloc.rpartition("@")[2]
        return f"{self.name} ({place})" if self.name else place

    @property
    def local(self) -> bool:
        """Whether it is surely this machine."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False


class ServerKind(StrEnum):
    """Which program a server is, by what it says of itself."""

    LLAMA_SERVER = "llama-server"
    LLAMA_ROUTER = "llama-server router"
    LM_STUDIO = "LM Studio"
    VLLM = "vLLM"
    MLX = "mlx_lm.server"
    LLAMA_CPP_PYTHON = "llama_cpp.server"
    JAN = "Jan"
    GEMMAHUB = "gemmahub"
    OTHER = "server"


@dataclass(frozen=True, slots=True)
class StatedModel:
    """What a server states of one of its models; None or empty where it does not.

    ``name`` is the server's own. ``label`` is of its precision (``Q4_K_M``), ``file`` the path that
    the server says it loaded. ``context`` is what a conversation gets, ``context_trained`` the most
    that the model takes, in tokens. ``instances`` are the names under which it is in memory.
    """

    name: str
    label: str = ""
    architecture: str = ""
    context: int | None = None
    context_trained: int | None = None
    images: bool | None = None
    tools: bool | None = None
    thinks: bool | None = None
    loaded: bool | None = None
    instances: tuple[str, ...] = ()
    embeds: bool = False
    file: str = ""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server is, and the models that it offers now."""

    kind: ServerKind
    models: tuple[StatedModel, ...] = ()
    version: str = ""
    faults: tuple[str, ...] = ()


def server_url(text: str) -> str:
    """An address as people write it, as the part before ``/v1``; empty where it cannot be one.

    ``127.0.0.1:8080``, ``http://host:8000/v1/`` and ``https://host/base/v1`` are addresses. One
    that a server listens on (``0.0.0.0``) is asked on the loopback. A user and a password in it are
    refused: they would be shown.
    """
    text = text.strip()
    if "://" not in text:
        text = f"http://{text}"
    text = text.rstrip("/") if not text.endswith("://") else text
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port or a host that cannot be
        return ""
    if parts.scheme not in ("http", "https") or not host or port == 0 or "@" in parts.netloc:
        return ""
    if parts.query or parts.fragment or not text.isprintable() or " " in text:
        return ""
    path = parts.path.rstrip("/")
    for version in sorted(_VERSIONED, key=len, reverse=True):
        if path.endswith(version):
            path = path.removesuffix(version)
            break
    host = _ANY.get(host, host)
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, place if port is None else f"{place}:{port}", path, "", ""))
