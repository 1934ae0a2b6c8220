"""The table of data sheets, and the measurement that is kept."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from gemmahub.hardware import bandwidth
from gemmahub.hardware.bandwidth import (
    FILE_NAME,
    CopyRate,
    _rate,
    copy_rate,
    measure_bandwidth,
    remember_bandwidth,
    remembered_bandwidth,
    with_bandwidth,
)
from gemmahub.hardware.cpu import unknown_cpu
from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.records import Figure

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
CPU = replace(unknown_cpu("test"), model="Test CPU", usable=Figure(2, "test", unit="CPUs"))


@pytest.mark.parametrize(
    ("name", "gib", "rate"),
    [
        ("NVIDIA GeForce RTX 3090", 24, 936),
        ("NVIDIA GeForce RTX 3080", 10, 760),
        ("NVIDIA GeForce RTX 3080", 12, 912),
        ("NVIDIA GeForce RTX 3080 Ti", 12, 912),
        ("NVIDIA A100-SXM4-80GB", 80, 2039),
        ("NVIDIA A100 80GB PCIe", 80, 1935),
        ("NVIDIA H200", 141, 4800),
        ("AMD Radeon RX 7900 XT", 20, 800),
        ("Intel(R) Arc(TM) A770 Graphics", 16, 560),
        ("Apple M4 Pro", 24, 273),
        ("Apple M5 Pro", 64, 307),
        ("AMD Radeon AI PRO R9700", 32, 640),
        ("Intel(R) Arc(TM) Pro B70 Graphics", 32, 608),
        ("AMD Instinct MI300A", 128, 5300),
        ("AMD Radeon 8060S Graphics", 96, 256),
        ("NVIDIA GeForce RTX 5070 Ti Laptop GPU", 12, 672),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 96, 1792),
    ],
)
def test_published(name: str, gib: int, rate: int) -> None:
    figure = published_bandwidth(name, gib * GIB)
    assert figure is not None
    assert (figure.value, figure.unit) == (rate * 10**9, "B/s")
    assert figure.source


@pytest.mark.parametrize("name", [None, "", "NVIDIA GeForce RTX 30", "GeForce RTX 3090 D", "Apple"])
def test_names_are_matched_whole(name: str | None) -> None:
    assert published_bandwidth(name) is None


def test_variants_that_cannot_be_told_apart_give_the_slowest() -> None:
    figure = published_bandwidth("Apple M3 Max")
    assert figure is not None
    assert figure.value == 300 * 10**9
    assert "the fastest has 400 GB/s" in figure.doubt


def test_every_group_of_the_table_names_its_source() -> None:
    text = (files("gemmahub.hardware") / "datasheet.toml").read_text("utf-8")
    for group in tomllib.loads(text)["group"]:
        assert set(group) <= {"source", "doubt", "bandwidth", "tflops"}
        assert set(group.get("tflops", {})) <= set(group["bandwidth"])
        assert all(1 < rate < 200 for rate in group.get("tflops", {}).values())
        assert group["source"]
        for value in group["bandwidth"].values():
            rates = [entry["gbs"] for entry in value] if isinstance(value, list) else [value]
            assert all(10 < rate < 10_000 for rate in rates)


@pytest.mark.parametrize("threads", [1, 3])
def test_copies_are_timed(threads: int) -> None:
    rate = copy_rate(threads, 1 << 20, seconds=0.02)
    assert rate is not None
    assert rate.bytes_per_second > 0


def test_measured_once_and_kept_by_processor(tmp_path: Path) -> None:
    folder = tmp_path / "not there yet"
    measured = with_bandwidth(CPU, folder, measure=True, available=GIB).bandwidth
    assert measured.value
    assert "lower bound" in measured.doubt
    remember_bandwidth(folder, CPU, replace(measured, doubt="measured in peace"))
    kept = json.loads((folder / FILE_NAME).read_text())
    kept["Test CPU / 2 CPUs"]["bytes_per_second"] = 7
    (folder / FILE_NAME).write_text(json.dumps(kept))
    assert with_bandwidth(CPU, folder, measure=True).bandwidth.value == 7
    other = replace(CPU, model="Other")
    assert with_bandwidth(other, folder, measure=False).bandwidth.value is None
    remember_bandwidth(folder, other, Figure(9, "test", unit="B/s"))
    assert with_bandwidth(CPU, folder, measure=False).bandwidth.value == 7
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def test_busy_processors_do_not_make_memory_slow() -> None:
    quiet = [(0.1, 0.2), (0.2, 0.4)]  # two threads, each with a processor all the time
    assert _rate(100, 2, quiet) == CopyRate(2000, disturbed=False)  # in the best round
    busy = [(0.4, 0.2), (0.4, 0.2)]  # each had one for a quarter of the time
    assert _rate(100, 2, busy) == CopyRate(2000, disturbed=True)
    assert _rate(100, 2, [(0.4, 0.0)]) == CopyRate(500, disturbed=False)  # a coarse clock
    assert _rate(100, 2, []) is None


def test_what_a_busy_machine_gave_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "copy_rate", lambda *_: CopyRate(5, disturbed=True))
    first = with_bandwidth(CPU, tmp_path, measure=True, available=GIB).bandwidth
    assert "other programs ran" in first.doubt
    monkeypatch.setattr(bandwidth, "copy_rate", lambda *_: CopyRate(9, disturbed=False))
    assert with_bandwidth(CPU, tmp_path, measure=True, available=GIB).bandwidth == first


@pytest.mark.parametrize(
    ("cores", "fast", "usable", "threads"),
    [(64, None, 128, 64), (8, None, 16, 8), (14, 6, 20, 6), (64, None, 4, 4), (192, None, 384, 64)],
)
def test_servers_are_measured_with_enough_threads(
    monkeypatch: pytest.MonkeyPatch, cores: int, fast: int | None, usable: int, threads: int
) -> None:
    asked: dict[int, int] = {}

    def copy(count: int, size: int) -> CopyRate:
        asked[count] = size
        return CopyRate(count, disturbed=False)

    monkeypatch.setattr(bandwidth, "copy_rate", copy)
    cpu = replace(
        CPU,
        physical_cores=Figure(cores, "test", unit="cores"),
        performance_cores=fast,
        usable=Figure(usable, "test", unit="CPUs"),
    )
    assert measure_bandwidth(cpu, available=64 * GIB).value == threads
    assert asked.keys() == {1, threads}
    assert 64 << 20 <= 2 * threads * asked[threads] <= GIB


def test_a_figure_that_cannot_be_saved_is_still_returned(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    figure = with_bandwidth(CPU, tmp_path / "file", measure=True, available=GIB).bandwidth
    assert figure.value
    assert "could not be saved" in figure.doubt


def test_published_figure_is_not_measured(tmp_path: Path) -> None:
    cpu = replace(CPU, bandwidth=Figure(5, "published", unit="B/s"))
    assert with_bandwidth(cpu, tmp_path, measure=True) is cpu
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "[" * 100_000, '{"Test CPU / 2 CPUs": 3}', "\xff",
     '{"Test CPU / 2 CPUs": {"bytes_per_second": true, "source": "", "doubt": ""}}',
     '{"Test CPU / 2 CPUs": {"bytes_per_second": 0, "source": "", "doubt": ""}}'],
)  # fmt: skip
def test_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, "latin-1")
    assert remembered_bandwidth(tmp_path, CPU) is None


def test_too_little_memory_is_not_filled() -> None:
    figure = measure_bandwidth(CPU, available=8 << 20)
    assert figure.value is None
    assert "not enough" in figure.doubt
