"""The JSON of the disk: ``du``, ``rm`` and ``dedupe``."""

from __future__ import annotations

from typing import TypedDict


class StoreUsageJson(TypedDict):
    """What one store takes."""

    store: str
    root: str | None
    models: int
    model_bytes: int
    other_bytes: int


class UsagePlaceJson(TypedDict):
    """One place where a model is."""

    store: str
    path: str


class ModelUsageJson(TypedDict):
    """What one model takes in all its places."""

    reference: str
    size_bytes: int | None
    disk_bytes: int
    places: list[UsagePlaceJson]


class DuplicateJson(TypedDict):
    """One content in several files."""

    sha256: str
    size_bytes: int
    paths: list[str]
    extra_bytes: int
    linkable_bytes: int


class UnfinishedJson(TypedDict):
    """What an interrupted download left."""

    reference: str
    bytes: int


class DiskUsageJson(TypedDict):
    """Disk usage by store and by model, with duplicates."""

    disk_bytes: int
    stores: list[StoreUsageJson]
    models: list[ModelUsageJson]
    duplicates: list[DuplicateJson]
    unknown: list[str]
    unfinished: list[UnfinishedJson]


class KeptPathJson(TypedDict):
    """A path that stays, and why."""

    path: str
    reason: str


class StoreRemovalJson(TypedDict):
    """What goes from one store."""

    store: str
    models: list[str]
    paths: list[str]
    freed_bytes: int


class RemovalPlanJson(TypedDict):
    """What would be removed (``rm --dry-run``)."""

    stores: list[StoreRemovalJson]
    freed_bytes: int
    kept: list[KeptPathJson]
    refused: list[KeptPathJson]
    in_use: list[KeptPathJson]


class RemovedJson(TypedDict):
    """What was removed."""

    freed_bytes: int
    removed: list[str]
    kept: list[KeptPathJson]
    failed: list[KeptPathJson]


class ShareJson(TypedDict):
    """A file that can share the place of another."""

    path: str
    kept: str
    sha256: str
    size_bytes: int
    freed_bytes: int


class DedupePlanJson(TypedDict):
    """Which files could share their place."""

    method: str
    shares: list[ShareJson]
    freed_bytes: int
    refused: list[KeptPathJson]


class DedupedJson(TypedDict):
    """Which files share their place now (``dedupe --apply``)."""

    record: str | None
    shared: list[str]
    freed_bytes: int
    skipped: list[KeptPathJson]


class UndoneJson(TypedDict):
    """Which files have a place of their own again (``dedupe --undo``)."""

    copied: list[str]
    skipped: list[KeptPathJson]
