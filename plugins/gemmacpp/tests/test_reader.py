"""Reading .sbs files: what they say, and files that lie."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.source import LocalFile
from gemmahub.precision.roles import tensor_role
from gemmahub.testing.conformance import FormatConformance
from gemmahub_gemmacpp.reader import SbsReader, read_sbs
from plugins.gemmacpp.tests.sbs_writer import (
    config,
    container,
    items,
    layer,
    mat,
    model_blobs,
    record,
    word,
    write_sbs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile


class _Format(FormatConformance):
    plugin = "gemmacpp"

    version = 2

    def make_file(self, folder: Path) -> Path:
        return write_sbs(folder / "tiny-sfp.sbs", self.version, layers=8)


class TestConformance(_Format):
    """With the directory at the end, as it is written since July 2025."""


class TestConformanceOfTheOlderLayout(_Format):
    """With the directory at the beginning."""

    version = 1


def opened(path: Path, content: bytes) -> ModelFile:
    path.write_bytes(content)
    return SbsReader().model(path, LocalFile)


@pytest.mark.parametrize("version", [1, 2])
def test_precision_is_measured_tensor_by_tensor(tmp_path: Path, version: int) -> None:
    model = SbsReader().model(write_sbs(tmp_path / "m.sbs", version), LocalFile)
    types = {tensor.name: (tensor.type, tensor.shape, tensor.bytes) for tensor in model.tensors}
    assert types["token_embd.c_embedding"] == ("BF16", (64, 512), 65536)
    assert types["blk.1.attn.qkv_ein"] == ("SFP", (64, 192), 192 * 64)
    assert types["output_norm.c_final_norm"] == ("BF16", (64,), 128)
    assert model.label == "SFP"
    assert "turns by itself" in model.notes[0]


def test_nuq_has_four_and_a_half_bits(tmp_path: Path) -> None:
    model = opened(tmp_path / "m.sbs", container(model_blobs("NUQ")))
    (tensor,) = [each for each in model.tensors if each.name == "blk.0.ffn.gating_ein"]
    assert tensor.type == "NUQ"
    assert 8 * (tensor.bytes or 0) / tensor.parameters == 4.5


def test_configuration_becomes_metadata(tmp_path: Path) -> None:
    """Under the names of GGUF, with the architecture by its usual name."""
    model = SbsReader().model(write_sbs(tmp_path / "m.sbs"), LocalFile)
    name = model.metadata["general.architecture"]
    assert name == "gemma3"
    assert model.metadata["general.name"] == "Gemma3_1B it"
    assert model.metadata[f"{name}.block_count"] == 2
    assert model.metadata[f"{name}.context_length"] == 4096
    assert model.metadata[f"{name}.attention.sliding_window"] == 512
    assert model.metadata[f"{name}.attention.head_count_kv"] == 1


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("token_embd.c_embedding", "embedding"),
        ("blk.0.attn.qkv_ein", "attention"),
        ("blk.0.attn.att_ein", "attention"),
        ("blk.0.ffn.gating_ein", "feed-forward"),
        ("blk.0.ffn.linear_w", "feed-forward"),
        ("blk.0.norm.pre_att_ns", "norm"),
        ("output_norm.c_final_norm", "norm"),
    ],
)
def test_tensors_have_their_role(tmp_path: Path, name: str, role: str) -> None:
    model = SbsReader().model(write_sbs(tmp_path / "m.sbs"), LocalFile)
    assert name in {tensor.name for tensor in model.tensors}
    assert tensor_role(name) == role


def test_image_tower_is_vision(tmp_path: Path) -> None:
    blobs = model_blobs()
    added = [("img_emb_kernel", 8, 12), ("qkv_ein_w_0", 24, 8), ("img_head_kernel", 64, 8)]
    for name, rows, cols in added:
        blobs[name] = bytes(2 * rows * cols)
        blobs["toc"] += mat(name, "BF16", rows, cols)
    model = opened(tmp_path / "m.sbs", container(blobs))
    roles = [tensor_role(tensor.name) for tensor in model.tensors[-3:]]
    assert roles == ["vision", "vision", "projector"]


def test_file_of_before_2025_is_measured_by_its_names(tmp_path: Path) -> None:
    blobs = {"Bc_embedding": bytes(65536), "$qkv_ein_0": bytes(12288), "2linear_w_0": bytes(14400),
             "Fscales": bytes(8)}  # fmt: skip
    model = opened(tmp_path / "old.sbs", container(blobs, 1))
    assert [(t.type, t.parameters) for t in model.tensors] == [
        ("BF16", 32768), ("SFP", 12288), ("NUQ", 25600),
    ]  # fmt: skip
    assert "before 2025" in model.notes[0]
    assert model.label is None


def test_unknown_types_are_counted_by_their_bytes(tmp_path: Path) -> None:
    """A version of gemma.cpp that is newer than this reader."""
    blobs = model_blobs()
    blobs["new_0"] = bytes(320)
    blobs["toc"] += mat("new_0", 9, 64, 8)
    tensor = opened(tmp_path / "m.sbs", container(blobs)).tensors[-1]
    assert (tensor.type, tensor.parameters, tensor.bytes) == ("type 9", 512, 320)


def test_fields_that_are_new_are_skipped(tmp_path: Path) -> None:
    blobs = model_blobs()
    first = mat("c_embedding", "BF16", 512, 64)
    assert blobs["toc"].startswith(first)
    longer = record(first[4:], word(7), word(8))
    blobs["toc"] = longer + blobs["toc"][len(first) :]
    blobs["config"] = record(blobs["config"][4:], word(5))
    model = opened(tmp_path / "m.sbs", container(blobs))
    assert model.tensors[0].parameters == 512 * 64


def test_tokenizer_that_is_missing_is_noted(tmp_path: Path) -> None:
    blobs = model_blobs()
    del blobs["tokenizer"]
    assert "no tokenizer" in opened(tmp_path / "m.sbs", container(blobs)).notes[-1]


# --- files that lie ------------------------------------------------------------------------------


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises((FormatError, IntegrityError)) as caught, LocalFile(path) as source:
        read_sbs(source)
    assert caught.value.hint
    return caught.value.message


def changed_place(content: bytes, index: int, offset: int, size: int, version: int) -> bytes:
    count = len(model_blobs())
    table = 16 if version == 1 else len(content) - 16 - 32 * count
    at = table + 16 * count + 16 * index
    return content[:at] + struct.pack("<QQ", offset, size) + content[at + 16 :]


@pytest.mark.parametrize("version", [1, 2])
def test_truncated_file_says_so(tmp_path: Path, version: int) -> None:
    content = container(model_blobs(), version)
    for length in (3, 15, 16, 100, 300, len(content) // 2, len(content) - 1):
        assert refused(tmp_path / "m.sbs", content[:length])
    assert refused(tmp_path / "m.sbs", content + bytes(16))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 256), (256, 1 << 60), (1 << 63, 8), (512, 512), (257, 12), (256, 0), (1 << 40, 1 << 40)],
)
def test_blobs_that_overlap_or_lie_outside_are_refused(
    tmp_path: Path, version: int, offset: int, size: int
) -> None:
    content = container(model_blobs(), version)
    for index in (0, 3, len(model_blobs()) - 1):
        assert refused(tmp_path / "m.sbs", changed_place(content, index, offset, size, version))


@pytest.mark.parametrize("version", [1, 2])
def test_huge_directory_is_refused_before_it_is_read(tmp_path: Path, version: int) -> None:
    content = container(model_blobs(), version)
    at = 4 if version == 1 else len(content) - 12
    for count in (1 << 17, (1 << 20) - 1, 0xFFFFFFFF):
        lying = content[:at] + word(count) + content[at + 4 :]
        assert refused(tmp_path / "m.sbs", lying)
    more = refused(tmp_path / "m.sbs", content[:at] + word(1 << 20) + content[at + 4 :])
    assert "1,048,576 blobs" in more


def test_file_of_no_blobs_is_refused(tmp_path: Path) -> None:
    assert "no blobs" in refused(tmp_path / "m.sbs", container({}, 2))


def test_two_blobs_of_one_name_are_refused(tmp_path: Path) -> None:
    pairs = [*model_blobs().items(), ("config", bytes(8))]
    assert "two blobs" in refused(tmp_path / "m.sbs", container(pairs))


def test_shape_that_does_not_fit_the_bytes_is_refused(tmp_path: Path) -> None:
    """A table that claims more or fewer weights than there are bytes would lie about bits."""
    for rows, kind in ((511, "BF16"), (1 << 31, "BF16"), (512, "F32"), (512, "NUQ")):
        blobs = model_blobs()
        first = mat("c_embedding", "BF16", 512, 64)
        blobs["toc"] = mat("c_embedding", kind, rows, 64) + blobs["toc"][len(first) :]
        assert "c_embedding" in refused(tmp_path / "m.sbs", container(blobs))


@pytest.mark.parametrize(
    "table",
    [
        b"", word(0xFFFFFFFF), word(5) + word(3), mat("nowhere", "SFP", 2, 2),
        mat("c_embedding", "BF16", 512, 64) * 2, record(word(65), bytes(260)), word(0) * 9,
    ],
)  # fmt: skip
def test_table_that_is_invalid_is_refused(tmp_path: Path, table: bytes) -> None:
    blobs = model_blobs() | {"toc": table or word(1)}
    assert refused(tmp_path / "m.sbs", container(blobs))


@pytest.mark.parametrize(
    "content",
    [
        word(1 << 31), word(12), record(word(3), word(1 << 30)),
        config(layers=[layer(64, 8, 4, 1, 32)])[:-40],
        record(*[word(0)] * 15, items([word(0xFFFF)])),
        record(*[word(0)] * 15, word(0xFFFFFFFF)),
    ],
)  # fmt: skip
def test_configuration_that_is_invalid_is_refused(tmp_path: Path, content: bytes) -> None:
    blobs = model_blobs() | {"config": content}
    assert refused(tmp_path / "m.sbs", container(blobs))


def test_names_are_shown_without_control_sequences(tmp_path: Path) -> None:
    blobs = model_blobs(name="\x1b[31mGemma3\x07")
    metadata = opened(tmp_path / "m.sbs", container(blobs)).metadata
    assert "\x1b" not in metadata["general.name"]
