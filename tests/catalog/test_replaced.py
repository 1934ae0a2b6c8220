"""Files that their publisher replaced are known by all their hashes and sizes."""

from __future__ import annotations

from typing import Final

import pytest

from gemmahub.catalog.loader import catalog_from, load_catalog
from gemmahub.catalog.table import CatalogError
from tests.catalog.test_catalog_loader import MINIMAL

CATALOG: Final = load_catalog()

# Name, bytes, date, whether llama.cpp aborts, whether several sources have it.
GENERATIONS: Final = (
    ("gemma-4-E2B_q4_0-it.gguf", 3_349_514_112, "2026-06-05", False, True),
    ("gemma-4-E2B_q4_0-it.gguf", 3_349_515_840, "2026-07-15", True, True),
    ("gemma-4-E4B_q4_0-it.gguf", 5_154_939_136, "2026-06-05", False, True),
    ("gemma-4-E4B_q4_0-it.gguf", 5_154_940_864, "2026-07-15", True, False),
    ("gemma-4-12b-it-qat-q4_0.gguf", 6_975_878_912, "2026-07-15", True, True),
    ("gemma-4-26B_q4_0-it.gguf", 14_439_363_168, "2026-07-15", True, False),
    ("gemma-4-31B_q4_0-it.gguf", 17_651_001_184, "2026-07-15", True, True),
)


@pytest.mark.parametrize(("name", "size", "date", "aborts", "confirmed"), GENERATIONS)
def test_each_older_generation_is_known_by_name_and_size(
    name: str, size: int, date: str, aborts: bool, confirmed: bool
) -> None:
    why = CATALOG.replaced.find(name, size, None)
    assert why is not None
    assert name in [v.file for v in CATALOG.variants if v.reference == why.pull]
    assert (why.date, bool(why.aborts), why.confirmed) == (date, aborts, confirmed)
    assert ("unconfirmed" in why.text) is not confirmed


def test_content_counts_more_than_the_name() -> None:
    entry = CATALOG.variant("gemma-4-12b-it", "q4_0-qat")
    assert entry is not None
    (old,) = entry.replaced
    assert old.bytes is not None
    assert CATALOG.replaced.find("renamed.gguf", old.bytes, old.sha256) is not None
    assert CATALOG.replaced.find("renamed.gguf", old.bytes, None) is None
    assert CATALOG.replaced.find("renamed.gguf", old.bytes + 1, old.sha256) is None
    assert CATALOG.replaced.find("gemma-4-12b-it-qat-q4_0.gguf", old.bytes, "0" * 64) is None


def test_projectors_are_known_by_content_alone() -> None:
    sha256 = "e70b0e5cd80323d5d588b4ed06780356b7b1ba03995a4b8164c6ae9db0ff5989"
    found = CATALOG.replaced.find("anything", 1, sha256)
    assert found is not None
    assert (found.pull, found.confirmed) == ("gemma-4-12b-it:q4_0-qat", False)


def test_what_is_current_was_not_replaced() -> None:
    for variant in CATALOG.variants:
        files = (variant, variant.projector, variant.drafter)
        for file in (each for each in files if each and each.bytes):
            name, size = file.file.rpartition("/")[2], file.bytes or 0
            assert CATALOG.replaced.find(name, size, file.sha256) is None
            assert CATALOG.replaced.find(name, size, None) is None


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ('date = "2026-01-01", wrong = "x"', "either bytes or sha256 must be known"),
        ('date = "soon", bytes = 1, wrong = "x"', "date = 'soon' is not a date"),
    ],
)
def test_a_replaced_file_has_a_day_and_something_to_know_it_by(row: str, complaint: str) -> None:
    line = f'replaced = [{{ {row}, grade = "B", source = "s" }}]\ngrade = "A"'
    with pytest.raises(CatalogError, match=complaint):
        catalog_from({"x.toml": MINIMAL.replace('grade = "A"', line)})
