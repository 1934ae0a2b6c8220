"""What an engine plugin and the core say to each other.

A plugin offers :class:`Backend` objects. A backend loads an :class:`Artifact` with
:class:`Settings` and gives a :class:`Session`; a session streams :class:`Chunk` objects. All
records here are frozen and consist of plain values, so that they cross a process border unchanged.

A backend raises :class:`gemmahub.errors.BackendError` and its subclasses, nothing else, and never
prints. Everything on its standard output and error is kept as the engine's log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    import os
    from pathlib import Path

CONTRACT_VERSION: Final = 1
"""Grows when a plugin written for an older contract would no longer work."""


# --- what is loaded, and how -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Artifact:
    """The file or files that hold one variant, on this machine.

    ``files`` are all the parts in order (one for most models); for a folder format ``path`` is the
    folder. ``sha256`` is set where a store recorded it. ``repository`` and ``revision`` tell where
    the files came from, where a store knows that.

    ``reference`` is how it is named where it lies (``hf://user/repo/x.gguf``), empty where only
    its path names it. ``last_used`` is when its weights were last read, in seconds since 1970, by
    the file system's access time; None where that time cannot tell (see :func:`last_read`).
    """

    format: str
    path: Path
    files: tuple[Path, ...] = ()
    name: str = ""
    store: str = ""
    repository: str = ""
    revision: str = ""
    sha256: str | None = None
    projector: Path | None = None
    reference: str = ""
    last_used: float | None = None


def last_read(stat: os.stat_result) -> float | None:
    """When a file was last read, in seconds since 1970, or None.

    An access time that is not later than the time of the last change says nothing: the file was
    never read since, or the file system keeps no access times (``noatime``). Linux writes access
    times about once a day (``relatime``), so the answer is good to a day.
    """
    return stat.st_atime if stat.st_atime_ns > stat.st_mtime_ns else None


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is loaded. None means: the backend chooses, and says so in its session's info.

    ``context`` in tokens; ``gpu_layers`` counts layers on the accelerator (None: as many as there
    are, where there is one); ``threads`` are CPU threads; ``options`` are the backend's own.
    """

    context: int | None = None
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: bool = True
    ubatch: int = 512
    parallel: int = 1
    gpu_layers: int | None = None
    threads: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


# --- what is said to a model -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; ``role`` is ``system``, ``user`` or ``assistant``.

    ``images`` are files; the model sees them before the text of the turn.
    """

    role: str
    content: str
    images: tuple[Path, ...] = ()


Prompt = str | Sequence[Message]
"""A conversation, or a text that is completed as it stands, without any chat template."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. None means the backend's default for that model.

    ``temperature`` 0 takes the most probable token, so the same prompt gives the same text.
    ``max_tokens`` None means: until the model ends its turn or the context is full.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int | None = 64
    top_p: float | None = 0.95
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # the model ended its turn, or a stop text came
    LENGTH = "length"  # max_tokens was reached
    CONTEXT = "context"  # the context is full
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts and times of one answer. Times in seconds, without loading.

    ``prefill_tokens`` is what was really evaluated (the rest came from the cache);
    ``context_used`` of ``context`` cells are taken afterwards; ``truncated`` says that the prompt
    did not fit and lost a part (a backend that would rather refuse raises ``ContextExceeded``).
    """

    finish_reason: FinishReason
    prompt_tokens: int
    prefill_tokens: int
    tokens: int
    prefill_seconds: float
    decode_seconds: float
    context_used: int
    context: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer: whole characters. Only the last chunk carries ``usage``."""

    text: str
    usage: Usage | None = None


# --- a loaded model ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What was loaded, as the engine has it: shown before the first answer.

    ``context`` is what the engine gave, ``context_trained`` what the model was trained for.
    ``chat_template`` says whether conversations are formatted by the file's own template; without
    one a conversation is completed as plain text. ``memory`` is what the engine says it allocated,
    device by device; None where it does not say. ``precision`` is the label by which the engine
    itself knows the weights, written as in file names (``Q4_K_M``); empty where it does not say.
    ``images`` says whether messages may have images; None where the engine does not say.

    A session's info may grow later: an engine that loads its image projector with the first image
    adds that to ``memory`` then.
    """

    engine: str
    context: int
    context_trained: int | None
    chat_template: bool
    device: str
    settings: Settings
    load_seconds: float = 0.0
    memory: tuple[DeviceUse, ...] | None = None
    precision: str = ""
    images: bool | None = None


@runtime_checkable
class Session(Protocol):
    """A loaded model one can talk to. ``close()`` frees its memory and may be called twice."""

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        ...

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; closing the iterator cancels it and leaves the session usable.

        The last chunk carries the usage, also when the answer was cut short.

        Raises: ContextExceeded, TemplateError, GenerationFailed.
        """
        ...

    def cancel(self) -> None:
        """Stop the running answer within 200 ms; called from another thread than generate."""
        ...

    def close(self) -> None:
        """Give back all memory."""
        ...

    def __enter__(self) -> Session: ...

    def __exit__(self, *exc_info: object) -> None: ...


class SessionBase:
    """The part of a session that is the same for all: context manager, harmless cancel."""

    def cancel(self) -> None:
        """Stop the running answer; the default leaves that to closing the iterator."""

    def close(self) -> None:
        """Give back all memory."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


# --- what a model would take -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """What one device holds, or would hold; ``device`` as the engine names it: ``CPU``, ``CUDA0``.

    All in bytes. Host memory that a GPU driver pins counts as ``CPU``. ``repack_bytes`` are copies
    of weights in another order, besides the weights; only a real load knows them.
    ``projector_bytes`` are an image projector and the buffers in which it computes, where a session
    has one loaded.
    """

    device: str
    weights_bytes: int = 0
    kv_cache_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0
    repack_bytes: int = 0
    projector_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DryLoad:
    """What the engine itself says it would allocate; nothing was allocated, no weights were read.

    ``settings`` are those in effect, ``context`` is in tokens. ``cells_global`` and
    ``cells_window`` are the positions that one layer's cache holds, 0 where no layer is of that
    kind. ``compute_bytes`` are the buffers of a computation, ``output_bytes`` those of its results.
    ``weights_bytes`` counts a tensor for each device that holds it. ``devices`` add up to the
    whole. ``basis`` says how the figures were come by: ``dry load`` where the engine's own code
    said them, ``formula`` where the plugin reckons what the engine will do. How exact the figures
    are, the backend says.
    """

    engine: str
    settings: Settings
    context: int
    kv_cache_bytes: int
    kv_cache_global_bytes: int
    kv_cache_window_bytes: int
    cells_global: int
    cells_window: int
    compute_bytes: int
    output_bytes: int
    weights_bytes: int
    flash_attention: bool
    devices: tuple[DeviceUse, ...]
    basis: str = "dry load"


# --- a backend ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can be used here; if not, why, and what to do about it."""

    ok: bool
    version: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of one backend, declared once for front ends, configuration and docs."""

    name: str
    help: str
    type: type = str
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that an engine holds in memory now, whoever loaded it.

    ``name`` is the engine's own, ``reference`` what gemmahub knows it by, ``label`` the engine's
    label of its precision. Figures are the engine's own, in bytes and tokens; None where it does
    not say. ``device_bytes`` is the part of ``memory_bytes`` on accelerators, ``device`` where it
    lies in words. ``until`` is when it will be unloaded (ISO 8601), empty for never or not known;
    ``place`` is the server's address, empty for this process.
    """

    name: str
    backend: str
    reference: str = ""
    label: str = ""
    memory_bytes: int | None = None
    device_bytes: int | None = None
    context: int | None = None
    device: str = ""
    until: str = ""
    place: str = ""


OnProgress = Callable[[float], None]
"""Called with the fraction done, 0 to 1."""


class Backend:
    """An engine that runs artifacts. Subclass it, set the class data, write the two methods.

    ``in_process`` says that the engine is a library inside this Python: the core then runs it in a
    worker process, so that an abort of the engine is an error and not the end of the program.
    ``capabilities`` names what it has of the optional: ``dry_load`` is that method, ``images`` says
    that its sessions take images where the artifact has a projector. ``automatic`` False
    means: only when named by ``--backend``. ``checked_version`` is the version of the engine that
    the plugin was checked against; ``gemmahub doctor`` says when another one is installed.
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
        """Whether the engine can be used here. Cheap, never raises."""
        raise NotImplementedError

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> Session:
        """Load a model.

        Raises: LoadFailed when the engine refuses the file or the settings.
        """
        raise NotImplementedError

    def suits(self, artifact: Artifact) -> bool:
        """Whether it may be taken for this artifact of its formats without being named.

        The default is ``automatic``; a backend that serves one store says so here. Cheap.
        """
        return self.automatic

    def loaded(self) -> Sequence[LoadedModel]:
        """What its engine holds in memory now, for ``gemmahub ps``: for engines that are servers.

        Only asked while it is available. Raises: BackendError.
        """
        return ()

    def dry_load(self, artifact: Artifact, settings: Settings) -> DryLoad:
        """What a load would allocate; a file with its header and no weights is enough.

        Optional: a backend that has it names ``dry_load`` among its capabilities.

        Raises: LoadFailed when the engine refuses the header or the settings; BackendError when
        this backend cannot tell.
        """
        from gemmahub.errors import BackendError

        raise BackendError(
            f"{self.name} cannot say what it would allocate without loading the model",
            "use the estimate by formula",
        )

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
                    f"it takes {_KINDS.get(option.type, option.type.__name__)}",
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


# --- stores and checks -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """Something in a store that should be a model and is not; shown as a row with its reason."""

    path: Path
    store: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in one store."""

    artifacts: tuple[Artifact, ...] = ()
    broken: tuple[BrokenEntry, ...] = ()


class Store(Protocol):
    """A place on this machine where artifacts lie."""

    @property
    def name(self) -> str:
        """Short name, unique among the stores."""
        ...

    def inventory(self) -> Inventory:
        """What lies there now. Reads folders, not files; a missing place is an empty inventory."""
        ...


@dataclass(frozen=True, slots=True)
class RemovalStep:
    """One path that goes when a model is removed. Steps are taken in their order.

    ``kind`` is ``entry`` (a name by which the tool finds the model: a link, a manifest, a ref),
    ``data`` (what entries lead to; :meth:`ManagedStore.discard` removes it, unless something else
    uses it by then) or ``folder`` (goes only when it is empty).
    """

    path: Path
    kind: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A path that stays, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What leaves a store with some artifacts: entries first, then what they lead to."""

    steps: tuple[RemovalStep, ...] = ()
    kept: tuple[Kept, ...] = ()


@runtime_checkable
class ManagedStore(Protocol):
    """A store that also says how its models are removed. Optional: a plain Store lists only."""

    @property
    def name(self) -> str:
        """Short name, unique among the stores."""
        ...

    @property
    def tool(self) -> str:
        """The tool whose store it is, empty for a folder of the user's own."""
        ...

    @property
    def root(self) -> Path:
        """The folder that holds it all."""
        ...

    def inventory(self) -> Inventory:
        """As :meth:`Store.inventory`."""
        ...

    def removal(self, artifacts: Sequence[Artifact]) -> Removal:
        """What would go if these artifacts of this store went together. Changes nothing."""
        ...

    def discard(self, path: Path) -> str:
        """Remove a ``data`` path that nothing uses any more.

        Looks again whether something uses it, and then returns the reason why it stays; empty
        when it is gone. Raises: OSError.
        """
        ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of ``gemmahub doctor``; ``status`` is ``ok``, ``warning`` or ``failed``."""

    name: str
    status: str
    message: str
    hint: str = ""
