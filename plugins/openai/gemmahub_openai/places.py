"""Which servers there are: those of the settings, and well-known places on this machine.

::

    [plugins.openai.servers.lab]
    url = "http://10.0.0.2:8000"
    key = { env = "LAB_KEY" }
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gemmahub.engines.contract import Setting
from gemmahub.engines.plugin_settings import settings_of
from gemmahub.errors import UsageError
from gemmahub.text import one_line
from gemmahub_openai.other_plugins import listed_elsewhere
from gemmahub_openai.servers import Server, ServerKind, server_url

if TYPE_CHECKING:
    from collections.abc import Mapping

WELL_KNOWN: Final = (
    "127.0.0.1:1234",  # LM Studio: https://lmstudio.ai/docs/developer/core/server
    "127.0.0.1:8080",  # llama-server, mlx_lm.server
    "127.0.0.1:8000",  # vLLM, llama_cpp.server
    "127.0.0.1:1337",  # Jan: https://jan.ai/docs/api-server
)
SETTINGS: Final = (
    Setting(
        "servers",
        "servers with OpenAI's API, by name; the name begins the references of their models",
        fields=(
            Setting("url", "the address, such as http://10.0.0.2:8000"),
            Setting("key", "API key of the server", secret=True),
            Setting("plain", "send only OpenAI's own parameters", bool, False),
        ),
    ),
    Setting(
        "local",
        "addresses on this machine where a server is searched; [] for none",
        list[str],
        list(WELL_KNOWN),
        env="GEMMAHUB_OPENAI_LOCAL",
    ),
)
_MOST: Final = 256
# What a server that was found is called, and the port where it usually is.
_NAMES: Final = {
    ServerKind.LM_STUDIO: ("lm-studio", 1234),
    ServerKind.LLAMA_SERVER: ("llama-server", 8080),
    ServerKind.LLAMA_ROUTER: ("llama-server", 8080),
    ServerKind.MLX: ("mlx-server", 8080),
    ServerKind.VLLM: ("vllm-server", 8000),
    ServerKind.LLAMA_CPP_PYTHON: ("llama-cpp-python", 8000),
    ServerKind.JAN: ("jan", 1337),
}
_RESERVED: Final = frozenset({"http", "https", "hf", "file"})


@dataclass(frozen=True, slots=True)
class Places:
    """The servers to ask; ``wrong`` are entries of the settings that are none, with the reason;
    ``plain`` the names of those that take OpenAI's own parameters alone."""

    servers: tuple[Server, ...]
    wrong: tuple[tuple[str, str], ...] = ()
    plain: frozenset[str] = frozenset()

    def named(self, name: str) -> Server | None:
        """The server of the settings with that name."""
        return next((one for one in self.servers if one.name == name and not one.found), None)


def all_places() -> Places:
    """The servers of the settings, then the places on this machine that none of them is, and that
    no other plugin lists.

    Raises: UsageError for settings that are no tables.
    """
    settings = settings_of("openai", SETTINGS)
    servers: list[Server] = []
    wrong: list[tuple[str, str]] = []
    plain: set[str] = set()
    entries: Mapping[str, Any] = settings["servers"]
    for name in list(entries)[:_MOST]:
        try:
            server, is_plain = _of_entry(name, entries)
        except UsageError as error:
            wrong.append((name, error.in_full))
            continue
        servers.append(server)
        plain |= {name} if is_plain else set()
    taken = {same_place(server.url) for server in servers}
    if settings["local"]:
        taken |= {same_place(url) for url in listed_elsewhere()}
    for text in settings["local"][:_MOST]:
        url = server_url(text)
        found = Server("", url, found=True)
        if not url or not found.local:
            wrong.append((one_line(text, 60), "plugins.openai.local names places of this machine"))
        elif same_place(url) not in taken:
            taken.add(same_place(url))
            servers.append(found)
    return Places(tuple(servers), tuple(wrong), frozenset(plain))


def found_name(kind: ServerKind, url: str) -> str:
    """What a server is called that was found: by its program, with the port where that is another
    one than usual."""
    port = urlsplit(url).port or 80
    name, usual = _NAMES.get(kind, ("local", 0))
    return name if port == usual else f"{name}-{port}"


def same_place(url: str) -> str:
    """An address by which two that lead to the same server are told: ``localhost`` is this
    machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = "127.0.0.1" if host in ("localhost", "::1") else host
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{host}:{port}{parts.path}"


def _of_entry(name: str, entries: Mapping[str, Any]) -> tuple[Server, bool]:
    """Raises: UsageError."""
    setting = f"plugins.openai.servers.{name}"
    if name in _RESERVED:
        raise UsageError(f"{setting}: {name}:// is not a server's", "give it another name")
    if "_" in name:
        raise UsageError(f"{setting} has a _ in its name, which references cannot have", "use -")
    entry = entries[name]
    text = entry["url"]
    if not text:
        raise UsageError(
            f"{setting} has no url", f"gemmahub config set {setting}.url http://10.0.0.2:8000"
        )
    url = server_url(text)
    if not url:
        raise UsageError(
            f"{setting}.url is not an address: {one_line(text, 60)}",
            f"gemmahub config set {setting}.url http://10.0.0.2:8000 (no user, no password)",
        )
    key = entry["key"] or ""
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{setting}.key has invalid characters", "check it")
    return Server(name, url, key), bool(entry["plain"])
