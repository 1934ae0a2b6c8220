"""Methods of a backend without a session: a library is asked in a worker process.

:class:`BackendCalls` asks one after the other in one process, :func:`dry_load`, :func:`devices_of`,
:func:`quantize`, :func:`make_importance`, :func:`serve` and :func:`unload` once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gemmahub.engines import wire
from gemmahub.engines.contract import (
    Artifact,
    DryLoad,
    DryQuantization,
    EngineDevice,
    Rounding,
)
from gemmahub.engines.declared import check_capability, check_settings
from gemmahub.engines.guarded import checked_answer, foreign_error, foreign_errors
from gemmahub.engines.worker_process import WorkerProcess
from gemmahub.errors import BackendError, LoadFailed, backend_error
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from gemmahub.engines.contract import (
        EngineServer,
        OnProgress,
        Quantization,
        ServedModel,
        SessionInfo,
        Settings,
    )
    from gemmahub.engines.manager import BackendOffer

T = TypeVar("T")


class BackendCalls:
    """Calls of a backend's methods, one after the other in one worker process, which starts with
    the first of them. An engine that is no library is asked right here.

    When the engine ends its process, that call is BackendCrashed, and the next one gets a new
    process. Not for several threads at once.
    """

    def __init__(self, offer: BackendOffer) -> None:
        self._offer = offer
        self._worker: WorkerProcess | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is no worker."""
        return None if self._worker is None else self._worker.pid

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What a load would allocate.

        Raises: LoadFailed when the engine refuses the header or the settings; BackendError when
        the backend has no dry load; BackendCrashed when the process ends.
        """
        check_capability(self._offer.backend, "dry_load")
        check_settings(self._offer.backend, settings)
        return self._record(self.ask("dry_load", artifact, settings), DryLoad)

    def ask(self, method: str, *arguments: Any, on_progress: OnProgress | None = None) -> Any:
        """What a method returns. Raises: BackendError; BackendCrashed when the process ends."""
        name = self._offer.backend.name
        if not self._offer.backend.in_process:
            more = () if on_progress is None else (on_progress,)
            what = f"{name} failed at {method}()"
            with kept_quiet(), foreign_errors(LoadFailed, what):
                return getattr(self._offer.backend, method)(*arguments, *more)
        if self._worker is None:
            self._worker = WorkerProcess(name)
        reports = on_progress is not None
        try:
            self._worker.send(wire.Ask(self._offer.plugin, name, method, arguments, reports))
            while True:
                answer = self._worker.next_frame(f"in {method}()")
                if not isinstance(answer, wire.LoadProgress):
                    break
                if on_progress is not None:
                    on_progress(answer.fraction)
        except BaseException:  # nothing that makes sense can come from this process
            self.close()
            raise
        if isinstance(answer, wire.Returned):
            return answer.value
        raise backend_error(answer.kind, answer.message, answer.hint)

    def _record(self, value: object, kind: type[T]) -> T:
        if not isinstance(value, kind):
            wrong = TypeError(f"a {type(value).__name__}, not a {kind.__name__}")
            raise foreign_error(
                LoadFailed, f"{self._offer.backend.name} returned an invalid value", wrong
            )
        return value

    def close(self) -> None:
        """End the process; twice is fine."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def dry_load(offer: BackendOffer, artifact: Artifact, settings: Settings) -> DryLoad:
    """One dry load, in a worker process of its own when the engine is a library.

    For several loads of one engine, :class:`BackendCalls` is faster.

    Raises: as :meth:`BackendCalls.dry_load` does.
    """
    with BackendCalls(offer) as calls:
        return calls.dry_load(artifact, settings)


def devices_of(offer: BackendOffer) -> tuple[EngineDevice, ...] | None:
    """The devices that a backend can use, None where it does not say. Raises: BackendError."""
    from gemmahub.engines.contract import Backend

    if getattr(type(offer.backend), "devices", None) is Backend.devices:
        return None
    with BackendCalls(offer) as calls:
        found = calls.ask("devices")
    name = offer.backend.name
    return None if found is None else tuple(checked_answer(d, EngineDevice, name) for d in found)


def remote_devices_of(offer: BackendOffer, workers: Sequence[str]) -> tuple[EngineDevice, ...]:
    """The devices of workers on other machines, each ``HOST:PORT``.

    Raises: BackendError without the capability ``remote_workers``; LoadFailed for a worker that
    does not answer.
    """
    check_capability(offer.backend, "remote_workers")
    with BackendCalls(offer) as calls:
        found = calls.ask("remote_devices", list(workers))
    return tuple(checked_answer(d, EngineDevice, offer.backend.name) for d in found)


def quantize(
    offer: BackendOffer,
    artifact: Artifact,
    wanted: Quantization,
    on_progress: OnProgress | None = None,
) -> Rounding | None:
    """Write a model at another precision; what the engine says of its rounding.

    Raises: BackendError without the capability ``quantize``; LoadFailed for a model or a type that
    the engine refuses, and for a target that exists.
    """
    check_capability(offer.backend, "quantize")
    if wanted.target.exists():
        raise LoadFailed(
            f"{wanted.target} exists already and is not overwritten", "choose another file"
        )
    with BackendCalls(offer) as calls:
        told = on_progress or (lambda fraction: None)
        found = calls.ask("quantize", artifact, wanted, on_progress=told)
    return None if found is None else checked_answer(found, Rounding, offer.backend.name)


def dry_quantize(offer: BackendOffer, artifact: Artifact, wanted: Quantization) -> DryQuantization:
    """What quantizing would write. Raises: BackendError without the capability ``quantize``;
    LoadFailed for a model or a type that the engine refuses."""
    check_capability(offer.backend, "quantize")
    with BackendCalls(offer) as calls:
        found = calls.ask("dry_quantize", artifact, wanted)
    return checked_answer(found, DryQuantization, offer.backend.name)


def make_importance(
    offer: BackendOffer,
    artifact: Artifact,
    text: str,
    target: Path,
    on_progress: OnProgress | None = None,
) -> None:
    """Write an importance matrix of a model for a text.

    Raises: BackendError without the capability ``importance``; LoadFailed.
    """
    check_capability(offer.backend, "importance")
    told = on_progress or (lambda fraction: None)
    with BackendCalls(offer) as calls:
        calls.ask("make_importance", artifact, text, target, on_progress=told)


def serve(
    offer: BackendOffer, model: Artifact | ServedModel, settings: Settings, key: str = ""
) -> EngineServer:
    """Serve a model over HTTP until what comes back is closed, or this program ends.

    Raises: BackendError without the capability ``serve``; LoadFailed.
    """
    check_capability(offer.backend, "serve")
    check_settings(offer.backend, settings)
    calls = BackendCalls(offer)
    try:
        found = calls.ask("serve", model, settings, key)
        if not offer.backend.in_process:
            server: EngineServer = found
            return server
        return _ServerInWorker(calls, *found)
    except BaseException:
        calls.close()
        raise


class _ServerInWorker:
    """A server of a library: it lives in a worker process, and ends with it."""

    def __init__(self, calls: BackendCalls, address: str, info: SessionInfo) -> None:
        self.address, self.info = address, info
        self._calls = calls

    def close(self) -> None:
        """End the process; twice is fine."""
        self._calls.close()


def unload(offer: BackendOffer, name: str) -> None:
    """Give back the memory of a model that a server holds.

    Raises: BackendError, also without the capability ``unload``.
    """
    check_capability(offer.backend, "unload")
    what = f"{offer.backend.name} failed at unload()"
    with kept_quiet(), foreign_errors(BackendError, what):
        offer.backend.unload(name)
