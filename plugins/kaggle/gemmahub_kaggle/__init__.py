"""Kaggle for gemmahub: models are found and pulled, and what kagglehub's cache holds is listed.

Only hooks live here; kagglehub is imported when Kaggle is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import CheckResult, Setting, Store
    from gemmahub.engines.sources import Source

GEMMAHUB_CONTRACT: Final = 2


@hookimpl
def gemmahub_settings() -> Sequence[Setting]:
    """Where Kaggle is asked."""
    from gemmahub_kaggle.endpoint import SETTINGS

    return SETTINGS


@hookimpl
def gemmahub_stores() -> list[Store]:
    """kagglehub's cache, unless the settings leave it out (``GEMMAHUB_STORES``), as they can the
    Hugging Face cache: gemmahub pulls into both, and other tools have models there."""
    from gemmahub.config import load_config
    from gemmahub_kaggle.store import KaggleStore

    store, wanted = KaggleStore(), load_config().stores
    return [store] if wanted is None or store.name in wanted else []


@hookimpl
def gemmahub_sources() -> list[Source]:
    """Kaggle's models."""
    from gemmahub_kaggle.source import KaggleSource

    return [KaggleSource()]


@hookimpl
def gemmahub_checks() -> list[CheckResult]:
    """Whether there is a login."""
    from gemmahub_kaggle.login import checks

    return checks()
