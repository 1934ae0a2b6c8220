"""What precisions cost, by divergences that were measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.recommend.measured_quality import MeasuredDivergence, measured_losses
from gemmahub.stores.identity import content_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from gemmahub.catalog.records import Catalog
    from gemmahub.measurements.records import QualityResult
    from gemmahub.measurements.results import Results
    from gemmahub.recommend.quality import Loss
    from gemmahub.registry.registry import Registry
    from gemmahub.registry.variants import Variant
    from gemmahub.stores.identity import ContentSums


def known_losses(results: Results, registry: Registry, sums: ContentSums) -> dict[str, Loss]:
    """The losses that measured divergences tell, by reference; they hold for any machine."""
    from gemmahub.measurements.records import QualityResult

    if not results.kept:
        return {}
    contents = {
        content: variant.reference
        for variant in registry.models(catalogue=True).variants
        for content in contents_of(variant, registry.catalog, sums)
    }
    found = []
    for kept in results.kept:
        result = kept.result
        if isinstance(result, QualityResult) and not kept.origin:
            reference = contents.get(result.model.content)
            if reference is not None and result.divergence is not None:
                found.append(_divergence(reference, result))
    return measured_losses(found)


def contents_of(variant: Variant, catalog: Catalog, sums: ContentSums) -> Iterator[str]:
    """The sha256 of its weights: as they lie here, else as the catalogue knows its file."""
    from gemmahub.planning.model import catalogued

    for artifact in variant.artifacts:
        if content := content_of(artifact, sums):
            yield content
    entry = catalogued(variant, catalog)
    if entry is not None and not variant.artifacts and entry[1].sha256:
        yield entry[1].sha256


def _divergence(reference: str, result: QualityResult) -> MeasuredDivergence:
    found = result.divergence
    assert found is not None
    other = found.reference
    return MeasuredDivergence(
        variant=reference,
        label=result.model.label,
        training=result.model.training,
        reference_training=other.training,
        nats=found.mean.value,
        alike=(other.content, text_key(result)),
        basis=one_line(
            f"divergence {found.mean.value:.4f} from its {other.label or other.precision}, "
            f"measured here ({text_in_words(result)})",
            300,
        ),
    )


def text_key(result: QualityResult) -> Hashable:
    """What must be the same for figures of quality to be compared: text, window, chunks."""
    return result.text.sha256, result.text.window, result.text.chunks


def text_in_words(result: QualityResult) -> str:
    """``prose, 40 windows of 512 tokens, llama.cpp 0.3.36``."""
    text = result.text
    return one_line(
        f"{text.name}, {text.chunks} windows of {text.window} tokens, {result.conditions.build}"
    )
