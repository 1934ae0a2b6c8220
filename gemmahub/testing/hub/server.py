"""A hub on this machine that the real ``huggingface_hub`` client talks to, with faults on command.

::

    with HubServer() as server:
        server.add("user/repo", {"model.gguf": path, "config.json": b"{}"})
        os.environ["HF_ENDPOINT"] = server.endpoint
        server.fault("break", match="model.gguf", value=1000)
        ...
        assert server.sent("model.gguf") < 2_000_000

It speaks what the client asks for models: info, search, tree, paths-info, whoami, and ``resolve``
with its redirects: small files stay on the hub, large ones go to a second address with a signed
path, as the hub's CDN has it. Xet is not offered. Source: what the client reads, in huggingface_hub
``file_download.py``, ``hf_api.py`` and ``utils/_http.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.testing.hub.content import Fault, HubRequest, Repo, Served, overlap
from gemmahub.testing.hub.handler import HubListener, HubState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from gemmahub.testing.hub.content import FaultKind


class HubServer(HubState):
    """The hub and its CDN, on two ports of the loopback interface; a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self._hub, self._cdn = HubListener(self), HubListener(self)
        # Large files come from another origin than the endpoint.
        self.cdn = f"http://127.0.0.1:{self._cdn.server_port}"

    @property
    def endpoint(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._hub.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to talk to this hub with a login and a cache of its own."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}

    def add(
        self,
        name: str,
        files: Mapping[str, bytes | Path | Served],
        *,
        branch: str = "main",
        **about: Any,
    ) -> Repo:
        """A repository, or a further commit of one. ``about``: fields of :class:`Repo`."""
        repo = self.repos.setdefault(name, Repo(name))
        for key, value in about.items():
            setattr(repo, key, value)
        made = {p: d if isinstance(d, Served) else Served.of(p, d) for p, d in files.items()}
        repo.commit(made, branch)
        return repo

    def fault(
        self,
        kind: FaultKind,
        match: str = "",
        *,
        times: int | None = 1,
        value: float = 0,
        headers: Mapping[str, str] | None = None,
        method: str = "",
        skip: int = 0,
    ) -> None:
        """From now on this goes wrong; see :class:`~gemmahub.testing.hub.content.Fault`."""
        self.faults.append(Fault(kind, match, times, value, headers or {}, method, skip))

    def allow(self, token: str, *names: str) -> None:
        """A login that may read those gated or private repositories."""
        self.tokens[token] = set(names)

    def expire(self) -> None:
        """Signed addresses that were given out are refused from now on."""
        self.signature += 1

    def sent(self, file: str) -> int:
        """Bytes of that file that were sent, in all answers together."""
        return sum(seen.body for seen in self.seen if seen.file == file)

    def sent_twice(self, file: str) -> int:
        """Bytes of that file that were sent more than once."""
        return overlap([seen.span for seen in self.seen if seen.file == file and seen.body])

    def requests(self, part: str = "") -> list[HubRequest]:
        """The requests whose path contains ``part``."""
        return [seen for seen in self.seen if part in seen.path]

    def forget(self) -> None:
        """Starts the counts afresh."""
        self.seen.clear()

    def leaked(self) -> list[HubRequest]:
        """Requests that brought a login to the CDN."""
        return [s for s in self.seen if s.token and s.host.endswith(f":{self._cdn.server_port}")]

    def close(self) -> None:
        """Ends both servers and every answer that stalls."""
        self.released.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
