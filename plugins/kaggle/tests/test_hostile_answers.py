"""Changed copies of Kaggle's answers and archives: refused in harmless words, or taken whole."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from random import Random
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import GemmahubError
from gemmahub_kaggle.file_names import problem_of
from gemmahub_kaggle.unpack import unpack
from plugins.kaggle.tests.models import FLAX, flax
from tests.hostile.mutations import changed_bytes, changed_json

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_kaggle.source import KaggleSource
    from plugins.kaggle.tests.fake_kaggle import RunningKaggle

NAME = "kaggle://google/gemma-3/flax/gemma3-4b-it-int4"
ASKED = {
    "ownerSlug": "google",
    "modelSlug": "gemma-3",
    "framework": "MODEL_FRAMEWORK_FLAX",
    "instanceSlug": "gemma3-4b-it-int4",
    "versionNumber": 1,
    "pageSize": 200,
}


def check_words(error: GemmahubError) -> None:
    text = error.in_full
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")], text
    assert len(text) < 3000


@pytest.mark.parametrize(
    "call", ["GetModelInstance", "ListModelInstanceVersionFiles", "GetModel", "ListModels"]
)
def test_changed_answers(kaggle: RunningKaggle, source: KaggleSource, call: str) -> None:
    kaggle.add(FLAX, flax())
    _, good = kaggle.answer(call, ASKED)
    taken = refused = 0
    for seed in range(40):
        random = Random(f"{call} {seed}")
        kaggle.raw[call] = changed_json(good, random)
        try:
            if call == "ListModels":
                found = source.search("gemma", 5)
                assert len(found) <= 5
            elif call == "GetModel":
                assert source.find("kaggle://google/gemma-3") is None
            else:
                model = source.find(NAME)
                if model is not None:
                    for file in model.files:
                        assert file.size >= 0
                        assert not problem_of(file.name)
                    source.landing(model)
            taken += 1
        except GemmahubError as error:
            check_words(error)
            refused += 1
    assert refused
    assert taken or call == "GetModel"  # which always says what there is


def test_changed_archives(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("model.gguf", content)
    folder = tmp_path / "archives"
    folder.mkdir()
    archive, to = folder / "model.gguf.zip", folder / "out"
    refused = 0
    for seed in range(400):
        archive.write_bytes(changed_bytes(buffer.getvalue(), Random(seed)))
        try:
            unpack(archive, "model.gguf", len(content), to, lambda count: None)
            assert to.stat().st_size == len(content)
        except GemmahubError as error:
            check_words(error)
            refused += 1
        assert {path.name for path in folder.iterdir()} <= {archive.name, to.name}
        assert not to.exists() or to.stat().st_size <= len(content)
    assert refused > 100
