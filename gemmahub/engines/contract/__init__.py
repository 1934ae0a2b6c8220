"""What a plugin and the core say to each other: everything here is the contract.

A plugin offers :class:`Backend` objects. A backend loads an :class:`Artifact`, or a
:class:`ServedModel` of its server, with :class:`Settings` and gives a :class:`Session`; a session
streams :class:`Chunk` objects. Stores hold artifacts, sources (:mod:`gemmahub.engines.sources`)
have more of them. All records are frozen and consist of plain values, so that they cross a process
border unchanged.

A backend raises :class:`gemmahub.errors.BackendError` and its subclasses, nothing else, and never
prints. Everything on its standard output and error is kept as the engine's log.
"""

from gemmahub.engines.contract.backend import (
    Availability,
    Backend,
    EngineDevice,
    EngineServer,
    Loadable,
    OnProgress,
)
from gemmahub.engines.contract.capabilities import (
    CAPABILITIES,
    OF_BACKENDS,
    OF_SESSIONS,
    OF_SETTINGS,
)
from gemmahub.engines.contract.conversation import (
    Chunk,
    ChunkKind,
    FinishReason,
    Message,
    Prompt,
    PromptRead,
    Sampling,
    Tool,
    ToolCall,
    Usage,
)
from gemmahub.engines.contract.declared import Option, Setting
from gemmahub.engines.contract.memory import DeviceUse, DryLoad
from gemmahub.engines.contract.models import Artifact, LoadedModel, ServedModel, last_read
from gemmahub.engines.contract.quantizing import (
    DryQuantization,
    Quantization,
    Rounding,
    WeightToWrite,
)
from gemmahub.engines.contract.sessions import ScoredText, Session, SessionBase, SessionInfo
from gemmahub.engines.contract.settings import Adapter, Cluster, Settings
from gemmahub.engines.contract.stores import (
    BrokenEntry,
    CheckResult,
    DownloadStore,
    Inventory,
    Kept,
    ManagedStore,
    Removal,
    RemovalStep,
    Store,
    Unfinished,
)
from gemmahub.engines.contract.versions import CONTRACT_OLDEST, CONTRACT_VERSION

__all__ = [
    "CAPABILITIES",
    "CONTRACT_OLDEST",
    "CONTRACT_VERSION",
    "OF_BACKENDS",
    "OF_SESSIONS",
    "OF_SETTINGS",
    "Adapter",
    "Artifact",
    "Availability",
    "Backend",
    "BrokenEntry",
    "CheckResult",
    "Chunk",
    "ChunkKind",
    "Cluster",
    "DeviceUse",
    "DownloadStore",
    "DryLoad",
    "DryQuantization",
    "EngineDevice",
    "EngineServer",
    "FinishReason",
    "Inventory",
    "Kept",
    "Loadable",
    "LoadedModel",
    "ManagedStore",
    "Message",
    "OnProgress",
    "Option",
    "Prompt",
    "PromptRead",
    "Quantization",
    "Removal",
    "RemovalStep",
    "Rounding",
    "Sampling",
    "ScoredText",
    "ServedModel",
    "Session",
    "SessionBase",
    "SessionInfo",
    "Setting",
    "Settings",
    "Store",
    "Tool",
    "ToolCall",
    "Unfinished",
    "Usage",
    "WeightToWrite",
    "last_read",
]
