"""The stores that gemmahub itself knows: the hub's cache, other tools', the user's folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.config import Config
    from gemmahub.engines.contract import ManagedStore


def default_stores(config: Config, formats: Mapping[str, str]) -> list[ManagedStore]:
    """All of them, then the folders of the settings and
    that of models made here; ``config.stores`` may leave out tools'.

    ``formats`` are those that plugins read, by the ends of file names (``{".sand": "sandbank"}``).
    """
    from gemmahub.stores.folder import FolderStore
    from gemmahub.stores.hf_cache import HuggingFaceStore
    from gemmahub.stores.llamacpp import LlamaCppStore

    known: list[ManagedStore] = [HuggingFaceStore(), LlamaCppStore()]
    chosen = [store for store in known if wanted(store.name, config)]
    folders = [FolderStore(folder, str(folder), formats=formats) for folder in config.folders]
    made = made_here(config)
    if made.is_dir() and made not in config.folders:
        folders.append(FolderStore(made, "gemmahub", formats=formats))
    return [*chosen, *folders]


def made_here(config: Config) -> Path:
    """The folder for models that were made here, which may not be there yet."""
    return config.data / "models"


def wanted(name: str, config: Config) -> bool:
    """Whether the settings let gemmahub look into the store of that name."""
    return config.stores is None or name in config.stores
