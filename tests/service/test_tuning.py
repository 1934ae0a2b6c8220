"""``bench --tune``: which settings are kept, and who takes them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Settings
from gemmahub.errors import GemmahubError, LoadFailed
from gemmahub.measurements.records import Conditions
from gemmahub.measurements.tuned import FILE_NAME, TunedSettings, TunedStore
from gemmahub.service import Library
from gemmahub.service.benching import BenchOptions, tuning
from gemmahub.service.benching.tuned_ways import TriedSettings, candidates, kept_of
from gemmahub.service.benching.tuning import tune
from gemmahub.service.serving.choosing import offered, settings_of
from gemmahub.service.serving.room import Wish
from gemmahub.service.tuned import changes_of
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = Any
CONDITIONS = Conditions(machine="m", system="Linux", engine="e", build="1", at=1.0)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny-F32.gguf"
    write_model(path)
    return path


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "busy_now", list)


def measured(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[Settings], float]) -> list[Any]:
    """Nothing is loaded: a candidate takes so many seconds. What was asked for is listed."""
    asked: list[Any] = []

    def measure(self: Any, candidate: TriedSettings, runs: int) -> None:
        asked.append((candidate.changes, runs))
        settings = self._settings(candidate.changes)
        try:
            took = seconds(settings)
        except LoadFailed as error:
            candidate.problem = error.message
            return
        candidate.seconds += [took * (1 + 0.01 * (n % 3)) for n in range(runs)]
        candidate.conditions = CONDITIONS

    monkeypatch.setattr(tuning._Tuner, "_measure", measure)
    return asked


def by_ubatch(settings: Settings) -> float:
    if not settings.flash_attention:
        raise LoadFailed("no memory", "")
    return {128: 2.0, 256: 1.0, 512: 3.0}[settings.ubatch] + (settings.threads or 0) / 10


@pytest.mark.usefixtures("quiet")
def test_the_fastest_settings_are_found_kept_and_taken(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measured(monkeypatch, by_ubatch)
    here = Library()
    found = tune(here, str(model), BenchOptions(backend="llama.cpp"))
    assert found.best is not None
    assert found.best.changes == {"ubatch": 256}
    assert found.gain == pytest.approx(3.0, rel=0.02)
    assert found.problems == ("no memory",)
    assert "ubatch 256: 3.0" in found.text
    runs = [len([1 for _, many in asked if many == number]) for number in (1, 2, 4)]
    assert runs[0] == found.tried
    assert runs[0] > runs[1] >= runs[2] > 0  # how many are left depends on the processors
    shown = command("run", model, "hello", "--backend", "llama.cpp", "-n", 1, "-v", "--raw")
    assert "ubatch 256, as found by bench --tune" in shown.err
    reset = command("bench", "reset", model)
    assert reset.code == 0, reset
    assert "--tune" not in command("run", model, "hello", "--backend", "llama.cpp", "-n", 1).err
    assert command("bench", "reset", model).code == 3


@pytest.mark.usefixtures("quiet")
def test_nothing_is_kept_that_is_not_faster_than_the_spread(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = iter(range(1000))
    measured(monkeypatch, lambda settings: 1.0 + 0.001 * (next(number) % 7))
    here = Library()
    before = TunedSettings(conditions=CONDITIONS, gain=2.0, threads=1)
    content = here.sums.compute(model)
    TunedStore(here.config.data).set(content, "llama.cpp", before)
    found = tune(here, str(model), BenchOptions(backend="llama.cpp"))
    assert found.best is None
    assert "the defaults stay" in found.text
    assert TunedStore(here.config.data).of(content, "llama.cpp") is None


def test_a_busy_machine_is_refused_unless_forced(
    command: Command, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "busy_now", lambda: ["others work"])
    measured(monkeypatch, by_ubatch)
    found = command("bench", model, "--tune")
    assert found.code == 1
    assert "others work" in found.err
    assert command("bench", model, "--tune", "--force").code == 0


@pytest.mark.parametrize(
    "arguments",
    [("--tune", "--depth", "0"), ("--tune", "--parallel", "2"), ("--force",), ("--smaller-cache",)],
)
def test_options_that_say_nothing_together_are_refused(
    command: Command, model: Path, arguments: Any
) -> None:
    assert command("bench", model, *arguments).code == 2


def test_cache_types_that_lose_quality_are_tried_only_when_asked(model: Path) -> None:
    here = Library()
    variant = here.registry.resolve(str(model))

    def tried(**more: Any) -> list[dict[str, Any]]:
        return candidates(here, variant, frozenset(), {}, **more)

    usual = tried(smaller_caches=False)
    assert usual[0] == {}
    assert not any("cache_type" in each for each in usual)
    more = tried(smaller_caches=True)
    assert any(each.get("cache_type") == "q8_0" for each in more)
    assert all("flash_attention" not in each for each in more if "cache_type" in each)
    assert len(more) <= 32


def test_a_partly_placed_model_is_tried_with_fewer_layers(model: Path) -> None:
    here = Library()
    variant = here.registry.resolve(str(model))
    found = candidates(here, variant, frozenset(), {"gpu_layers": 10}, smaller_caches=False)
    assert {each["gpu_layers"] for each in found} == {10, 9, 7}


def test_noise_throws_nothing_out_that_may_be_the_best() -> None:
    slow = [TriedSettings({}, [float(n)]) for n in range(10, 16)]
    noisy = TriedSettings({}, [1.0, 30.0, 30.0])
    kept = kept_of([TriedSettings({}, [2.0, 12.0]), *slow, noisy])
    assert len(kept) < 8
    assert kept[0].seconds == [2.0, 12.0]


@pytest.mark.usefixtures("quiet")
def test_the_real_engine_is_tuned(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "candidates", lambda *_, **__: [{}, {"ubatch": 128}])
    monkeypatch.setattr(tuning, "READ", 16)
    found = tune(Library(), str(model), BenchOptions(backend="llama.cpp"))
    assert found.tried == 2
    assert len(found.usual.seconds) == 7  # 1, 2 and 4 runs
    assert found.usual.conditions is not None
    assert found.usual.conditions.settings["ubatch"] == 512


def test_what_a_person_says_goes_before() -> None:
    tuned = TunedSettings(
        conditions=CONDITIONS, gain=2.0, threads=4, ubatch=256, cache_type="q8_0", gpu_layers=3
    )
    assert changes_of(tuned, Settings(threads=1, gpu_layers=0)) == {
        "ubatch": 256, "cache_type_k": "q8_0", "cache_type_v": "q8_0",
    }  # fmt: skip
    assert changes_of(tuned, Settings(ubatch=128, cache_type_k="q4_0")).keys() == {
        "threads", "gpu_layers", "cache_type_v",
    }  # fmt: skip


def keep(here: Library, model: Path, engine: str, **settings: Any) -> None:
    tuned = TunedSettings(conditions=CONDITIONS, gain=1.5, **settings)
    TunedStore(here.config.data).set(here.sums.compute(model), engine, tuned)


def test_a_plan_counts_with_them(command: Command, model: Path) -> None:
    before = command("plan", model, "--json")
    here = Library()
    keep(here, model, "llama-server", ubatch=128)
    after = command("plan", model, "--json")
    assert '"ubatch": 512' in before.out
    assert '"ubatch": 128' in after.out
    assert "ubatch 128, as found by bench --tune" in after.err
    assert "--tune" not in command("plan", model, "--ubatch", 256).err


def test_bench_measures_with_them_and_says_so_once(command: Command, model: Path) -> None:
    here = Library()
    keep(here, model, "llama.cpp", ubatch=128)
    found = command("bench", model, "--backend", "llama.cpp", "--depth", 0, "--repeat", 1)
    assert found.code == 0, found
    assert found.err.count("ubatch 128, as found by bench --tune") == 1
    (result,) = Library().results.kept
    assert result.result.conditions.settings["ubatch"] == 128


def test_serving_takes_them(model: Path) -> None:
    said: list[str] = []
    here = Library(say=said.append)
    keep(here, model, "llama-server", ubatch=128, threads=3, cache_type="q8_0")
    (one,) = offered(here, [str(model)])
    machine = replace(here.hardware(), devices=())
    from gemmahub.planning import machine_of

    plan = one.sized.plan(1024, Wish(), machine_of(machine))
    settings = settings_of(plan, machine, one)
    assert (settings.ubatch, settings.threads, settings.cache_type_k) == (128, 3, "f16")
    assert any("threads 3, ubatch 128, as found by bench" in line for line in said)


def test_the_settings_of_a_missing_drafter_are_dropped(model: Path, tmp_path: Path) -> None:
    from gemmahub.service.tuned import tuned_for

    here = Library()
    keep(here, model, "e", drafter=str(tmp_path / "head.gguf"))
    variant = here.registry.resolve(str(model))
    assert tuned_for(here, variant, "e") is None
    (tmp_path / "head.gguf").touch()
    assert tuned_for(here, variant, "e") is not None


def test_a_damaged_entry_is_none(model: Path) -> None:
    here = Library()
    keep(here, model, "e", threads=1)
    with sqlite3.connect(here.config.data / FILE_NAME) as database:
        database.execute('update tuned set body = \'{"threads": "x"}\'')
    database.close()
    assert TunedStore(here.config.data).of(here.sums.compute(model), "e") is None


def test_settings_that_do_not_load_at_all_are_one_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "busy_now", list)

    def fails(settings: Settings) -> float:
        raise LoadFailed("no memory", "")

    measured(monkeypatch, fails)
    with pytest.raises(GemmahubError, match="do not load: no memory"):
        tune(Library(), str(model), BenchOptions(backend="llama.cpp"))
