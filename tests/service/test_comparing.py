"""Variants side by side: the figures of the other commands, the best of a row, and the words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import NotFound, UsageError
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.planning import ContextTotal
from gemmahub.planning.recommending import Recommendation
from gemmahub.precision.mix import MixEntry
from gemmahub.service import PlanOptions, Requirements
from gemmahub.service.comparing import CONTEXTS, MOST, Difference, roles_of
from gemmahub.service.comparing.rows import sections
from gemmahub.service.comparing.table import Row, TableCell, lines_of
from gemmahub.service.comparing.text import compare_command, machine_line
from gemmahub.service.overview import LibraryReading
from gemmahub.testing.hub.content import Served
from tests.hub.conftest import server  # noqa: F401 - a fixture
from tests.tui.library_support import HERE, SteadyHub, install, steady_hub

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service.comparing import Comparison
    from gemmahub.testing.hub.server import HubServer

QAT, PTQ = "gemma-3-12b-it:q4_0-qat", "gemma-3-12b-it:q4_k_m"
UNMEASURED = "gemma-4-e2b-it:q4_k_m"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


def compare(hub: SteadyHub, *references: str, **options: str) -> Comparison:
    use = options.pop("use", "chat")
    return hub.compare(references, Requirements(use), hub.machine_for(**options))


def row(comparison: Comparison, label: str) -> Row:
    (found,) = [r for part in sections(comparison) for r in part.rows if r.label == label]
    return found


def texts(comparison: Comparison, label: str) -> list[str]:
    return [cell.marked for cell in row(comparison, label).cells]


# --- figures --------------------------------------------------------------------------------------


def test_memory_is_that_of_the_plan(hub: SteadyHub) -> None:
    for side in compare(hub, QAT, HERE).sides:
        reference = side.variant.reference
        trained = side.memory.trained_context
        assert {t.context for t in side.memory.totals} == {c for c in CONTEXTS if c <= trained}
        assert {t.cache_type for t in side.memory.totals} == set(USUAL_CACHE_TYPES)
        for total in side.memory.totals:
            options = PlanOptions(context=total.context, cache_type=total.cache_type)
            plan = hub.plan(reference, options)
            assert (total.total_bytes, total.headroom_bytes) == (
                plan.memory.total_bytes,
                plan.memory.headroom_bytes,
            )
            assert dict(side.memory.largest_contexts)[total.cache_type] == plan.largest_context


@pytest.mark.parametrize("options", [{}, {"use": "fast"}, {"machine": "m2-16gb"}, {"ram": "9GiB"}])
def test_speed_and_quality_are_those_of_recommend(hub: SteadyHub, options: dict[str, str]) -> None:
    machine = hub.machine_for(**{name: options[name] for name in options if name != "use"})
    rows = LibraryReading(hub).overview(Requirements(options.get("use", "chat")), machine).rows
    recommended = {row.variant.reference: row.recommendation for row in rows}
    for side in compare(hub, QAT, PTQ, HERE, **options).sides:
        found = recommended[side.variant.reference]
        assert isinstance(found, Recommendation)
        theirs, ours = found.as_json(), side.as_json()
        for key in ("settings", "tokens_per_second", "quality", "quality_loss", "quality_basis"):
            assert ours[key] == theirs[key], key
        assert ours["speed_basis"] == theirs["speed_basis"] or side.speed is None


def test_layers_that_stay_in_system_memory_are_planned_there(hub: SteadyHub) -> None:
    comparison = compare(hub, QAT, PTQ, memory="1GiB", ram="64GiB")
    for side in comparison.sides:
        assert side.memory.placement.gpu_layers is not None
        assert side.fit.fits is False
        assert side.memory.at(4096, "f16").fits  # type: ignore[union-attr]
    assert texts(comparison, "fits") == ["partly on the GPU"] * 2
    placement = comparison.sides[0].memory.placement
    layers = placement.gpu_layers
    assert layers is not None
    assert f", {49 - layers} of 49 layers in system memory" in texts(comparison, "settings")[0]


def test_roles_add_up_and_name_their_types() -> None:
    mix = [
        MixEntry("embedding", "F16", 1, 100, 200),
        MixEntry("attention", "Q4_K", 2, 100, 56),
        MixEntry("attention", "Q6_K", 1, 200, 164),
        MixEntry("other", "NEW", 1, 100, None),
    ]
    embedding, attention, other = roles_of(mix)
    assert (embedding.share, embedding.types, embedding.bits_per_weight) == (0.2, ("F16",), 16.0)
    assert (attention.share, attention.types) == (0.6, ("Q6_K", "Q4_K"))
    assert attention.bits_per_weight == round(220 * 8 / 300, 2)
    assert other.bits_per_weight is None
    assert roles_of([]) == ()


def test_a_variant_that_is_not_measured_says_so(hub: SteadyHub) -> None:
    comparison = compare(hub, QAT, UNMEASURED)
    measured, other = comparison.sides
    assert measured.measured
    assert not other.measured
    assert other.memory.totals == ()
    assert "unknown" in other.memory.reason
    assert other.speed_basis == "not known: its memory is unknown"
    for label in ("bits/weight", "embedding", "tokens/s"):
        assert texts(comparison, label)[1] == "?"
    remarks = [str(remark) for part in sections(comparison) for remark in part.remarks]
    assert any(r.startswith("B: not measured") and UNMEASURED in r for r in remarks)
    (difference,) = comparison.differences
    assert "? against 5.49 bits/weight (? is not measured)" in difference.words
    none = compare(hub, UNMEASURED, "gemma-3-4b-it:4bit-qat-mlx")
    assert texts(none, "needed") == ["?", "?"]


def test_a_machine_of_unknown_memory(hub: SteadyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from gemmahub.hardware.simulate import simulate_machine

    monkeypatch.setattr(SteadyHub, "machine", replace(simulate_machine(), simulated=False))
    comparison = compare(hub, QAT, PTQ)
    assert machine_line(comparison) == "this machine · free: not known"
    assert texts(comparison, "needed") == ["?", "?"]
    assert texts(comparison, "bits/weight") == ["5.49", "4.96"]


# --- rows -----------------------------------------------------------------------------------------


def test_the_best_of_a_row_is_marked(hub: SteadyHub) -> None:
    comparison = compare(hub, QAT, PTQ, memory="12GiB", ram="32GiB")
    assert texts(comparison, "size") == ["8.07 GB", "7.30 GB *"]
    assert texts(comparison, "4,096 f16") == ["10.75 GiB fits", "8.92 GiB fits *"]
    assert texts(comparison, "at most f16") == ["54,784", "66,304 *"]
    assert texts(comparison, "lost, about") == ["2.7% *", "5.9%"]
    assert texts(comparison, "published score") == ["60.6", "60.6"]  # equal: none is better
    assert texts(comparison, "weights") == ["11.8B", "11.8B"]
    too_big = row(comparison, "131,072 f16")
    assert [cell.fits for cell in too_big.cells] == [False, False]
    assert not any(cell.better for cell in too_big.cells)
    assert texts(comparison, "tokens/s") == ["?", "?"]


def test_what_one_was_not_trained_for_is_compared_with_nothing(hub: SteadyHub) -> None:
    comparison = compare(hub, QAT, HERE)
    assert texts(comparison, "131,072 f16")[1] == "-"
    assert texts(comparison, "at most f16") == ["131,072 *", "32,768"]


def test_every_role_of_either_has_a_row(hub: SteadyHub) -> None:
    comparison = compare(hub, "gemma-4-26b-a4b-it:q4_0-qat", QAT)
    assert texts(comparison, "embedding") == ["3% Q6_K", "9% F16"]
    experts = texts(comparison, "expert")
    assert experts[0].startswith("91% Q4_0")
    assert experts[1] == "-"


def test_lines_break_between_words() -> None:
    found = list(
        lines_of(Row("a label", (TableCell("some words", better=True), TableCell("x"))), 8, 6)
    )
    assert found == [("a label ", "some  ", "x     "), ("        ", "words ", "      "),
                     ("        ", "*     ", "      ")]  # fmt: skip


@pytest.mark.parametrize(
    ("headroom", "fits", "share"), [(300, True, 0.25), (0, True, 1.0), (-1, False, 1.0)]
)
def test_the_share_of_what_is_free(headroom: int, fits: bool, share: float) -> None:
    total = ContextTotal(4096, "f16", 100, headroom)
    assert (total.fits, total.share) == (fits, share)


# --- words ----------------------------------------------------------------------------------------


def test_differences_in_words(hub: SteadyHub) -> None:
    second, third = compare(hub, QAT, PTQ, HERE).differences
    assert (second.reference, second.against) == (PTQ, QAT)
    assert second.words[:5] == (
        "774 MB smaller",
        "4.96 against 5.49 bits/weight",
        "PTQ against QAT",
        "embedding in Q6_K against F16",
        "attention in Q4_K against Q4_0",
    )
    assert "1.83 GiB less memory with 32,768 tokens" in second.words
    assert "1.1 times as fast" in second.words
    assert "about 5.9% against 2.7% of the score lost by the precision" in second.words
    assert str(second).startswith("B against A: 774 MB smaller, 4.96")
    assert "at most 32,768 tokens against 131,072" in third.words
    (back,) = compare(hub, PTQ, QAT).differences
    assert back.words[0] == "774 MB larger"
    assert "1.83 GiB more memory with 32,768 tokens" in back.words


def test_what_cannot_be_seen_is_not_a_difference(hub: SteadyHub) -> None:
    comparison = compare(hub, "gemma-3-12b-it:q4_k_m-unsloth", PTQ)
    (found,) = comparison.differences
    assert found.words == ("203 KB smaller",)
    rows = [row for part in sections(comparison) for row in part.rows]
    alike = [row for row in rows if len({cell.text for cell in row.cells}) == 1]
    assert len(alike) > 0.8 * len(rows)
    assert not any(cell.better for row in alike for cell in row.cells)
    same = Difference(("B", "A"), PTQ, QAT, ())
    assert str(same) == "B against A: no figure differs"


def test_the_command_says_the_same_elsewhere() -> None:
    machine = {"memory": "8GiB", "ram": "16GiB"}
    words = shlex.split(compare_command(["/my models/a.gguf", PTQ], "fast", machine))
    assert words == [
        "gemmahub", "compare", "/my models/a.gguf", PTQ, "--memory", "8GiB", "--ram", "16GiB",
        "--use", "fast",
    ]  # fmt: skip
    assert compare_command(["a:b", "c:d"], "chat", {}) == "gemmahub compare a:b c:d"


# --- what is compared -----------------------------------------------------------------------------


def test_the_same_variant_by_other_names(hub: SteadyHub, tmp_path: Path) -> None:
    (path,) = (tmp_path / "models").iterdir()
    link = tmp_path / "link.gguf"
    link.symlink_to(path)
    for other in (HERE, path, link, "gemma-3-1b-it"):
        with pytest.raises(UsageError, match=r"given twice|the same variant"):
            compare(hub, HERE, str(other))


def test_a_file_of_no_store(hub: SteadyHub, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = install(tmp_path / "elsewhere", PTQ, "mine-Q4_K_M.gguf")
    mine, known = compare(hub, str(path), PTQ).sides
    assert mine.variant.reference == str(path)
    assert mine.roles == known.roles
    assert mine.memory.totals == known.memory.totals
    assert mine.speed is not None
    assert known.speed is not None
    assert mine.speed.likely == pytest.approx(known.speed.likely)
    assert mine.quality.score is None


@pytest.mark.parametrize(
    ("references", "error"),
    [
        ((), UsageError),
        ((QAT,), UsageError),
        ((QAT, PTQ, QAT), UsageError),
        (tuple(f"a:{n}" for n in range(MOST + 1)), UsageError),
        ((QAT, "no-such-model"), NotFound),
    ],
)
def test_what_cannot_be_compared(
    hub: SteadyHub, references: tuple[str, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        compare(hub, *references)


def test_what_is_on_the_hub_is_read_from_its_header(
    server: HubServer,  # noqa: F811 - the fixture
    hub: SteadyHub,
    tmp_path: Path,
) -> None:
    (tmp_path / "served").mkdir()
    path = install(tmp_path / "served", "gemma-3-270m-it:q4_0-qat", "g-Q4_0.gguf")
    server.add("user/gemma", {path.name: Served.of(path.name, path)})
    there, known = compare(hub, "user/gemma:Q4_0", HERE).sides
    assert there.measured
    assert there.variant.remote.startswith(f"hf.co/user/gemma/{path.name}")
    assert there.memory.totals
    assert there.plan is not None
    assert known.variant.reference == HERE
    assert server.sent(path.name) < path.stat().st_size / 10
