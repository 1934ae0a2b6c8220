"""Workers on other machines, llama.cpp's ``ggml-rpc-server``: whether they are there.

llama.cpp itself aborts when one does not answer, so each is connected to before.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from gemmahub.errors import BackendMissing, LoadFailed
from gemmahub.text import one_line
from gemmahub_llamaserver.build import read_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import EngineDevice
    from gemmahub_llamaserver.build import Build

_SECONDS: Final = 5.0
_WITHOUT: Final = "not supported in this build"


def reach(workers: Sequence[str]) -> None:
    """Raises: LoadFailed for the first one that takes no connection, or is no ``HOST:PORT``."""
    for worker in workers:
        host, _, port = worker.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=_SECONDS):
                pass
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or one_line(str(error), 100)
            raise LoadFailed(
                f"no worker answers at {one_line(worker, 100)}: {reason}",
                f"start it there: ggml-rpc-server --host 0.0.0.0 --port {one_line(port, 10)}; "
                "or leave it out",
            ) from None


def worker_devices(build: Build, workers: Sequence[str]) -> list[EngineDevice]:
    """The devices of these workers, in the engine's order.

    Raises: LoadFailed for one that does not answer, or as a worker of another release does; and
    when the build cannot use any.
    """
    reach(workers)
    try:
        found = read_devices(build, workers)
    except BackendMissing as error:
        if _WITHOUT in error.message:
            raise LoadFailed(
                f"this llama-server was built without RPC: {build.command[0]}",
                "use one with RPC, such as that of a llama.cpp release: gemmahub config set "
                "plugins.llamaserver.program PATH",
            ) from None
        raise LoadFailed(
            f"llama-server cannot use {', '.join(one_line(w, 100) for w in workers)}: "
            f"{error.message}",
            "each must be the ggml-rpc-server of the same release of llama.cpp",
        ) from None
    return [device for device in found if device.api == "rpc"]
