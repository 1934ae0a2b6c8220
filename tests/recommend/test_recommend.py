"""What is recommended: rules of the ranking, held against the whole catalogue."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import tensors_by_layer
from gemmahub.errors import DoesNotFit, NotFound
from gemmahub.memory import DeviceMemory, MachineMemory, plan_memory, weights_by_layer
from gemmahub.planning.candidates import candidates_of
from gemmahub.recommend.alternatives import reasons_of
from gemmahub.recommend.goals import RESERVE, Requirements, Use
from gemmahub.recommend.ranking import Ranking, recommend
from gemmahub.recommend.records import Candidate, DevicePlace
from gemmahub.recommend.speed import Bandwidths, SeenSpeed
from gemmahub.recommend.speed_figures import OVERHEAD, PLACES

GIB = 1 << 30
CATALOG = load_catalog()


@cache
def candidates() -> tuple[Candidate, ...]:
    return tuple(candidates_of([], CATALOG))


def of(model: str, label: str, training: str = "none", default: str = "BF16") -> Candidate:
    """A variant of a catalogued model that the catalogue does not list."""
    found = CATALOG.model(model)
    assert found is not None
    tensors = tensors_by_layer(found.architecture, StoredTypes(default=default))
    return Candidate(
        reference=f"{model}:{label.lower()}",
        model=found,
        label=label,
        training=training,
        architecture=memory_architecture(found.architecture),
        weights=weights_by_layer(tensors.model, tensors.layers),
    )


def gpu(
    memory: float, ram: float = 64, bandwidth: int | None = None
) -> tuple[MachineMemory, Bandwidths]:
    size = int(memory * GIB)
    device = DeviceMemory("cuda:0", "cuda", size, size)
    host = int(ram * GIB)
    return MachineMemory((device,), host, host), Bandwidths((bandwidth,), 50 * 10**9)


def cpu(ram: float, bandwidth: int | None = 50 * 10**9) -> tuple[MachineMemory, Bandwidths]:
    size = int(ram * GIB)
    return MachineMemory((), size, size), Bandwidths((), bandwidth)


def ranked(
    place: tuple[MachineMemory, Bandwidths], wanted: Requirements | None = None, *more: Candidate
) -> Ranking:
    return recommend([*candidates(), *more], *_swap(place, wanted or Requirements()))


def reasons(ranking: Ranking, number: int) -> tuple[str, ...]:
    return reasons_of(ranking, number, ranking.largest_context(ranking.plans[number]))


def test_every_plan_leaves_the_reserve() -> None:
    for size in (4, 6, 8, 12, 16, 24, 32, 48, 80):
        for place in (gpu(size), cpu(size + 1)):
            for use in Use:
                for plan in ranked(place, Requirements(use)).plans:
                    assert plan.memory.headroom_bytes >= RESERVE, (
                        size,
                        plan.candidate.reference,
                    )


@given(memory=st.floats(3, 100), ram=st.floats(8, 128), use=st.sampled_from(list(Use)))
@hypothesis_settings(max_examples=25, deadline=None)
def test_no_plan_is_without_headroom(memory: float, ram: float, use: Use) -> None:
    place = gpu(memory, ram)
    ranking = ranked(place, Requirements(use))
    for plan in ranking.plans:
        candidate, settings = plan.candidate, plan.settings
        again = replace(settings, context=ranking.largest_context(plan))
        largest = plan_memory(
            candidate.architecture,
            candidate.weights,
            again,
            place[0],
            images=candidate.images if use is Use.VISION else None,
        )
        assert largest.headroom_bytes >= RESERVE


def test_more_memory_never_makes_the_first_worse() -> None:
    for ram in (5, 64):
        best = [ranked(gpu(size, ram)).plans[0].points for size in (3, 4, 6, 8, 12, 16, 24, 48, 80)]
        assert best == sorted(best)
        assert best[-1] > best[0] + 7


@pytest.mark.parametrize(
    ("size", "ram", "bandwidth", "model"),
    [
        (6, 8, None, "gemma-4-e4b-it"),
        (6, 64, None, "gemma-4-26b-a4b-it"),  # its experts in system memory
        (16, 8, None, "gemma-4-26b-a4b-it"),
        (24, 64, 936, "gemma-4-31b-it"),
        (24, 64, 273, "gemma-4-26b-a4b-it"),  # 31B fits, at a third of the speed
        (24, 64, None, "gemma-4-26b-a4b-it"),
    ],
)
def test_the_best_that_fits_a_gpu(size: int, ram: int, bandwidth: int | None, model: str) -> None:
    place = gpu(size, ram, bandwidth and bandwidth * 10**9)
    assert ranked(place).plans[0].candidate.group == model


def test_a_larger_model_at_int4_is_better_than_a_smaller_at_16_bits() -> None:
    small = of("gemma-4-12b-it", "BF16")
    place = gpu(27, bandwidth=936 * 10**9)
    plans = ranked(place, Requirements(every_variant=True), small).plans
    assert small in [plan.candidate for plan in plans]  # it fits
    assert plans[0].candidate.group == "gemma-4-31b-it"
    assert plans[0].candidate.training == "QAT"


def test_qat_stands_above_quantization_after_training_at_equal_bits() -> None:
    trained = of("gemma-3-12b-it", "Q4_0", "QAT", "Q4_0")
    after = replace(trained, reference="gemma-3-12b-it:ptq", training="PTQ")
    plans = recommend([after, trained], *_swap(gpu(12), Requirements(every_variant=True))).plans
    assert [c.candidate.training for c in plans] == ["QAT", "PTQ"]


def _swap(
    place: tuple[MachineMemory, Bandwidths], wanted: Requirements
) -> tuple[tuple[DevicePlace, ...], Requirements]:
    return (DevicePlace(*place),), wanted


def test_what_is_installed_wins_at_equal_points() -> None:
    one = of("gemma-3-12b-it", "Q4_0", "QAT", "Q4_0")
    two = replace(one, reference="gemma-3-12b-it:zzz", installed=True)
    plans = recommend([one, two], *_swap(gpu(12), Requirements(every_variant=True))).plans
    assert plans[0].candidate is two


def test_layers_stay_on_the_host_where_that_is_worth_more() -> None:
    for plan in ranked(gpu(8, ram=7, bandwidth=300 * 10**9)).plans:
        if plan.candidate.group in ("gemma-4-e4b-it", "gemma-4-e2b-it"):  # they fit whole
            assert plan.memory.gpu_layers == len(plan.candidate.architecture.layers) + 1
    large = [c for c in candidates() if c.group == "gemma-4-31b-it"]
    place = gpu(8, bandwidth=300 * 10**9)
    plan = recommend(large, *_swap(place, Requirements(every_variant=True))).plans[0]
    layers = len(plan.candidate.architecture.layers) + 1
    assert 0 < plan.memory.gpu_layers < layers
    assert plan.speed is not None
    whole = recommend(large, *_swap(gpu(48, bandwidth=300 * 10**9), Requirements())).plans[0]
    assert whole.speed is not None
    assert plan.speed.likely < whole.speed.likely / 2


def test_without_offload_nothing_fits_and_the_smallest_is_named() -> None:
    large = [c for c in candidates() if c.group == "gemma-4-31b-it"]
    with pytest.raises(DoesNotFit) as failure:
        recommend(large, *_swap(gpu(8), Requirements(offload=False)))
    assert "gemma-4-31b-it:ud-q4_k_xl-qat" in failure.value.message
    assert "--no-offload" in failure.value.hint


def test_a_machine_with_little_memory_is_told_what_the_smallest_model_needs() -> None:
    with pytest.raises(DoesNotFit) as failure:
        ranked(cpu(0.3))
    assert "gemma-3-270m-it:q4_0-qat, needs 256 MiB with 4,096 tokens" in failure.value.message


def test_a_demanded_context_is_kept_and_the_cache_pays_for_it() -> None:
    large = [c for c in candidates() if c.reference == "gemma-3-27b-it:q4_0-qat"]
    plan = recommend(large, *_swap(gpu(24), Requirements(context=131_072))).plans[0]
    assert plan.settings.context == 131_072
    assert plan.settings.cache_type_k == plan.settings.cache_type_v == "q8_0"
    with pytest.raises(DoesNotFit):
        recommend(large, *_swap(gpu(20), Requirements(context=131_072, offload=False)))


def test_a_context_beyond_the_trained_one_is_for_models_that_have_none_longer() -> None:
    assert all(
        plan.candidate.architecture.context_length >= 200_000
        for plan in ranked(gpu(80), Requirements(context=200_000)).plans
    )
    large = [c for c in candidates() if c.reference == "gemma-3-4b-it:q4_0-qat"]
    ranking = recommend(large, *_swap(gpu(80), Requirements(context=200_000)))
    assert any(
        "more than the 131,072 that it was trained for" in reason for reason in reasons(ranking, 0)
    )


def test_vision_takes_models_with_a_projector_and_counts_it() -> None:
    ranking = ranked(gpu(16), Requirements(Use.VISION))
    for plan in ranking.plans:
        assert plan.candidate.images is not None
        counted = sum(place.projector_bytes for place in plan.memory.places)
        assert counted >= plan.candidate.images.projector_bytes
    text_only = [c for c in candidates() if c.group == "gemma-3-1b-it"]
    with pytest.raises(NotFound, match="images"):
        recommend(text_only, *_swap(gpu(16), Requirements(Use.VISION)))


def test_fast_prefers_fewer_bytes_a_token() -> None:
    place = cpu(32)
    chat, fast = ranked(place).plans[0], ranked(place, Requirements(Use.FAST)).plans[0]
    assert chat.speed is not None
    assert fast.speed is not None
    assert fast.speed.likely > 1.5 * chat.speed.likely


def test_long_context_is_longer() -> None:
    chat = ranked(gpu(12)).plans[0]
    long = ranked(gpu(12), Requirements(Use.LONG_CONTEXT)).plans[0]
    assert long.settings.context > chat.settings.context


def test_a_base_model_and_one_without_a_score_come_last() -> None:
    base = replace(of("gemma-4-31b", "Q4_0", "QAT", "Q4_0"), installed=True)
    unknown = replace(
        of("gemma-4-31b-it", "Q4_0", "PTQ", "Q4_0"), reference="/models/x.gguf", model=None
    )
    plans = ranked(gpu(48), Requirements(), base, unknown).plans
    names = [plan.candidate.group for plan in plans]
    assert names.index("gemma-4-12b-it") < names.index("/models/x.gguf")
    assert names.index("gemma-4-12b-it") < names.index("gemma-4-31b")


def test_speed_follows_from_the_bytes_a_token_reads_and_a_fixed_time() -> None:
    place = gpu(80, bandwidth=1000 * 10**9)
    dense = next(c for c in candidates() if c.reference == "gemma-4-31b-it:q4_0-qat")
    plan = recommend([dense], *_swap(place, Requirements())).plans[0]
    assert plan.speed is not None
    read = sum(dense.weights.layers) + dense.weights.output_layer
    cache_read = plan.traffic.devices[0] - read
    assert 0 < cache_read < plan.memory.kv_cache.bytes
    assert plan.traffic.host == 0
    seconds = plan.traffic.devices[0] / (PLACES["cuda"].share * 1000e9) + OVERHEAD["dense"]
    assert plan.speed.likely == pytest.approx(1 / seconds)
    assert plan.speed.low < plan.speed.likely < plan.speed.high


def test_a_mixture_reads_its_chosen_experts_only() -> None:
    place = gpu(80, bandwidth=1000 * 10**9)
    mixture = next(c for c in candidates() if c.reference == "gemma-4-26b-a4b-it:q4_0-qat")
    plan = recommend([mixture], *_swap(place, Requirements())).plans[0]
    whole = mixture.weights.bytes
    assert plan.traffic.devices[0] < whole / 3
    idle = sum(mixture.weights.experts) * (1 - 8 / 128)
    weights = sum(mixture.weights.layers) + mixture.weights.output_layer - idle
    assert weights < plan.traffic.devices[0] < 1.15 * weights  # and the cache


def test_measured_speeds_replace_the_estimate_and_scale_the_others() -> None:
    measured = replace(
        of("gemma-3-4b-it", "Q4_0", "QAT", "Q4_0"), measured=SeenSpeed(((4096, 9.0),))
    )
    other = of("gemma-3-12b-it", "Q4_0", "QAT", "Q4_0")
    tiny = of("gemma-3-270m-it", "Q4_0", "QAT", "Q4_0")
    place = cpu(16)
    estimated = {
        c.candidate.group: c for c in recommend([other], *_swap(place, Requirements())).plans
    }
    found = {
        c.candidate.group: c
        for c in recommend([measured, other, tiny], *_swap(place, Requirements())).plans
    }
    own, scaled = found["gemma-3-4b-it"].speed, found["gemma-3-12b-it"].speed
    before = estimated["gemma-3-12b-it"].speed
    far = found["gemma-3-270m-it"].speed
    assert own is not None
    assert scaled is not None
    assert before is not None
    assert far is not None
    assert own.likely == 9.0
    assert own.basis == "measured on this machine"
    ratio = found["gemma-3-4b-it"].traffic.host / found["gemma-3-12b-it"].traffic.host
    assert scaled.likely == pytest.approx(9.0 * ratio)
    assert "scaled" not in far.basis  # a model of another order of size tells nothing of it
    assert scaled.high / scaled.low < before.high / before.low


def test_an_unknown_bandwidth_is_an_unknown_speed() -> None:
    plan = ranked(gpu(24)).plans[0]
    assert plan.speed is None


def test_the_reasons_tell_the_trade() -> None:
    ranking = ranked(gpu(24, bandwidth=900 * 10**9))
    text = " ".join(reasons(ranking, 0))
    assert "MMLU-Pro 85.2" in text
    assert "trained for its 4 bits (QAT)" in text
    assert "The runner-up, gemma-4-26b-a4b-it:q" in text
    assert "points less" in text
    assert "times as fast" in text
    assert reasons(ranking, 1)[-1].startswith("Against the first:")


def test_the_stronger_model_that_does_not_fit_is_named() -> None:
    ranking = ranked(gpu(12, ram=5))
    assert any(
        reason.startswith("gemma-4-31b-it:ud-q4_k_xl-qat would be better but does not fit")
        for reason in reasons(ranking, 0)
    )
