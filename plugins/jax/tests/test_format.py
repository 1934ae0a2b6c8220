"""Orbax checkpoints without JAX: what is read, and what becomes of those that are damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ocdbt_writer import DATA, MANIFEST, NODE, OcdbtWriter, block, leaf, manifest, write_ocdbt
from zarr_folders import metadata, write_zarr, zarray

from gemmahub.engines.guarded_reader import readers_of
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import FormatError, GemmahubError, IntegrityError
from gemmahub.formats.source import LocalFile
from gemmahub.registry.artifacts import read_summary
from gemmahub_jax.checkpoint import read_checkpoint
from gemmahub_jax.crc32c import crc32c
from gemmahub_jax.naming import tensors_of
from gemmahub_jax.ocdbt_node import BlockFields, unpack
from gemmahub_jax.reader import OrbaxReader
from gemmahub_jax.zarr import parse_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile

pytestmark = pytest.mark.quick

LAYER = {
    "attn.q_einsum.w": ("bfloat16", (4, 64, 32)),
    "attn.kv_einsum.w": ("bfloat16", (2, 2, 64, 32)),
    "attn.attn_vec_einsum.w": ("bfloat16", (4, 32, 64)),
    "attn._query_norm.scale": ("bfloat16", (32,)),
    "attn._key_norm.scale": ("bfloat16", (32,)),
    "mlp.gating_einsum": ("bfloat16", (2, 128, 64)),
    "mlp.linear": ("bfloat16", (128, 64)),
    "pre_attention_norm.scale": ("bfloat16", (64,)),
    "post_attention_norm.scale": ("bfloat16", (64,)),
    "pre_ffw_norm.scale": ("bfloat16", (64,)),
    "post_ffw_norm.scale": ("bfloat16", (64,)),
}
NESTED = {
    "embedder.input_embedding": ("bfloat16", (512, 64)),
    "final_norm.scale": ("bfloat16", (64,)),
    **{f"layer_{number}.{name}": array for number in range(2) for name, array in LAYER.items()},
}
PARAMETERS = 512 * 64 + 64 + 2 * (8192 * 3 + 2 * 32 + 16384 + 8192 + 4 * 64)


def read(folder: Path) -> ModelFile:
    return OrbaxReader().model(folder, LocalFile)


def reading_fails(folder: Path) -> GemmahubError | None:
    """The error of ours, None where it was read."""
    try:
        read(folder)
    except GemmahubError as error:
        return error
    return None


def flat_name(name: str) -> str:
    """As in Google's own checkpoints."""
    above, _, last = name.rpartition(".")
    if last in ("gating_einsum", "linear"):
        above, last = name, "w"
    return f"transformer/{above.replace('.', '/')}.{last}"


@pytest.mark.parametrize("write", [write_ocdbt, write_zarr])
def test_types_shapes_and_bytes_are_those_of_the_checkpoint(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    found = {tensor.name: tensor for tensor in read(write(tmp_path / "tiny", NESTED)).tensors}
    assert {name: (t.type, t.shape) for name, t in found.items()} == {
        name: ("BF16", shape) for name, (_, shape) in NESTED.items()
    }
    assert sum(tensor.parameters for tensor in found.values()) == PARAMETERS
    assert sum(tensor.bytes or 0 for tensor in found.values()) == 2 * PARAMETERS


@pytest.mark.parametrize(("keys", "packed"), [(1000, True), (7, True), (7, False), (1, True)])
def test_nodes_of_any_size_are_read(tmp_path: Path, keys: int, packed: bool) -> None:
    whole = read(write_ocdbt(tmp_path / "a", NESTED)).tensors
    cut = read(write_ocdbt(tmp_path / "b", NESTED, node_keys=keys, packed=packed)).tensors
    assert sorted(cut, key=lambda t: t.name) == sorted(whole, key=lambda t: t.name)


def test_inspect_measures_it_and_knows_the_model(tmp_path: Path) -> None:
    folder = write_ocdbt(tmp_path / "tiny", NESTED)
    manager = load_plugins(only=["jax"])
    summary = read_summary(folder, lambda: readers_of(manager))
    assert summary.format == "orbax"
    assert summary.label == "BF16"
    assert summary.parameters == PARAMETERS
    assert summary.architecture()["name"] == "gemma3"
    assert summary.architecture()["layers"] == 2
    assert {entry.role for entry in summary.mix} == {
        "embedding", "attention", "feed-forward", "norm"
    }  # fmt: skip
    assert "compressed without loss" in summary.notes[0]


def test_flat_names_are_those_of_the_library(tmp_path: Path) -> None:
    flat = {flat_name(name): array for name, array in NESTED.items()}
    names = {tensor.name for tensor in read(write_ocdbt(tmp_path / "flat", flat)).tensors}
    assert names == set(NESTED)


def test_stacked_layers_are_distinguished(tmp_path: Path) -> None:
    """Layer 0, 2, 4 are of one kind, 1 and 3 of the other."""
    name = "transformer/stacked_layers/attention_type_{}/attn/q_einsum.w"
    arrays = {
        name.format(0): ("bfloat16", (3, 4, 8, 2)),
        name.format(1): ("bfloat16", (2, 4, 8, 2)),
    }
    found = read(write_ocdbt(tmp_path / "stacked", arrays)).tensors
    assert sorted(tensor.name for tensor in found) == [
        f"layer_{number}.attn.q_einsum.w" for number in range(5)
    ]
    assert {tensor.bytes for tensor in found} == {128}


def test_integers_count_with_their_scales(tmp_path: Path) -> None:
    """Four bits a weight, and one BF16 for each of its last dimension: 4.5 bits a weight here."""
    arrays = {
        "layer_0.attn.q_einsum._IntEinsum_0.kernel": ("int4", (2, 32, 16)),
        "layer_0.attn.q_einsum._IntEinsum_0.scale": ("bfloat16", (2, 1, 16)),
    }
    (tensor,) = read(write_ocdbt(tmp_path / "int4", arrays)).tensors
    assert (tensor.type, tensor.parameters, tensor.bytes) == ("INT4", 1024, 512 + 64)


def test_only_the_parameters_of_a_trainer_count(tmp_path: Path) -> None:
    arrays = {
        "params.final_norm.scale": ("float32", (64,)),
        "opt_state.mu": ("float32", (64,)),
        "step": ("int32", (1,)),
    }
    write_ocdbt(tmp_path / "step_1" / "default", arrays)
    (tensor,) = read(tmp_path / "step_1").tensors
    assert (tensor.name, tensor.type) == ("final_norm.scale", "F32")


def test_compressed_arrays_may_have_more_bytes_than_their_files(tmp_path: Path) -> None:
    """The reader says that they are compressed; of any other format that is a defect."""
    folder = write_zarr(tmp_path / "small", {"a": ("float32", (1024, 1024))})
    (reader,) = readers_of(load_plugins(only=["jax"]))
    model = reader.model(folder, LocalFile)
    assert model.compressed
    assert model.size_bytes < 100
    assert model.tensors[0].bytes == 4 << 20


def test_chunks_are_counted(tmp_path: Path) -> None:
    folder = write_zarr(tmp_path / "cut", {"a": ("float32", (8, 4))}, pieces=4)
    assert read(folder).tensors[0].bytes == 128
    (folder / "a" / "2.0").unlink()
    with pytest.raises(IntegrityError, match="3 of 4 chunks"):
        read(folder)


# --- faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["manifest.ocdbt", DATA, "_METADATA"])
def test_a_byte_that_is_another_is_found_or_harmless(tmp_path: Path, file: str) -> None:
    """Nothing but our own errors; of the database itself, the checksums find each."""
    folder = write_ocdbt(tmp_path / "tiny", NESTED)
    content = (folder / file).read_bytes()
    for place in range(0, len(content), max(1, len(content) // 97)):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        (folder / file).write_bytes(changed)
        found = reading_fails(folder)
        assert found is None or found.hint
        assert found is not None or file != "manifest.ocdbt"


def test_a_checkpoint_half_there_is_not_whole(tmp_path: Path) -> None:
    folder = write_ocdbt(tmp_path / "tiny", NESTED)
    content = (folder / DATA).read_bytes()
    (folder / DATA).write_bytes(content[: len(content) // 2])
    with pytest.raises(IntegrityError):
        read(folder)
    (folder / DATA).unlink()
    with pytest.raises(IntegrityError, match="has no d/5555"):
        read(folder)


def test_values_that_end_early_are_found(tmp_path: Path) -> None:
    """Weights are not read, but a file that is too short for them is."""
    writer = OcdbtWriter()
    place = (1 << 30, 64)
    node = leaf({"a/.zarray": zarray("float32", (16,), (16,))}, {"a/0": place})
    writer.write(tmp_path, writer.add(block(NODE, node)), 0, 2)
    with pytest.raises(IntegrityError, match="ends at byte"):
        read(tmp_path)


def test_arrays_that_are_listed_have_to_be_there(tmp_path: Path) -> None:
    folder = write_ocdbt(tmp_path / "tiny", {"a": ("float32", (4,))})
    (folder / "_METADATA").write_text(metadata(["a", "layer_7.mlp.linear"]))
    with pytest.raises(IntegrityError, match=r"1 of 2 arrays .* such as layer_7\.mlp\.linear"):
        read(folder)


def test_an_unfinished_checkpoint_is_reported(tmp_path: Path) -> None:
    folder = write_zarr(tmp_path / "x.orbax-checkpoint-tmp-3", {"a": ("float32", (4,))})
    with pytest.raises(IntegrityError, match="is incomplete"):
        read(folder)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "d/../../x", "d//x", "d\\x", ".x"])
def test_a_database_names_no_file_outside(tmp_path: Path, path: str) -> None:
    body = manifest(0, 10, 0, 1, path)
    (tmp_path / "manifest.ocdbt").write_bytes(block(MANIFEST, body))
    with pytest.raises(IntegrityError, match="it names the file"):
        read(tmp_path)


def test_a_circle_of_nodes_ends(tmp_path: Path) -> None:
    """A node that names itself as its child is of another height than its child has to be."""
    from ocdbt_writer import parent

    node = block(NODE, parent([("a", 0, 0, 1)], height=9), packed=False)
    node = block(NODE, parent([("a", 0, len(node), 1)], height=9), packed=False)
    writer = OcdbtWriter()
    writer.write(tmp_path, writer.add(node), 9, 1)
    with pytest.raises(IntegrityError):
        read(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 20,  # a number that does not end
        bytes([0]) + b"\xff\xff\xff\xff\x0f",  # four thousand million data files
        bytes([0, 0]) + b"\xff\xff\xff\xff\x0f",  # and keys
        bytes([0, 0, 0]),  # no keys
        bytes([0, 0, 1, 5]) + b"ab",  # a key that ends early
    ],
)
def test_counts_that_nothing_pays_for_are_refused(tmp_path: Path, body: bytes) -> None:
    writer = OcdbtWriter()
    writer.write(tmp_path, writer.add(block(NODE, body)), 0, 1)
    with pytest.raises(IntegrityError):
        read(tmp_path)


def test_a_block_that_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(IntegrityError, match="64 MiB"):
        unpack(block(NODE, bytes(65 << 20)), NODE, "a node")


def test_later_versions_are_said_to_be_unknown(tmp_path: Path) -> None:
    body = manifest(0, 10, 0, 1)
    (tmp_path / "manifest.ocdbt").write_bytes(block(MANIFEST, body, version=1))
    with pytest.raises(FormatError, match="version 1"):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1]},
        {"shape": [1 << 60]},
        {"shape": [1 << 39, 1 << 39], "chunks": [1, 1]},
        {"shape": [True]},
        {"shape": [1] * 40, "chunks": [1] * 40},
        {"chunks": [0]},
        {"chunks": [1, 1]},
        {"dtype": 7},
        {"zarr_format": 9},
        {"shape": None},
    ],
)
def test_descriptions_that_are_invalid_are_damage(change: dict[str, Any]) -> None:
    said = json.loads(zarray("float32", (4,), (4,))) | change
    with pytest.raises(IntegrityError):
        parse_array(json.dumps(said).encode(), "a")


def test_a_type_that_nobody_knows_has_no_size() -> None:
    array = parse_array(zarray("int3_of_tomorrow", (4,), (4,)), "a")
    assert (array.type_name, array.nbytes) == ("int3_of_tomorrow", None)


def test_the_checksum_is_castagnolis() -> None:
    """RFC 3720, appendix B.4: 32 bytes of zeros and of ones; and the usual nine digits."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"123456789") == 0xE3069283


def test_numbers_of_64_bits_are_read_and_longer_ones_refused() -> None:
    assert BlockFields(b"\xff" * 9 + b"\x01", "it").varint() == (1 << 64) - 1
    with pytest.raises(IntegrityError, match="too long"):
        BlockFields(b"\xff" * 10 + b"\x01", "it").varint()


def test_other_folders_are_left(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert not OrbaxReader().reads(tmp_path)
    assert not OrbaxReader().reads(tmp_path / "config.json")
    with pytest.raises(FormatError):
        OrbaxReader().tensors(LocalFile(tmp_path / "config.json"))


def test_reading_by_name_matches_reading_the_checkpoint(tmp_path: Path) -> None:
    folder = write_ocdbt(tmp_path / "tiny", NESTED)
    found = read_checkpoint(folder, LocalFile)
    assert tuple(read(folder).tensors) == tensors_of(found.arrays)
    assert found.size_bytes == sum(file.stat().st_size for file in found.files)
