"""Which file drafts for a model: the one that the catalogue names, where it is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from gemmahub.errors import NotFound
from gemmahub.service import Library, drafting
from plugins.llamaserver.tests.draft_models import write_head

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = "gemma-4-e4b-it:ud-q4_k_xl-qat"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library of one folder with a draft head in it, and nothing else."""
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    write_head(tmp_path / "models" / "mtp-gemma-4-E4B-it.gguf")
    return Library()


def test_a_head_that_is_not_here_names_the_pull_that_gets_it(library: Library) -> None:
    variant = library.registry.known(REFERENCE)
    with pytest.raises(NotFound) as error:  # the one that is here has another size
        drafting.demanded_drafter(library, variant)
    assert f"gemmahub pull {REFERENCE} --draft" in error.value.hint


def test_the_head_of_the_catalogue_is_found_in_any_store(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = library.registry.known(REFERENCE)
    file = tmp_path / "models" / "mtp-gemma-4-E4B-it.gguf"
    known = drafting.known_drafter(library, variant)
    assert known is not None
    same = msgspec.structs.replace(known, bytes=file.stat().st_size)
    monkeypatch.setattr(drafting, "known_drafter", lambda *_: same)
    assert drafting.demanded_drafter(library, variant) == file
