"""Workers on other machines, whose memory llama.cpp uses over the network."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Artifact
from gemmahub.errors import UsageError
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.choice import BackendChoice
    from gemmahub.engines.contract import EngineDevice
    from gemmahub.hardware.records import Machine

    Choose = Callable[..., BackendChoice]

_WORKER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})?:[0-9]{1,5}", re.ASCII)
_MOST: Final = 64
_CAPABILITY: Final = "remote_workers"


def read_workers(text: str) -> tuple[str, ...]:
    """``HOST:PORT,HOST:PORT`` as a person writes it. Raises: UsageError."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for worker in found:
        if not _WORKER.fullmatch(worker) or not 0 < int(worker.rpartition(":")[2]) < 2**16:
            raise UsageError(
                f"{one_line(worker, 100)!r} is not a worker",
                "write HOST:PORT, such as 192.168.1.20:50052; separate several with commas",
            )
    if not 0 < len(found) <= _MOST:
        raise UsageError(f"{len(found)} workers cannot be used", f"give 1 to {_MOST} of them")
    return found


def joined(
    machine: Machine, workers: tuple[str, ...], choose: Choose, say: Callable[[str], None]
) -> Machine:
    """The machine with the devices of workers, as the engine sees them that runs GGUF files by
    :meth:`Installation.choose`; ``say`` is told which they are.

    Raises: BackendMissing where no engine here can use workers; LoadFailed for one that does not
    answer.
    """
    from gemmahub.planning.devices import with_workers

    return with_workers(machine, _devices(workers, choose, say))


@lru_cache(maxsize=1)
def _devices(
    workers: tuple[str, ...], choose: Choose, say: Callable[[str], None]
) -> tuple[EngineDevice, ...]:
    from gemmahub.engines.asking import remote_devices_of

    offer = choose(Artifact("gguf", Path()), needs=_CAPABILITY).offer
    found = remote_devices_of(offer, workers)
    for number, device in enumerate(found):
        size = device.free_bytes if device.free_bytes is not None else device.total_bytes
        free = "its memory is unknown" if size is None else f"{format_gib(size)} free"
        say(f"rpc:{number} is {one_line(device.description, 100)}, {free}")
    return found
