"""Models in formats that nothing here reads, and references that leave the revision out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.contract import Artifact, Inventory
from gemmahub.errors import NotFound, NotInstalled
from gemmahub.formats.tensor import Tensor
from gemmahub.registry.artifacts import Inspector
from gemmahub.registry.registry import Registry
from gemmahub.registry.sources import Sources
from gemmahub.stores.disk import Counter
from gemmahub.stores.identity import ContentSums
from gemmahub.stores.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile, ModelReader
    from gemmahub.formats.source import Opener


class OrbaxReader:
    """A plugin's reader that refuses what it should read."""

    name = "orbax"
    suffixes: tuple[str, ...] = ()
    made_by = "test 1"

    def reads(self, path: Path) -> bool:
        return False

    def model(self, path: Path, open_file: Opener) -> ModelFile:
        raise AssertionError(Tensor)


class Place:
    """A source that is never asked."""

    name = "place"
    schemes = ("place",)


def registry(*artifacts: Artifact, readers: Iterable[ModelReader] = ()) -> Registry:
    found = list(readers)
    return Registry(
        load_catalog(),
        lambda: [Inventory(artifacts)],
        Inspector(None, lambda: found),
        sources=Sources(lambda: [Place()]),
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Artifact:
    """A folder of an Orbax checkpoint, as a store hands it out."""
    folder = tmp_path / "gemma-int4"
    (folder / "d").mkdir(parents=True)
    (folder / "_METADATA").write_text("{}")
    (folder / "d" / "0").write_bytes(b"d" * 50_000)
    name = "place://owner/gemma-int4/1"
    return Artifact("orbax", folder, store="place", reference=name, revision="1")


def test_it_is_a_row_and_not_broken(checkpoint: Artifact) -> None:
    models = registry(checkpoint).installed()
    assert models.broken == ()
    (variant,) = models.variants
    assert (variant.format, variant.size_bytes, variant.parameters) == ("orbax", 50_002, 0)
    assert variant.precision.label == "INT4"
    assert variant.precision.bits_per_weight is None
    assert "no installed plugin reads orbax files" in variant.notes[0]


def test_what_a_reader_here_knows_and_refuses_is_broken(checkpoint: Artifact) -> None:
    models = registry(checkpoint, readers=[OrbaxReader()]).installed()
    assert models.variants == ()
    assert "there is no model in the folder" in models.broken[0].reason


def test_a_format_of_ours_is_broken_where_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_text("<html>")
    models = registry(Artifact("gguf", path, (path,), store="place")).installed()
    assert models.variants == ()
    assert "a web page" in models.broken[0].reason


def test_all_of_its_files_count_on_the_disk(checkpoint: Artifact) -> None:
    (variant,) = registry(checkpoint).installed().variants
    usage = disk_usage([variant], [], ContentSums(None))
    expected = Counter()
    taken = sum(expected.add(path) for path in checkpoint.path.rglob("*") if path.is_file())
    assert usage.models[0].disk_bytes == taken


def test_without_a_revision_the_first_is_meant(checkpoint: Artifact, tmp_path: Path) -> None:
    newer = replace(checkpoint, path=tmp_path, reference="place://owner/gemma-int4/12",
                    revision="12")  # fmt: skip
    here = registry(newer, checkpoint)
    assert here.resolve("place://owner/gemma-int4").reference == newer.reference
    assert here.resolve("place://owner/gemma-int4/1").reference == checkpoint.reference
    assert here.resolve("place://OWNER/gemma-int4/12").reference == newer.reference
    for name in ("place://owner/gemma-int4/2", "place://owner/gemma", "place://owner"):
        with pytest.raises(NotInstalled):
            here.resolve(name)
    with pytest.raises(NotFound):
        here.resolve("place://owner/gemma-int4/1/1")
