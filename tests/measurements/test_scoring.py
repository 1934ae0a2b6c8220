"""Perplexity and divergence from scored windows: formulas, sampling, what is kept on disk."""

from __future__ import annotations

import errno
import json
from array import array
from dataclasses import replace
from math import exp, log, sqrt
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gemmahub.engines.contract import ScoredText
from gemmahub.errors import GemmahubError, GenerationFailed
from gemmahub.measurements.scoring import reduction
from gemmahub.measurements.scoring.checks import checked_window
from gemmahub.measurements.scoring.kept import KeptWindows
from gemmahub.measurements.scoring.sampling import TOP, method_for, sample_rows, stride_of
from gemmahub.measurements.scoring.words import same_words, words_of
from gemmahub.testing.folder_writer import write_model_folder
from gemmahub.testing.model_writer import write_model

WORDS = 16_384


def test_perplexity_and_its_error_are_llama_perplexitys() -> None:
    logs = [-1.0, -2.0, -3.0, -6.0]
    found = reduction.perplexity(logs)
    assert found.value == pytest.approx(exp(3))
    # sqrt((mean of squares - square of the mean) / (count - 1)), times the perplexity
    assert found.error == pytest.approx(exp(3) * sqrt((50 / 4 - 9) / 3))


def test_shares_means_roots_and_percentiles() -> None:
    values = [float(n) for n in range(1, 13)]
    mean = reduction.mean_of(values)
    assert mean.value == 6.5
    assert mean.error == pytest.approx(sqrt((650 / 12 - 6.5**2) / 11))
    assert reduction.mean_of(values[:10]).error == 0
    share = reduction.share_of([1, 1, 1, 0])
    assert share.value == 0.75
    assert share.error == pytest.approx(sqrt(0.75 * 0.25 / 3))
    root = reduction.root_mean_square([0.3, -0.3] * 8)
    assert root.value == pytest.approx(0.3)
    assert root.error == 0
    assert reduction.root_mean_square([0.0] * 16).error == 0
    assert reduction.percentile(values, 0.5) == 6.5
    assert reduction.percentile([*map(float, range(101))], 0.99) == pytest.approx(99)


def softmax(logits: list[float]) -> list[float]:
    total = log(sum(map(exp, logits)))
    return [value - total for value in logits]


def place(draw: Random, words: int = WORDS) -> tuple[list[float], list[float]]:
    """The log probabilities of a reference, and those of a model that is a little off."""
    logits = [draw.gauss(0, 2.5) for _ in range(words)]
    return softmax(logits), softmax([value + draw.gauss(0, 0.4) for value in logits])


def scored_by(logs: list[float], rows: list[Any], top: int) -> ScoredText:
    best = tuple(sorted(range(len(logs)), key=lambda token: -logs[token])[:top])
    return ScoredText(
        tokens=(2, 7),
        log_probabilities=(logs[7],),
        unscored=1,
        top_tokens=(best,),
        top_log_probabilities=(tuple(logs[token] for token in best),),
        at_log_probabilities=(tuple(logs[token] for token in rows[1]),),
    )


def test_sampled_divergences_are_the_whole_ones_in_the_mean() -> None:
    draw = Random(7)
    whole, sampled = 0.0, 0.0
    for number in range(24):
        reference, other = place(draw)
        whole += sum(exp(p) * (p - q) for p, q in zip(reference, other, strict=True))
        rows = sample_rows(WORDS, 2, number)
        tables = reduction.place_tables(scored_by(reference, rows, TOP), rows)
        assert not set(tables[0].top) & set(tables[0].rest)
        asked = [(), tables[0].tokens]
        changes = reduction.changes_of(tables, scored_by(other, asked, 1), stride_of(WORDS))
        sampled += changes.divergences[0]
        assert changes.changes[0] == pytest.approx(exp(other[7]) - exp(reference[7]))
        assert changes.same_top[0] == (reference.index(max(reference)) == other.index(max(other)))
    assert sampled == pytest.approx(whole, rel=0.02)


def test_a_model_has_no_divergence_from_itself() -> None:
    reference, _ = place(Random(3))
    rows = sample_rows(WORDS, 2, 0)
    tables = reduction.place_tables(scored_by(reference, rows, TOP), rows)
    changes = reduction.changes_of(
        tables, scored_by(reference, [(), tables[0].tokens], 1), stride_of(WORDS)
    )
    assert abs(changes.divergences[0]) < 1e-6
    assert list(changes.same_top) == [1]


def test_a_small_vocabulary_is_taken_whole() -> None:
    reference, other = place(Random(5), 600)
    rows = sample_rows(600, 2, 0)
    tables = reduction.place_tables(scored_by(reference, rows, TOP), rows)
    assert (len(tables[0].top), len(tables[0].rest)) == (600, 0)
    changes = reduction.changes_of(
        tables, scored_by(other, [(), tables[0].tokens], 1), stride_of(600)
    )
    whole = sum(exp(p) * (p - q) for p, q in zip(reference, other, strict=True))
    assert changes.divergences[0] == pytest.approx(whole, abs=1e-5)
    assert method_for(600) == "a sum over the whole vocabulary"
    assert "lower bound" in method_for(0)
    assert list(sample_rows(0, 2, 0)[0]) == []


def test_samples_are_the_same_each_time_and_others_in_each_place() -> None:
    rows = sample_rows(262_144, 8, 3)
    assert rows == sample_rows(262_144, 8, 3)
    assert len({row[0] for row in rows}) > 4
    assert {len(row) for row in rows} == {512}


# --- on disk -----------------------------------------------------------------------------------


COLUMNS: dict[str, Any] = {
    "own": array("d", [-0.5, -1.25]),
    "top": array("i", [3, 4, 5]),
    "none": array("f"),
}


def test_kept_windows_come_back(tmp_path: Path) -> None:
    kept = KeptWindows(tmp_path / "folder")
    assert kept.get(0) is None
    kept.put(0, COLUMNS)
    assert kept.get(0) == COLUMNS
    assert KeptWindows(tmp_path / "folder").get(0) == COLUMNS
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["window-00000.scores"]


def test_damaged_windows_are_not_there(tmp_path: Path) -> None:
    kept = KeptWindows(tmp_path)
    kept.put(0, COLUMNS)
    path = tmp_path / "window-00000.scores"
    whole = path.read_bytes()
    other = whole.replace(b'"format":1', b'"format":9')
    long = whole.replace(b'"none","f",0', b'"none","f",9')
    odd = whole.replace(b'"none","f",0', b'"none","u",0')
    for damaged in (b"", whole[:-1], whole[:20], whole[:-1] + b"x", b"{}\n", other, long, odd):
        assert damaged != whole
        path.write_bytes(damaged)
        assert kept.get(0) is None
    path.unlink()
    path.mkdir()
    assert kept.get(0) is None


def test_a_full_disk_is_reported_and_leaves_nothing_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptWindows(tmp_path)
    kept.put(0, COLUMNS)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(GemmahubError, match="No space left on device") as caught:
        kept.put(1, COLUMNS)
    assert "continues from the saved windows" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["window-00000.scores"]


# --- vocabularies ------------------------------------------------------------------------------


def test_vocabularies_are_compared_word_by_word(tmp_path: Path) -> None:
    write_model(tmp_path / "one.gguf")
    write_model(tmp_path / "other.gguf", letters="éü")
    write_model(tmp_path / "same.gguf", seed=4)
    one, other, same = (words_of(tmp_path / f"{n}.gguf") for n in ("one", "other", "same"))
    assert one[2] == b"<bos>"
    assert one == same
    assert same_words(one, same)
    assert same_words(one, ())
    changed = (*one[:5], b"another", *one[6:])
    assert not same_words(one, changed)
    assert not same_words(one, one[: len(one) // 2])
    assert same_words(one, (*one, b"<pad1>"))
    assert same_words((*one, b"<pad1>"), one)
    assert not same_words(one, other)


def test_words_of_spaces_are_the_same_however_files_write_them() -> None:
    """Of Gemma 3 270M, 30 words: a GGUF file has spaces, a folder SentencePiece's sign."""
    folder = ("\u2581".encode(), "\u2581\u2581".encode(), "\u2581a".encode())
    assert same_words(folder, (folder[0], b"  ", folder[2]))
    assert not same_words(folder, (folder[0], b"   ", folder[2]))


def test_vocabularies_of_folders_are_read(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "folder")
    words = words_of(folder)
    assert len(words) > 100
    assert words == words_of(folder / "model.safetensors")
    held = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    number = held["model"]["vocab"]["a"]
    assert words[number] == b"a"
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 7}}}')
    assert words_of(folder) == ()
    (folder / "tokenizer.json").write_text("[]")
    assert words_of(folder) == ()
    assert words_of(tmp_path / "missing.gguf") == ()


# --- what engines say --------------------------------------------------------------------------


GOOD = ScoredText(
    tokens=(2, 5, 6, 7),
    log_probabilities=(-1.0,),
    unscored=3,
    top_tokens=((7, 8),),
    top_log_probabilities=((-1.0, -2.0),),
    at_log_probabilities=((-3.0,),),
)
ROWS = [(), (), (), (9,)]


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": (2, 5, 6)},
        {"tokens": (2, 5, 6, -7)},
        {"tokens": (2, 5, 6, 2**31)},
        {"unscored": 4},
        {"unscored": -1},
        {"log_probabilities": (-1.0, -1.0)},
        {"log_probabilities": (float("nan"),)},
        {"log_probabilities": (float("-inf"),)},
        {"log_probabilities": (0.5,)},
        {"top_tokens": ()},
        {"top_tokens": ((7,),)},
        {"top_tokens": ((),), "top_log_probabilities": ((),)},
        {"at_log_probabilities": ()},
        {"at_log_probabilities": ((),)},
    ],
)
def test_windows_that_are_none_are_refused(change: dict[str, Any]) -> None:
    assert checked_window(GOOD, 4, "engine", 2, ROWS) is GOOD
    with pytest.raises(GenerationFailed, match="engine gave"):
        checked_window(replace(GOOD, **change), 4, "engine", 2, ROWS)
