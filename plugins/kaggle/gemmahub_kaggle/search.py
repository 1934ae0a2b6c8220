"""Search results of Kaggle as the contract has them: a model, and its variations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.sources import FoundFile, FoundRepository
from gemmahub.formats.kinds import kind_of
from gemmahub.precision.labels import label_in_name
from gemmahub_kaggle.handle import SCHEME

if TYPE_CHECKING:
    from gemmahub_kaggle.api import KaggleModelPage, Variation

_GOOGLE: Final = "google"
_FORMATS: Final = {"gguf": "gguf", "transformers": "safetensors", "gemmaCpp": "sbs",
                   "flax": "orbax", "jax": "orbax", "pyTorch": "pytorch"}  # fmt: skip
"""What a variation for a framework most often is; its files say what it really is."""


def found_in(page: KaggleModelPage) -> FoundRepository:
    """A model of a listing. Kaggle says nothing of a licence that has to be accepted."""
    licences = dict.fromkeys(each.licence for each in page.variations if each.licence)
    return FoundRepository(
        name=f"{SCHEME}{page.handle.model_name}",
        files=tuple(_file(each) for each in page.variations),
        official=page.handle.owner == _GOOGLE,
        private=page.private,
        licence=", ".join(licences),
    )


def _file(found: Variation) -> FoundFile:
    handle = replace(found.handle, version=0)
    name = f"{handle.framework}/{handle.variation}"
    return FoundFile(
        reference=handle.reference,
        path=name,
        format=_FORMATS.get(handle.framework, handle.framework.lower()),
        label=label_in_name(handle.variation),
        basis="by name",
        size_bytes=found.size,
        qat="qat" in handle.variation.lower(),
        kind=kind_of(f"{handle.model}/{handle.variation}"),
    )
