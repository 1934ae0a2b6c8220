"""An engine that runs models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from gemmahub.engines.contract.declared import Option

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract.memory import DryLoad
    from gemmahub.engines.contract.models import Artifact, LoadedModel, ServedModel
    from gemmahub.engines.contract.quantizing import DryQuantization, Quantization, Rounding
    from gemmahub.engines.contract.sessions import Session, SessionInfo
    from gemmahub.engines.contract.settings import Settings
    from gemmahub.engines.contract.stores import BrokenEntry
    from gemmahub.errors import BackendError
    from gemmahub.formats.reader import ModelFile


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can be used here; if not, why, and what to do about it.

    ``commit`` is that of the llama.cpp it carries, or its beginning; empty where it carries none or
    does not know. Memory formulas know builds by it.
    """

    ok: bool
    version: str = ""
    reason: str = ""
    hint: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Loadable:
    """Whether an engine can load a model; if not, why, and what to do about it."""

    ok: bool
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device that this build of an engine can use. ``name`` is the engine's (``CUDA0``).

    ``api`` is how it is driven: ``cuda``, ``rocm``, ``vulkan``, ``metal``, ``sycl``, ``rpc``, ...,
    ``cpu``. ``hardware_id`` tells which device of the machine it is, where the engine says: a PCI
    address (``0000:01:00.0``) or a UUID. Memory in bytes, None where the engine does not say.
    """

    name: str
    api: str
    description: str = ""
    hardware_id: str = ""
    total_bytes: int | None = None
    free_bytes: int | None = None


class EngineServer(Protocol):
    """A model that an engine serves over HTTP, as OpenAI does (``/v1/chat/completions``)."""

    @property
    def address(self) -> str:
        """Its address: ``http://127.0.0.1:41234``."""
        ...

    @property
    def info(self) -> SessionInfo:
        """What is loaded."""
        ...

    def close(self) -> None:
        """End it and give back its memory; twice is fine."""
        ...


OnProgress = Callable[[float], None]
"""Called with the fraction done, 0 to 1."""


class Backend:
    """An engine that runs models. Subclass it, set the class data, write the two methods.

    ``formats`` are those of the artifacts that it runs, none for a server that only has models of
    its own (:meth:`served`). ``in_process`` says that the engine is a library inside this Python:
    the core then runs it in a worker process, so that an abort of the engine is an error and not
    the end of the program. ``capabilities`` names what it has of the optional
    (:data:`gemmahub.engines.contract.CAPABILITIES`). ``automatic`` False means: only when named by
    ``--backend``. ``checked_version`` is the version of the engine that the plugin was checked
    against; ``gemmahub doctor`` says when another one is installed.
    """

    name: ClassVar[str]
    formats: ClassVar[tuple[str, ...]] = ()
    capabilities: ClassVar[frozenset[str]] = frozenset()
    options: ClassVar[tuple[Option, ...]] = ()
    in_process: ClassVar[bool] = True
    automatic: ClassVar[bool] = True
    priority: ClassVar[int] = 0
    checked_version: ClassVar[str] = ""

    def availability(self) -> Availability:
        """Whether the engine can be used here. Cheap (2 s at most), never raises."""
        raise NotImplementedError

    def load(
        self, model: Any, settings: Settings, on_progress: OnProgress | None = None, /
    ) -> Session:
        """Load a model: an :class:`Artifact` of its formats, or, where it has :meth:`served`, a
        :class:`ServedModel` of these.

        Raises: LoadFailed when the engine refuses the file or the settings.
        """
        raise NotImplementedError

    def served(self, seconds: float) -> Sequence[ServedModel | BrokenEntry]:
        """The models that its server offers, asked on every listing; where it has several servers,
        one that fails is a :class:`BrokenEntry`, so that it hides no other's models.

        An answer that comes after ``seconds`` is not waited for. Only asked while it is available.
        Raises: BackendError.
        """
        return ()

    def suits(self, artifact: Artifact) -> bool:
        """Whether it may be taken for this artifact of its formats without being named.

        The default is ``automatic``; a backend that serves one store says so here. Cheap.
        """
        return self.automatic

    def loadable(self, header: ModelFile) -> Loadable:
        """Whether the engine can load the model with this header, as far as that can be told.

        Cheap, and without the engine: the header is that of a file here, or read from afar. Of the
        tensors that do the same and are of one type it may have a single one, without its shape; of
        the metadata, what is short. ``reason`` is a sentence about "it": the file.
        """
        return Loadable(True)

    def devices(self) -> Sequence[EngineDevice] | None:
        """The devices that this build can use, in the engine's order; None where it cannot say.

        A library is asked in a worker process. Raises: BackendError.
        """
        return None

    def loaded(self) -> Sequence[LoadedModel]:
        """What its engine holds in memory now, for ``gemmahub ps``: for engines that are servers.

        Only asked while it is available. Raises: BackendError.
        """
        return ()

    def remote_devices(self, workers: Sequence[str]) -> Sequence[EngineDevice]:
        """The devices of workers on other machines, each ``HOST:PORT``, in the engine's order;
        their ``description`` is the worker. Only asked where ``remote_workers`` is declared.

        Raises: LoadFailed for a worker that does not answer; BackendError.
        """
        raise self._lacks("use workers on other machines")

    # --- optional: each with the capability of its name ------------------------------------------

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What a load would allocate; a file with its header and no weights is enough.

        Raises: LoadFailed when the engine refuses the header or the settings; BackendError when
        this backend cannot tell.
        """
        raise self._lacks(
            "report what it would allocate without loading the model", "use the estimate by formula"
        )

    def quantize(
        self, artifact: Artifact, wanted: Quantization, on_progress: OnProgress | None = None
    ) -> Rounding | None:
        """Write a model at another precision; what became of weights whose lattice was sought. A
        target that is only half written is removed.

        Raises: LoadFailed for a model or a type that the engine refuses; BackendError.
        """
        raise self._lacks("quantize models")

    def dry_quantize(self, artifact: Artifact, wanted: Quantization) -> DryQuantization:
        """What :meth:`quantize` would write, without reading weights. Asked of engines that
        quantize folders: what they write is theirs to say.

        Raises: LoadFailed as :meth:`quantize` does; BackendError.
        """
        raise self._lacks("report what it would write")

    def make_importance(
        self, artifact: Artifact, text: str, target: Path, on_progress: OnProgress | None = None
    ) -> None:
        """Write an importance matrix of a model for a text, as its quantizer reads them.

        Raises: LoadFailed for a text that is too short, and for a model that the engine refuses;
        BackendError.
        """
        raise self._lacks("make importance matrices")

    def serve(self, model: Any, settings: Settings, key: str = "", /) -> EngineServer:
        """Serve a model, as :meth:`load` takes them, on a free port of this machine alone; with
        ``key``, only to those who send it as a bearer token.

        Raises: LoadFailed.
        """
        raise self._lacks("serve models")

    def unload(self, name: str) -> None:
        """Give back the memory of a model that :meth:`loaded` named, whoever loaded it.

        One that is not loaded is no failure. Raises: BackendError.
        """
        raise self._lacks("unload models")

    def _lacks(
        self, what: str, hint: str = "choose another backend with --backend"
    ) -> BackendError:
        from gemmahub.errors import BackendError

        return BackendError(f"{self.name} cannot {what}", hint)

    def check_options(self, settings: Settings) -> Mapping[str, Any]:
        """The options with defaults filled in; surplus names and wrong values are refused.

        A whole number is taken where a float is declared, and None where it is the default.

        Raises: LoadFailed.
        """
        from gemmahub.errors import LoadFailed

        known = {option.name: option for option in self.options}
        for name, value in settings.options.items():
            option = known.get(name)
            if option is None:
                offered = ", ".join(sorted(known)) or "none"
                raise LoadFailed(f"{self.name} has no option {name!r}", f"its options: {offered}")
            if option.choices and value not in option.choices:
                raise LoadFailed(
                    f"{self.name}: {name} cannot be {value!r}",
                    f"choose one of {', '.join(option.choices)}",
                )
            if not _is_of(option, value):
                raise LoadFailed(
                    f"{self.name}: {name} cannot be {value!r}",
                    f"it accepts {_KINDS.get(option.type, option.type.__name__)}",
                )
        return {name: settings.options.get(name, opt.default) for name, opt in known.items()}


_KINDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def _is_of(option: Option, value: object) -> bool:
    """Whether a value is of the option's type. A bool is no number, though Python says so."""
    if value is None:
        return option.default is None
    if isinstance(value, bool):
        return option.type is bool
    return isinstance(value, (int, float) if option.type is float else option.type)
