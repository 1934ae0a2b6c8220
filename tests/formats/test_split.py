"""GGUF models in several files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import IntegrityError, NotFound
from gemmahub.formats.split import gguf_parts, read_gguf_files, split_key
from gemmahub.testing.gguf_writer import GgufValue, write_gguf

if TYPE_CHECKING:
    from pathlib import Path


def write_parts(folder: Path, count: int = 3, **changes: Any) -> list[Path]:
    """Parts with two tensors each, as gguf-split writes them; ``changes`` go into the second."""
    paths = []
    for number in range(count):
        metadata: dict[str, Any] = {
            "split.no": GgufValue("u16", number),
            "split.count": GgufValue("u16", count),
            "split.tensors.count": GgufValue("i32", count * 2),
        }
        if number == 0:
            metadata |= {"general.architecture": "gemma3", "tokenizer.chat_template": "{{ hi }}"}
        if number == 1:
            metadata |= changes
        path = folder / f"m-{number + 1:05}-of-{count:05}.gguf"
        write_gguf(path, metadata, [(f"t{number}.{n}", (32, 2), "Q8_0") for n in range(2)])
        paths.append(path)
    return paths


def test_names() -> None:
    assert split_key("a-00002-of-00003.gguf") == ("a", 2, 3)
    assert split_key("a-00004-of-00003.gguf") is None
    assert split_key("a-00000-of-00003.gguf") is None
    assert split_key("a.gguf") is None


def test_any_part_finds_all(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    for path in paths:
        assert gguf_parts(path) == paths
    assert gguf_parts(tmp_path / "whole.gguf") == [tmp_path / "whole.gguf"]


def test_parts_become_one_model(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    model = read_gguf_files(paths)
    assert model.files == tuple(paths)
    assert [t.name for t in model.tensors] == ["t0.0", "t0.1", "t1.0", "t1.1", "t2.0", "t2.1"]
    assert model.metadata["general.architecture"] == "gemma3"
    assert model.chat_template == "{{ hi }}"
    assert model.size_bytes == sum(path.stat().st_size for path in paths)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    paths[1].unlink()
    with pytest.raises(IntegrityError, match=r"missing are: m-00002-of-00003\.gguf"):
        gguf_parts(paths[0])
    with pytest.raises(IntegrityError, match=r"m-00002-of-00003\.gguf"):
        read_gguf_files(paths)
    with pytest.raises(NotFound, match="m-00002"):
        gguf_parts(paths[1])


def test_many_missing_parts_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "m-00001-of-99999.gguf"
    path.touch()
    with pytest.raises(IntegrityError, match="and 99,995 more"):
        gguf_parts(path)


def test_renamed_part_says_that_it_is_one(tmp_path: Path) -> None:
    path = write_parts(tmp_path)[0].rename(tmp_path / "model.gguf")
    with pytest.raises(IntegrityError, match="says that the model has 3 parts, not 1"):
        read_gguf_files([path])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"split.no": 2}, "says that it is part 3, not 2"),
        ({"split.no": "one"}, "says that it is part .*unknown"),
        ({"split.count": 4}, "does not say that the model has 3 parts"),
    ],
)
def test_parts_that_do_not_belong_together(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(IntegrityError, match=match):
        read_gguf_files(write_parts(tmp_path, **changes))


def test_promised_tensors_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, {"split.tensors.count": 3}, [("t", (1,), 0)])
    with pytest.raises(IntegrityError, match="promises 3 tensors, and the parts hold 1"):
        read_gguf_files([path])


def test_same_tensor_in_two_parts(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, 2)
    metadata = {"split.no": 1, "split.count": 2, "split.tensors.count": 4}
    write_gguf(paths[1], metadata, [("t0.0", (1,), 0), ("u", (1,), 0)])
    with pytest.raises(IntegrityError, match=r"repeats the tensor t0\.0"):
        read_gguf_files(paths)


@pytest.mark.parametrize("count", [0, 1])
def test_whole_file_that_says_so(tmp_path: Path, count: int) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, {"split.count": GgufValue("u16", count)}, [("t", (1,), 0)])
    assert len(read_gguf_files([path]).tensors) == 1
