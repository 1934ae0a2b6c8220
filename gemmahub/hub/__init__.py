"""Hugging Face: what a repository holds, and what a model in it is, before anything is fetched.

::

    hub = Hub(config.cache, load_catalog(), say=...)
    model = hub.resolve("google/gemma-3-4b-it-qat-q4_0-gguf")   # commit, files, sizes, sha256s
    remote = hub.remote_model(model)                            # as open_model() gives it
    path = hub.write_remote_header(model, folder)               # for a dry load
    found = hub.search("gemma 3 4b", limit=10)
    pulled = hub.download(hub.plan_download(model, cache_folder()), sums, on_progress=...)

huggingface_hub does the talking (session, proxies, login) and keeps the cache. This package loads
it, and anything else of the network, when a method is called and not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gemmahub.hub.client import HubClient, Traffic, is_offline
    from gemmahub.hub.door import Hub
    from gemmahub.hub.download_records import DownloadPlan, Progress, Pulled
    from gemmahub.hub.records import (
        FoundFile,
        FoundRepository,
        HubFile,
        HubModel,
        RemoteModel,
        Repository,
    )
    from gemmahub.hub.remote_file import RangedFile

_HOME: Final = {
    "DownloadPlan": "download_records",
    "FoundFile": "records",
    "FoundRepository": "records",
    "Hub": "door",
    "HubClient": "client",
    "HubFile": "records",
    "HubModel": "records",
    "Progress": "download_records",
    "Pulled": "download_records",
    "RangedFile": "remote_file",
    "RemoteModel": "records",
    "Repository": "records",
    "Traffic": "client",
    "is_offline": "client",
}

__all__ = [
    "DownloadPlan",
    "FoundFile",
    "FoundRepository",
    "Hub",
    "HubClient",
    "HubFile",
    "HubModel",
    "Progress",
    "Pulled",
    "RangedFile",
    "RemoteModel",
    "Repository",
    "Traffic",
    "is_offline",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"gemmahub.hub.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
