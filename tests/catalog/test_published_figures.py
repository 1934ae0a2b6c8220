"""Our figures against those that others published, as exactly as these are rounded."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.records import CatalogVariant, Model, StoredTypes
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.memory import ImageMemory, MachineMemory, MemorySettings, plan_memory, weights_of
from gemmahub.memory.kv_cache import kv_cache
from gemmahub.recommend.quality import CACHE_SHARE, loss_of
from tests.catalog.file_sizes import data_bytes, table_bytes
from tests.catalog.test_catalog_data import METADATA_BYTES

CATALOG: Final = load_catalog()
FILE: Final = Path(__file__).with_name("published_figures.toml")
PUBLISHED: Final[dict[str, Any]] = tomllib.loads(FILE.read_text("utf-8"))
GIB: Final = 1 << 30
SIZES: Final = [name for name in PUBLISHED["google"] if name.startswith("gemma")]


def model(name: str) -> Model:
    found = CATALOG.model(name)
    assert found is not None
    return found


def qat(name: str) -> CatalogVariant:
    found = model(name).variant("q4_0-qat")
    assert found is not None
    assert found.types is not None
    return found


@pytest.mark.parametrize("name", SIZES)
def test_googles_memory_table_is_of_as_many_weights(name: str) -> None:
    least = sum(t.parameters for t in variant_tensors(model(name).architecture, FULL[name]))
    projector = qat(name).projector
    assert projector is not None
    # Parts of a projector are in 32 bits, so it has at most half as many weights as bytes.
    most = least + projector.bytes / 2
    for bytes_a_weight, type_ in ((2, "BF16"), (1, "SFP8"), (0.5, "Q4_0")):
        said = PUBLISHED["google"][name][type_]
        low, high = (count * bytes_a_weight * 1.2 / GIB for count in (least, most))
        assert low - 0.05 <= said <= high + 0.05, (type_, low, high)


# The checkpoints of the E sizes keep the key and value weights that no layer uses.
FULL: Final = {name: StoredTypes(default="BF16", unused_kv=True) for name in SIZES}


@pytest.mark.parametrize("name", SIZES)
def test_unsloths_sizes_are_those_of_the_catalogue(name: str) -> None:
    said = PUBLISHED["unsloth"][name]
    qat_file = model(name).variant("ud-q4_k_xl-qat")
    assert qat_file is not None
    assert rounded_as(said["QAT"], (qat_file.bytes or 0) / 1e9) == said["QAT"]
    tensors = variant_tensors(model(name).architecture, FULL[name])
    size = data_bytes(tensors) + table_bytes(tensors) + METADATA_BYTES["gemma4"][0]
    assert rounded_as(said["BF16"], size / 1e9) == said["BF16"]


def rounded_as(text: str, value: float) -> str:
    return f"{value:.{len(text.partition('.')[2])}f}"


@pytest.mark.parametrize(("one", "other"), list(pairwise(PUBLISHED["pool"]["tokens"])))
def test_the_cache_of_a_token_is_the_slope_of_vllms_pool(one: list[int], other: list[int]) -> None:
    # Of a pool each request takes its tokens' bytes, and the same for its windows.
    def a_request(gibibytes: float, length: int, tokens: int) -> float:
        return gibibytes * GIB * length / tokens

    said = float(PUBLISHED["pool"]["gibibytes"])
    slopes = [
        (a_request(pool, *other) - a_request(pool, *one)) / (other[0] - one[0])
        for pool in (said - 0.05, said + 0.05)
    ]
    architecture = memory_architecture(model("gemma-4-12b-it").architecture)
    caches = [kv_cache(architecture, MemorySettings(context=length[0])) for length in (one, other)]
    ours = (caches[1].global_bytes - caches[0].global_bytes) / (other[0] - one[0])
    assert ours == 16_384
    assert slopes[0] - 1 <= ours <= slopes[1] + 1


@pytest.mark.parametrize("name", [n for n in PUBLISHED["ollama"] if n.startswith("gemma")])
def test_plans_lie_where_people_saw_ollama(name: str) -> None:
    variant = qat(name)
    architecture = model(name).architecture
    assert variant.types is not None
    assert variant.projector is not None
    plan = plan_memory(
        memory_architecture(architecture),
        weights_of(variant_tensors(architecture, variant.types)),
        MemorySettings(context=16_384),
        MachineMemory((), 64 * GIB, 64 * GIB),
        images=ImageMemory(variant.projector.bytes, None),
    )
    least, most = PUBLISHED["ollama"][name]
    assert least <= plan.total_bytes / 1e9 <= most


def share(bits: int, training: str = "PTQ") -> float:
    found = loss_of({2: "Q2_K", 3: "Q3_K_M", 4: "Q4_K_M", 8: "Q8_0"}[bits], training).share
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "few", "many"), [
    ("gemma-3-4b-it", 2, 4), ("gemma-3-12b-it", 2, 4), ("gemma-3-27b-it", 2, 4),
    ("gemma-3-12b-it", 4, 8), ("gemma-3-27b-it", 4, 8),
])  # fmt: skip
def test_what_precision_costs_is_of_the_order_of_scores_by_precision(
    name: str, few: int, many: int
) -> None:
    scores = PUBLISHED["clam"][name]
    said = 1 - scores[str(few)] / scores[str(many)]
    ours = 1 - (1 - share(few)) / (1 - share(many))
    assert said > 0 < ours
    # One language and one benchmark: within a factor of three.
    assert 1 / 3 <= ours / said <= 3


def test_fewer_bits_cost_more_as_in_the_scores() -> None:
    assert share(8) < share(4) < share(3) < share(2)


def test_training_for_4_bits_costs_less_as_in_the_divergences() -> None:
    said = PUBLISHED["divergence"]
    ours = {
        "QAT": loss_of("Q4_0", "QAT").share or 1,
        "QAT, 8 bits in its MLP": loss_of("8bit", "QAT").share or 1,
        "PTQ": share(4),
    }
    assert ours["QAT"] < ours["PTQ"]
    assert ours["QAT, 8 bits in its MLP"] < ours["PTQ"]
    for key in ("divergence", "perplexity"):
        assert said["QAT"][key] < said["PTQ"][key]
        assert said["QAT, 8 bits in its MLP"][key] < said["PTQ"][key]
    # Of QAT the perplexity itself is of the order of the share that it is said to cost.
    more = said["QAT"]["perplexity"] / said["reference"] - 1
    assert 0.5 <= ours["QAT"] / more <= 2


def test_a_cache_of_4_bits_is_a_bad_bargain_and_one_of_8_is_not() -> None:
    assert PUBLISHED["cache"]["q8_0"] == "almost free"
    assert CACHE_SHARE["q8_0"] <= 0.01
    assert CACHE_SHARE["q4_0"] >= 10 * CACHE_SHARE["q8_0"]
