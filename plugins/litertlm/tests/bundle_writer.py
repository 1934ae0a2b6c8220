"""Writes ``.litertlm`` bundles for tests: a model of one step that the real engine runs.

Sources: google-ai-edge/LiteRT-LM schema/core/litertlm_header_schema.fbs@2f4884ba (header),
runtime/proto/llm_metadata.proto@5cd8d69a and token.proto (metadata),
runtime/executor/litert_compiled_model_executor_utils.cc@058fd0eb (names of inputs and outputs);
google-ai-edge/LiteRT tflite/converter/schema/schema.fbs, as in the wheel ai-edge-litert 2.3.0
(tables of TFLite); google/sentencepiece src/sentencepiece_model.proto (tokenizer). Nothing of the
reader is used.

The model looks up a vector for the last token and compares it with all words: no attention, and
caches that are handed on unchanged.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugins.litertlm.tests.flat_writer import Num, Table, Vec, flatbuffer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BLOCK = 16 * 1024
F32, F16, I32, I8, I4, I2 = 0, 1, 2, 9, 17, 19
BITS = {F32: 32, F16: 16, I32: 32, I8: 8, I4: 4, I2: 2}
ADD, FULLY_CONNECTED, GATHER, CAST = 0, 9, 36, 53
TFLITE, SENTENCEPIECE, METADATA, WEIGHTS = 3, 4, 5, 7
WIDTH, CONTEXT, STEP = 16, 1024, 8


# --- TFLite ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class T:
    """A tensor; ``data`` None for one that is computed."""

    name: str
    kind: int
    shape: tuple[int, ...]
    data: bytes | None = None
    scales: int = 0


def tflite(
    subgraphs: Sequence[tuple[str, Sequence[T], dict[str, int], dict[str, int], Sequence[Table]]],
    codes: Sequence[int] = (),
    *,
    behind: bool = False,
    **fields: Table,
) -> bytes:
    """A model of subgraphs: key, tensors, inputs, outputs, operators. Tensors of one name share
    their buffer. ``behind``: data lie behind the FlatBuffer, as of models of more than 2 GB."""
    contents: dict[str, bytes] = {}
    for _, tensors, *_ in subgraphs:
        contents |= {tensor.name: tensor.data for tensor in tensors if tensor.data is not None}
    numbers = {name: index + 1 for index, name in enumerate(contents)}
    places = dict.fromkeys(contents, (1, 1))
    for last in (False, True) if behind else (True,):
        buffers = [
            Table({}),
            *(_buffer(contents[n], places[n] if behind else None) for n in numbers),
        ]
        root = Table({
            0: Num("<I", 3),
            1: [Table({0: Num("<b", code), 2: Num("<i", 1), 3: Num("<i", code)}) for code in codes],
            2: [_subgraph(tensors, inputs, outputs, operators, numbers)
                for _, tensors, inputs, outputs, operators in subgraphs],
            3: "made by a test",
            4: buffers,
            7: [_signature(index, each) for index, each in enumerate(subgraphs)],
        } | {int(number): value for number, value in fields.items()})  # fmt: skip
        content = flatbuffer(root, b"TFL3")
        at = len(content) + -len(content) % 16
        for name in contents if not last else ():
            places[name] = (at, len(contents[name]))
            at += len(contents[name])
    if not behind:
        return content
    content += bytes(-len(content) % 16)
    return content + b"".join(contents.values())


def _buffer(content: bytes, place: tuple[int, int] | None) -> Table:
    if place is None:
        return Table({0: Vec("<B", content, 16)})
    return Table({1: Num("<Q", place[0]), 2: Num("<Q", place[1])})


def _subgraph(
    tensors: Sequence[T], inputs: dict[str, int], outputs: dict[str, int],
    operators: Sequence[Table], numbers: dict[str, int],
) -> Table:  # fmt: skip
    return Table({
        0: [_tensor(tensor, numbers) for tensor in tensors],
        1: Vec("<i", list(inputs.values())),
        2: Vec("<i", list(outputs.values())),
        3: list(operators),
        4: "main",
    })  # fmt: skip


def _tensor(tensor: T, numbers: dict[str, int]) -> Table:
    scales = Table({2: Vec("<f", [0.01] * tensor.scales), 3: Vec("<q", [0] * tensor.scales, 8)})
    buffer = numbers[tensor.name] if tensor.data is not None else 0
    return Table({
        0: Vec("<i", tensor.shape), 1: Num("<b", tensor.kind), 2: Num("<I", buffer),
        3: tensor.name, 4: scales if tensor.scales else None, 8: Num("<B", 1),
    })  # fmt: skip


def _signature(
    index: int, of: tuple[str, Sequence[T], dict[str, int], dict[str, int], Sequence[Table]]
) -> Table:
    def named(places: dict[str, int]) -> list[Table]:
        return [Table({0: name, 1: Num("<I", at)}) for name, at in places.items()]

    key, _, inputs, outputs, _ = of
    return Table({0: named(inputs), 1: named(outputs), 2: key, 4: Num("<I", index)})


def operator(
    code: int, inputs: Sequence[int], outputs: Sequence[int], kind: int, **options: Num
) -> Table:
    return Table({
        0: Num("<I", code), 1: Vec("<i", inputs), 2: Vec("<i", outputs), 3: Num("<B", kind),
        4: Table({int(number[1:]): value for number, value in options.items()}),
    })  # fmt: skip


def language_model(
    words: int, kind: int = F32, layers: int = 1, context: int = CONTEXT, head: int = 4
) -> bytes:
    """Signatures ``prefill_8`` and ``decode``, with caches of ``context`` rows of ``head`` numbers
    for keys and for values of each layer."""
    dice = random.Random(7)
    table = struct.pack(f"<{words * WIDTH}f", *(dice.uniform(-1, 1) for _ in range(words * WIDTH)))
    count = words * WIDTH * BITS[kind] // 8
    output = (
        struct.pack(f"<{words * WIDTH}f", *(dice.uniform(-1, 1) for _ in range(words * WIDTH)))
        if kind == F32
        else dice.randbytes(count)
    )
    scales = 0 if kind == F32 else words
    zero = T("zero", F32, (1,), bytes(4))
    # Only letters are written: single bytes would be no characters.
    never = struct.pack(f"<{words}f", *(-1e4 if word < 261 else 0.0 for word in range(words)))
    weights = [
        T("model.embedder/table", F32, (words, WIDTH), table),
        T("model.layers.0.lm_head/weight", kind, (words, WIDTH), output, scales),
        zero,
        T("never", F32, (words,), never),
    ]
    graphs = []
    for key, steps in ((f"prefill_{STEP}", STEP), ("decode", 1)):
        tensors = [T("tokens", I32, (1, steps)), T("input_pos", I32, (steps,)), *weights]
        inputs, outputs = {"tokens": 0, "input_pos": 1}, {}
        operators = []
        for layer in range(layers):
            for part in "kv":
                name, at = f"kv_cache_{part}_{layer}", len(tensors)
                shape = (1, 1, context, head)
                tensors += [T(f"{name}_in", F32, shape), T(f"{name}_out", F32, shape)]
                inputs[name], outputs[name] = at, at + 1
                operators.append(operator(2, [at, 4], [at + 1], 11))
        if key == "decode":
            at = len(tensors)
            tensors += [
                T("found", F32, (1, 1, WIDTH)), T("said", F32, (1, 1, words)),
            ]  # fmt: skip
            operators += [
                operator(0, [2, 0], [at], 23),
                operator(1, [at, 3, 5], [at + 1], 8, _2=Num("<B", 1)),
            ]
            outputs["logits"] = at + 1
        graphs.append((key, tensors, inputs, outputs, operators))
    return tflite(graphs, [GATHER, FULLY_CONNECTED, ADD, CAST])


# --- tokenizer and metadata: protocol buffers --------------------------------------------------


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        out.append(number & 0x7F | (0x80 if number > 0x7F else 0))
        number >>= 7
        if not number:
            return bytes(out)


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


PIECES = (
    ["<unk>", "<s>", "</s>", "<start_of_turn>", "<end_of_turn>"]
    + [f"<0x{byte:02X}>" for byte in range(256)]
    + [
        *"▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?\n",
        *"éüжд日本中京😀👍àèìòùâêîôçñåøæßабвгеёиклмнопрстуфхцчшщыэюя",
        "Привет",
    ]
)


def sentencepiece() -> bytes:
    """Control pieces, bytes, letters."""
    out = b""
    for index, piece in enumerate(PIECES):
        kind = {0: 2, 1: 3, 2: 3, 3: 4, 4: 4}.get(index, 6 if index < 261 else 1)
        score = varint(2 << 3 | 5) + struct.pack("<f", -float(index))
        out += field(1, field(1, piece) + score + field(3, kind))
    trainer = field(3, 1) + field(35, 1) + field(40, 0) + field(41, 1) + field(42, 2)
    normalizer = field(1, "identity") + field(3, 0) + field(4, 0) + field(5, 1)
    return out + field(2, trainer) + field(3, normalizer)


TEMPLATE = (
    "{% for message in messages %}<start_of_turn>{{ 'model' if message.role == 'assistant' else "
    "message.role }}\n{% if message.content is string %}{{ message.content }}{% else %}{% for item "
    "in message.content %}{{ item.text }}{% endfor %}{% endif %}<end_of_turn>\n{% endfor %}"
    "<start_of_turn>model\n"
)


def metadata(context: int = CONTEXT, model_type: int = 4, template: str = TEMPLATE) -> bytes:
    """``LlmMetadata``: start, stop, context, kind of model (4: Gemma3), template."""
    start = field(1, field(1, field(1, bytes([1]))))
    stop = field(2, field(1, field(1, bytes([2])))) + field(2, field(1, field(1, bytes([4]))))
    return start + stop + field(5, context) + field(6, field(model_type, b"")) + field(7, template)


# --- the bundle ----------------------------------------------------------------------------------


def bundle(
    sections: Sequence[tuple[int, bytes, dict[str, str]]],
    system: dict[str, str] | None = None,
    version: tuple[int, int, int] = (1, 7, 0),
) -> bytes:
    """A file of sections: kind, content, what is said of it."""

    def pair(key: str, value: str) -> Table:
        return Table({0: key, 1: Num("<B", 9), 2: Table({0: value})})

    def header(places: Sequence[tuple[int, int]]) -> bytes:
        objects = [
            Table({
                0: [pair(*item) for item in about.items()], 1: Num("<Q", begin), 2: Num("<Q", end),
                3: Num("<B", kind),
            })
            for (kind, _, about), (begin, end) in zip(sections, places, strict=True)
        ]  # fmt: skip
        said = [pair(*item) for item in (system or {"Authors": "a test"}).items()]
        return flatbuffer(Table({0: Table({0: said}), 1: Table({0: objects})}))

    size = 32 + len(header([(1, 1)] * len(sections)))
    places, at = [], -(-size // BLOCK) * BLOCK
    for _, content, _ in sections:
        places.append((at, at + len(content)))
        at = -(-(at + len(content)) // BLOCK) * BLOCK
    head = b"LITERTLM" + struct.pack("<IIIIQ", *version, 0, size) + header(places)
    out = bytearray(head.ljust(places[0][0] if places else BLOCK, b"\0"))
    for (_, content, _), (begin, _) in zip(sections, places, strict=True):
        out.extend(bytes(begin - len(out)))
        out.extend(content)
    return bytes(out)


def sections(kind: int = F32, **changes: object) -> list[tuple[int, bytes, dict[str, str]]]:
    """Those of a whole model."""
    about = {"model_type": "tf_lite_prefill_decode"}
    return [
        (METADATA, metadata(**changes), {}),  # type: ignore[arg-type]
        (SENTENCEPIECE, sentencepiece(), {}),
        (TFLITE, language_model(len(PIECES), kind), about),
    ]


def write_bundle(path: Path, kind: int = F32, **changes: object) -> Path:
    """A whole model file."""
    path.write_bytes(bundle(sections(kind, **changes)))
    return path
