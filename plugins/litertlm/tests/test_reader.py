"""Reading bundles: what they say, and files that lie. The engine runs the whole ones."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import FormatError, GemmahubError, IntegrityError
from gemmahub.formats.source import LocalFile
from gemmahub.precision.roles import tensor_role
from gemmahub.testing.conformance import FormatConformance
from gemmahub_litertlm.reader import LitertlmReader, TaskReader, read_any
from plugins.litertlm.tests.bundle_writer import (
    CONTEXT,
    F16,
    F32,
    I2,
    I4,
    I8,
    METADATA,
    PIECES,
    SENTENCEPIECE,
    TFLITE,
    WEIGHTS,
    WIDTH,
    T,
    bundle,
    field,
    language_model,
    metadata,
    sections,
    sentencepiece,
    tflite,
    write_bundle,
)  # fmt: skip
from plugins.litertlm.tests.flat_writer import Num, Table, Vec, flatbuffer

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile

DECODE = {"model_type": "tf_lite_prefill_decode"}


class _Format(FormatConformance):
    plugin = "litertlm"


class TestConformance(_Format):
    format_name = "litertlm"

    def make_file(self, folder: Path) -> Path:
        path = folder / "large.litertlm"
        path.write_bytes(bundle([(METADATA, metadata(), {}), (TFLITE, weights_alone(), DECODE)]))
        return path


class TestConformanceOfTasks(_Format):
    format_name = "task"

    def make_file(self, folder: Path) -> Path:
        path = folder / "large.task"
        path.write_bytes(task(TF_LITE_PREFILL_DECODE=weights_alone(), TOKENIZER_MODEL=b"words"))
        return path


def weights_alone(*tensors: T, **changes: object) -> bytes:
    """A model that computes nothing; 2 MB of weights where none are named."""
    named = tensors or (T("model.layers.0.mlp.up_proj", I8, (1024, 2048), bytes(1 << 21), 1024),)
    return tflite([("decode", named, {}, {}, ())], **changes)  # type: ignore[arg-type]


def task(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def opened(path: Path, content: bytes) -> ModelFile:
    path.write_bytes(content)
    return LitertlmReader().model(path, LocalFile)


def of_tensors(path: Path, *tensors: T, **changes: object) -> ModelFile:
    model = weights_alone(*tensors, **changes)
    return opened(path, bundle([(TFLITE, model, DECODE)]))


def test_bundle_of_the_engine_is_measured(tmp_path: Path) -> None:
    model = LitertlmReader().model(write_bundle(tmp_path / "m.litertlm"), LocalFile)
    found = {tensor.name: tensor for tensor in model.tensors}
    assert found["token_embd.model.embedder/table"].shape == (WIDTH, len(PIECES))
    assert len(found) == 4  # weights that both signatures use count once
    assert model.label == "F32"
    name = model.metadata["general.architecture"]
    assert name == "gemma3"
    assert model.metadata[f"{name}.context_length"] == CONTEXT
    assert model.metadata[f"{name}.block_count"] == 1
    assert model.metadata["litertlm.Authors"] == "a test"
    assert model.chat_template is not None
    assert "prefill_decode" in model.notes[0]


@pytest.mark.parametrize(
    ("kind", "name", "bits"), [(I8, "INT8", 8), (I4, "INT4", 4), (I2, "INT2", 2), (F16, "F16", 16)]
)
def test_bits_are_those_of_weights_and_scales(
    tmp_path: Path, kind: int, name: str, bits: int
) -> None:
    """Scales are 4 bytes and zero points 8 for each row of 512."""
    rows = 64 if kind != F16 else 0
    tensor = T("model.layers.3.self_attn.q_proj", kind, (64, 512), bytes(64 * 64 * bits), rows)
    (found,) = of_tensors(tmp_path / "m.litertlm", tensor).tensors
    assert (found.type, found.parameters) == (name, 64 * 512)
    assert found.bytes == 64 * 64 * bits + 12 * rows
    assert tensor_role(found.name) == "attention"


def test_blocks_have_their_size_and_the_bytes_of_their_scales(tmp_path: Path) -> None:
    """The tensor with the scales is no weight of its own."""
    from plugins.litertlm.tests import bundle_writer

    weight, scales = T("w", I4, (64, 512), bytes(64 * 256)), T("s", F16, (64, 16), bytes(64 * 32))
    made = bundle_writer._tensor
    blockwise = Table({4: Num("<B", 2), 5: Table({0: Num("<i", 1), 1: Num("<i", -1),
                                                 2: Num("<i", 32)})})  # fmt: skip

    def with_blocks(tensor: T, numbers: dict[str, int]) -> Table:
        table = made(tensor, numbers)
        return Table(table.fields | {4: blockwise}) if tensor is weight else table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_writer, "_tensor", with_blocks)
        (found,) = of_tensors(tmp_path / "m.litertlm", weight, scales).tensors
    assert found.type == "INT4 g32"
    assert found.bytes == 64 * 256 + 64 * 32
    assert 8 * found.bytes / found.parameters == 4.5


def test_weights_behind_the_flatbuffer_are_counted(tmp_path: Path) -> None:
    """As in models of more than 2 GB."""
    tensor = T("w", I8, (64, 512), bytes(64 * 512))
    (found,) = of_tensors(tmp_path / "m.litertlm", tensor, behind=True).tensors
    assert found.bytes == 64 * 512


def external(offset: int, length: int, size: int) -> bytes:
    """A model whose weights lie in a section of their own."""
    tensor = Table({0: Vec("<i", (64, 512)), 1: Num("<b", I8), 3: "w", 10: Num("<I", 5)})
    root = Table({
        0: Num("<I", 3), 2: [Table({0: [tensor]})], 4: [Table({})],
        9: [Table({0: Num("<I", 5), 2: Num("<Q", offset), 3: Num("<Q", length)})],
    })  # fmt: skip
    model = flatbuffer(root, b"TFL3")
    return bundle([(TFLITE, model, DECODE), (WEIGHTS, bytes(size), DECODE)])


def test_weights_in_a_section_of_their_own_are_counted(tmp_path: Path) -> None:
    (found,) = opened(tmp_path / "m.litertlm", external(16, 64 * 512, 64 * 512 + 16)).tensors
    assert found.bytes == 64 * 512


def test_constants_that_are_not_weights_are_left_out(tmp_path: Path) -> None:
    shape = T("shape", 2, (4,), bytes(16))
    weight = T("w", F32, (4,), bytes(16))
    assert len(of_tensors(tmp_path / "m.litertlm", shape, weight).tensors) == 1


@pytest.mark.parametrize(
    ("model_type", "role"),
    [
        ("tf_lite_embedder", "embedding"), ("TF_LITE_PER_LAYER_EMBEDDER", "per-layer embedding"),
        ("tf_lite_vision_encoder", "vision"), ("tf_lite_audio_encoder_hw", "audio"),
        ("tf_lite_vision_adapter", "projector"),
    ],
)  # fmt: skip
def test_sections_tell_the_role(tmp_path: Path, model_type: str, role: str) -> None:
    content = bundle([(TFLITE, weights_alone(T("w", F32, (4,), bytes(16))),
                       {"model_type": model_type})])  # fmt: skip
    (found,) = opened(tmp_path / "m.litertlm", content).tensors
    assert tensor_role(found.name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("params.lm.transformer.x_layers_11.self_attention.q.w", "attention"),
        ("params.lm.transformer.x_layers_11.ff_layer.ffn_layer1.w", "feed-forward"),
        ("transformer_block.2/mlp/down_proj", "feed-forward"),
        ("model.layers.1.input_layernorm", "norm"),
        ("lm_head.weight", "output"),
        ("arith.constant7", "other"),
    ],
)
def test_names_of_both_exporters_tell_the_role(tmp_path: Path, name: str, role: str) -> None:
    (found,) = of_tensors(tmp_path / "m.litertlm", T(name, F32, (4,), bytes(16))).tensors
    assert tensor_role(found.name) == role


def test_constraint_of_a_section_is_shown(tmp_path: Path) -> None:
    about = DECODE | {"backend_constraint": "npu"}
    content = bundle([(TFLITE, weights_alone(), about)])
    assert "(npu only)" in opened(tmp_path / "m.litertlm", content).notes[0]


def test_task_bundle_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "m.task"
    model = language_model(len(PIECES), I8)
    path.write_bytes(task(TF_LITE_PREFILL_DECODE=model, TOKENIZER_MODEL=sentencepiece()))
    found = TaskReader().model(path, LocalFile)
    assert {tensor.type for tensor in found.tensors} == {"F32", "INT8"}
    assert found.format == "task"


# --- files that lie ------------------------------------------------------------------------------


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises((FormatError, IntegrityError)) as caught, LocalFile(path) as source:
        read_any(source)
    assert caught.value.hint
    return caught.value.message


def test_truncated_bundle_says_so(tmp_path: Path) -> None:
    content = bundle(sections())
    for length in (0, 7, 8, 20, 32, 40, 200, 16384, 40000, len(content) // 2, len(content) - 1):
        assert refused(tmp_path / "m.litertlm", content[:length])


def test_other_version_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / "m.litertlm", bundle(sections(), version=(2, 0, 0)))
    assert "version 2.0.0" in message


@pytest.mark.parametrize("end", [0, 31, 33, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_header_with_an_end_that_lies_is_refused(tmp_path: Path, end: int) -> None:
    content = bundle(sections())
    assert refused(tmp_path / "m.litertlm", content[:24] + struct.pack("<Q", end) + content[32:])


@pytest.mark.parametrize(
    ("begin", "end"),
    [(0, 100), (40, 1 << 62), (1 << 63, 1 << 63), (50000, 40000), (16384, 90000)],
)
def test_sections_that_overlap_or_lie_outside_are_refused(
    tmp_path: Path, begin: int, end: int
) -> None:
    content = bundle(sections())
    place = struct.pack("<QQ", 32768, 32768 + len(sentencepiece()))
    at = content.find(place)
    if at < 0:  # fields lie the other way round
        place = place[8:] + place[:8]
        at = content.find(place)
    assert at > 0
    assert refused(
        tmp_path / "m.litertlm", content[:at] + struct.pack("<QQ", begin, end) + content[at + 16 :]
    )


def test_bundle_without_sections_or_weights_is_refused(tmp_path: Path) -> None:
    assert "no sections" in refused(tmp_path / "m.litertlm", bundle([]))
    content = bundle([(SENTENCEPIECE, sentencepiece(), {})])
    assert "no weights" in refused(tmp_path / "m.litertlm", content)


@pytest.mark.parametrize("rows", [0, 63, 65, 1 << 20, -1])
def test_shape_that_does_not_fit_the_bytes_is_refused(tmp_path: Path, rows: int) -> None:
    tensor = T("w", I8, (rows, 512), bytes(64 * 512))
    content = bundle([(TFLITE, weights_alone(tensor), DECODE)])
    assert refused(tmp_path / "m.litertlm", content)


@pytest.mark.parametrize(("offset", "length"), [(16, 64 * 512), (1 << 63, 1 << 63), (0, 1)])
def test_external_weights_that_lie_are_refused(tmp_path: Path, offset: int, length: int) -> None:
    assert refused(tmp_path / "m.litertlm", external(offset, length, 64 * 512))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 200, field(6, b"\xff\xff"), b"\x2a\xff\xff\xff\xff\x0f", b"\x0f",
        b"\x28" + b"\xff" * 11,
    ],
)  # fmt: skip
def test_metadata_that_are_invalid_are_refused(tmp_path: Path, content: bytes) -> None:
    made = bundle([(METADATA, content, {}), (TFLITE, weights_alone(), DECODE)])
    assert "metadata" in refused(tmp_path / "m.litertlm", made)


def test_any_changed_byte_is_an_answer_or_an_error_of_ours(tmp_path: Path) -> None:
    """Two thousand bundles with some bytes of header and tables changed; none hangs."""
    content = bundle(sections())
    places = [*range(32, 900), *range(49152, 49152 + 600),
              *range(len(content) - 3000, len(content))]  # fmt: skip
    dice = random.Random(11)
    path = tmp_path / "m.litertlm"
    failed = 0
    for _ in range(2000):
        changed = bytearray(content)
        for place in dice.sample(places, 3):
            changed[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        path.write_bytes(changed)
        try:
            with LocalFile(path) as source:
                read_any(source)
        except (FormatError, IntegrityError):
            failed += 1
    assert 100 < failed < 2000


def test_zip_files_that_are_not_bundles_are_left(tmp_path: Path) -> None:
    path = tmp_path / "m.task"
    path.write_bytes(task(readme=b"hello"))
    assert not TaskReader().reads(path)


def test_task_that_lies_is_refused(tmp_path: Path) -> None:
    content = task(TF_LITE_PREFILL_DECODE=weights_alone(), METADATA=b"")
    for length in (4, 30, 2000, len(content) - 30, len(content) - 1):
        assert refused(tmp_path / "m.task", content[:length])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("TF_LITE_PREFILL_DECODE", bytes(100_000))
    assert "packed" in refused(tmp_path / "m.task", out.getvalue())
    dice = random.Random(3)
    for _ in range(300):
        changed = bytearray(content)
        for place in dice.sample(range(len(content) - 200, len(content)), 3):
            changed[place] = dice.randrange(256)
        (tmp_path / "m.task").write_bytes(changed)
        try:
            with LocalFile(tmp_path / "m.task") as source:
                read_any(source)
        except GemmahubError:
            continue
