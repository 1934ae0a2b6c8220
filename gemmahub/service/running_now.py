"""The use case: what runs on this machine now, in short: servers of ours, models in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmahub.service.installation import Installation
    from gemmahub.service.serving.known import ServerStatus


@dataclass(frozen=True, slots=True)
class RunningNow:
    """Servers of this user that answer, addresses of those that do not, names of the models that
    engines of other programs hold in memory, and how many models are on this machine."""

    servers: tuple[ServerStatus, ...] = ()
    silent: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    models: int = 0


def running_now(here: Installation) -> RunningNow:
    """Ask all of them. Each has two seconds to answer, so call it where nobody waits."""
    from gemmahub.engines.servers import models_in_memory
    from gemmahub.service.serving import starting
    from gemmahub.service.serving.known import known_servers

    known = known_servers(here.config.data)
    servers = starting.running_servers(here)
    answer = {server.address for server in servers}
    silent = tuple(server.address for server in known if server.address not in answer)
    models, _ = models_in_memory(here.plugins_manager)
    names, here_now = tuple(model.name for model in models), here.registry.installed().variants
    return RunningNow(tuple(servers), silent, names, len(here_now))
