"""Whatever comes in through a reader, it answers or refuses in words."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.readers import READERS, Reader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@given(seed=st.integers(0, 2**48))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_input_is_read_or_refused_in_words(
    reader: Reader, tmp_path: Path, seed: int
) -> None:
    reader.attempt(Random(seed), tmp_path / "input")
