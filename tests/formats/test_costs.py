"""Whatever a header claims, reading it costs what its bytes pay for, and less than 200 MB.

Each file is read in a process of its own, whose processor time the system limits.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from gemmahub.errors import FormatError
from gemmahub.formats import source as sources
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import PrefixSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_READ: Final = """
import resource, sys
from pathlib import Path
from gemmahub.registry.artifacts import read_summary
from gemmahub.errors import GemmahubError
import gemmahub.formats.detect, gemmahub.formats.mlx
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
unit = 1 if sys.platform == "darwin" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    found = read_summary(Path(sys.argv[1]))
    said = f"read {found.chat_template} {found.notes}"
except GemmahubError as error:
    said = error.message
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
print(said)
"""
FEW: Final = 200_000_000
EMOJI: Final = "\U0001f600".encode()  # one of these makes a text four times as large in memory


def text(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def array(key: bytes, kind: int, count: int, items: bytes) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, kind, count) + items


def gguf(*pairs: bytes, tensors: tuple[bytes, ...] = ()) -> bytes:
    first = text(b"general.architecture") + struct.pack("<I", 8) + text(b"gemma3")
    head = struct.pack("<IQQ", 3, len(tensors), len(pairs) + 1)
    return b"GGUF" + head + first + b"".join(pairs) + b"".join(tensors)


def small_arrays(items: int, count: int) -> bytes:
    return gguf(*(array(b"k%d" % n, 0, items, b"\xff" * items) for n in range(count)))


def texts() -> bytes:
    value = text(EMOJI + bytes(900))
    return gguf(*(text(b"k%d" % n) + struct.pack("<I", 8) + value for n in range(60_000)))


def tensors(name: str) -> bytes:
    entry = struct.pack("<IQI", 1, 8, 0)
    found = (text((name % n).encode()) + entry + struct.pack("<Q", n * 32) for n in range(1 << 15))
    return gguf(tensors=tuple(found)) + bytes(1 << 21)


def safetensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", length or len(header)) + header


def shape(items: bytes) -> bytes:
    entry = b'{"dtype":"F32","shape":[%s1],"data_offsets":[0,4]}' % items
    return safetensors(b'{"a":%s}' % entry)


def many_safetensors() -> bytes:
    entry = {"dtype": "F32", "shape": [1]}
    found = {
        f"model.layers.{n % 100}.mlp.experts.{n}.up_proj.weight": {
            **entry,
            "data_offsets": [4 * n, 4 * n + 4],
        }
        for n in range(57_000)
    }
    return safetensors(json.dumps(found, separators=(",", ":")).encode()) + bytes(4 * len(found))


FILES: Final[dict[str, tuple[Callable[[], bytes], str]]] = {
    "arrays.gguf": (lambda: small_arrays(4096, 7000), "read"),
    "short-arrays.gguf": (lambda: small_arrays(1024, 60_000), "read"),
    "texts.gguf": (texts, "read"),
    "keys.gguf": (
        lambda: gguf(*(text(b"%01000d" % n) + b"\0\0\0\0\1" for n in range(60_000))),
        "keys take more than 1.05 MB",
    ),
    "strange-keys.gguf": (
        lambda: gguf(*(text(b"\xe2\x80\xae%011d" % n) + b"\0\0\0\0\1" for n in range(65_000))),
        "read",
    ),
    "strings.gguf": (lambda: gguf(array(b"s", 8, 4_000_000, bytes(32_000_000))), "read"),
    "more-strings.gguf": (
        lambda: gguf(array(b"s", 8, 4_200_000, bytes(33_600_000))),
        "more than 4,194,304 strings",
    ),
    "nested.gguf": (lambda: gguf(array(b"s", 9, 131_072, bytes(12 * 131_072))), "read"),
    "tensors.gguf": (lambda: tensors("\u202e" * 30 + "%015d"), "read"),
    "long-tensors.gguf": (lambda: tensors("blk.3.x" + "y" * 100 + "%015d"), "read"),
    "too-many-tensors.gguf": (
        lambda: gguf()[:8] + struct.pack("<QQ", 1 << 16, 0) + bytes(1 << 21),
        "states 65,536 tensors",
    ),
    "template.gguf": (
        lambda: gguf(
            text(b"tokenizer.chat_template") + struct.pack("<I", 8) + text(bytes(50_000_000))
        ),
        "read False ('its chat template was not read: it has 50.0 MB",
    ),
    "alignment.gguf": (
        lambda: gguf(text(b"general.alignment") + struct.pack("<IQ", 10, 1 << 62)),
        "not a power of two up to",
    ),
    "claimed.safetensors": (
        lambda: safetensors(b"{", 99_000_000) + bytes(99_000_000),
        "has a header of 99.0 MB",
    ),
    "more-claimed.safetensors": (lambda: safetensors(b"{", 1 << 60), "states a header of"),
    "numbers.safetensors": (lambda: shape(b"99999," * 1_300_000), "more than 524,288 values"),
    "fewer-numbers.safetensors": (lambda: shape(b"99999," * 500_000), "implausible size"),
    "objects.safetensors": (
        lambda: safetensors(b'{"a":[%s1]}' % (b'{"a":1},' * 190_000)),
        "is not described by an object",
    ),
    "metadata.safetensors": (
        lambda: safetensors(b'{"__metadata__":{"a":"%s%s"}}' % (EMOJI, b"x" * 8_300_000)),
        "read",
    ),
    "many.safetensors": (many_safetensors, "read"),
}
ONE: Final = safetensors(b'{"a.weight":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}')
FOLDERS: Final[dict[str, tuple[dict[str, bytes], str]]] = {
    "brackets": ({"config.json": b"[" * 4_000_000}, "more than 524,288 values"),
    "deep": ({"config.json": b'{"a":%s%s}' % (b"[" * 90, b"]" * 90)}, "more than 64 deep"),
    "deeper": ({"config.json": b'{"a":%s%s}' % (b"[" * 9000, b"]" * 9000)}, "damaged"),
    "large": ({"config.json": b" " * 5_000_000}, "config.json has 5.00 MB"),
    "numbers": ({"config.json": b'{"a":[%s1]}' % (b"99999," * 500_000)}, "read"),
    "texts": (
        {"tokenizer_config.json": b'{"a":[%s1]}' % (b'"abcdefghijklmno",' * 500_000)},
        "read",
    ),
    "template": (
        {"tokenizer_config.json": b'{"chat_template":"%s%s"}' % (EMOJI, b"x" * 16_000_000)},
        "read False ('no chat template was read from tokenizer_config.json: it has 16.0 MB",
    ),
    "jinja": ({"chat_template.jinja": b"x" * 5_000_000}, "chat_template.jinja: it has 5.00 MB"),
    "index": (
        {
            "model.safetensors.index.json": b'{"weight_map":{%s}}'
            % b",".join(b'"%020d":"m%06d.safetensors"' % (n, n) for n in range(300_000)),
            "model.safetensors": b"",
            "other.safetensors": ONE,
        },
        "lacks 300,000 of 300,000 files: m000000.safetensors",
    ),
    "claimed": (
        {"model-00001-of-99999.safetensors": ONE, "model.safetensors": b""},
        "lacks 99,998",
    ),
}


def cost(path: Path) -> tuple[int, str]:
    """Bytes of memory beyond those of the program, and what was said."""
    command = [sys.executable, "-c", _READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    taken, _, said = done.stdout.partition("\n")
    return int(taken), said


@pytest.mark.parametrize("name", FILES)
def test_a_costly_file_is_read_or_refused_within_its_limits(tmp_path: Path, name: str) -> None:
    make, words = FILES[name]
    (tmp_path / name).write_bytes(make())
    taken, said = cost(tmp_path / name)
    assert taken < FEW
    assert words in said


@pytest.mark.parametrize("name", FOLDERS)
def test_a_costly_folder_is_read_or_refused_within_its_limits(tmp_path: Path, name: str) -> None:
    files, words = FOLDERS[name]
    usual = {"config.json": b'{"model_type": "gemma3_text"}', "model.safetensors": ONE + bytes(8)}
    for file, raw in {**usual, **files}.items():
        if raw or file not in usual:
            (tmp_path / file).write_bytes(raw)
    taken, said = cost(tmp_path)
    assert taken < FEW
    assert words in said


class Counted(PrefixSource):
    """A file on a server, of zeros behind what is given; what was fetched of it is counted."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__("far.gguf", size, 64 * 1024)
        self._data = data

    def _extend(self, end: int) -> None:
        piece = self._data[len(self._prefix) : end]
        self._prefix += piece + bytes(end - len(self._prefix) - len(piece))


def fetched(data: bytes, size: int = 17_000_000_000) -> tuple[int, str]:
    """How many bytes reading the header of a file on a server fetches, and what it says."""
    far = Counted(data, size)
    try:
        read_gguf(far)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test wants its words
        return len(far.prefix), str(error)
    return len(far.prefix), "read"


@pytest.mark.parametrize(
    "about",
    [
        {"tensor_count": 1 << 63},
        {"tensor_count": 1 << 16},
        {"tensor_count": 1 << 15},
        {"key_count": 1 << 16},
        {"key_count": 1 << 40},
        {"array": 1 << 40},
        {"array": 70_000_000},
        {"array": 66_000_000},
    ],
    ids=str,
)
def test_a_far_header_makes_us_fetch_a_bounded_part(about: dict[str, Any]) -> None:
    head = struct.pack("<IQQ", 3, about.get("tensor_count", 0), about.get("key_count", 1))
    value = struct.pack("<IIQ", 9, 0, about.get("array", 10)) + bytes(10)
    length, _ = fetched(b"GGUF" + head + text(b"a") + value)
    assert length <= sources.LARGEST_PREFIX


def test_bytes_behind_the_limit_are_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_PREFIX", 1 << 20)
    far = Counted(b"GGUF", 1 << 40)
    assert far.read(0, 4) == b"GGUF"
    with pytest.raises(FormatError, match=r"a header of more than 1\.05 MB") as caught:
        far.read(1 << 30, 1)
    assert caught.value.hint
    assert len(far.prefix) < 1 << 20


def test_parts_that_are_only_claimed_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub.formats.split import gguf_parts

    looked: list[str] = []
    exists = os.path.lexists

    def look(path: Path) -> bool:
        looked.append(str(path))
        return exists(path)

    monkeypatch.setattr(os.path, "lexists", look)
    names = [f"m{n}-00001-of-00001.gguf" for n in range(300)]
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda _: pytest.fail("the folder was listed"))
    assert all(gguf_parts(tmp_path / name) == [tmp_path / name] for name in names)
    assert len(looked) == 300
