"""Every character that must not reach a terminal, and files, names and records that are full of
them."""

from __future__ import annotations

import json
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.header import header_metadata
from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CATEGORIES: Final = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Co"))
MARK: Final = "Seen"
"""Stands in every hostile text, so that a test can tell that the text was shown."""


def _unshown() -> Iterator[str]:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if unicodedata.category(char) in CATEGORIES and char not in "\n\t":
            yield char


UNSHOWN: Final = tuple(_unshown())
"""All of them."""

# Of the private ones and the halves of characters, the ends of each block are enough.
_ENDS: Final = frozenset("\ue000\uf8ff\U000f0000\U000ffffd\U00100000\U0010fffd")
PLAIN: Final = tuple(
    c for c in UNSHOWN if unicodedata.category(c) not in ("Co", "Cs") or c in _ENDS
)
"""Those that a file can hold."""
HALVES: Final = ("\ud800", "\udbff", "\udc00", "\udfff", "\udc80", "\udcff")
SEQUENCES: Final = (
    "\x1b]0;title\x07\x1b[2J\x1b[31m\x1bPq\x1b\\\x1b]8;;http://x\x1b\\\x1bc"
    "\x9b31m\x9b2J\x9d0;t\x9c\x90q\x9c\x1b[3"
)
TEXT: Final = MARK + "".join(f"a{char}" for char in PLAIN) + SEQUENCES
"""For what holds a text of any length."""
BROKEN_TEXT: Final = TEXT + "".join(f"b{half}" for half in HALVES)
"""With what no file holds, but JSON does."""
NAMES: Final = tuple(
    MARK + "".join(f"a{char}" for char in PLAIN[at : at + 36] if char not in "\0/") + "\x1b[2J"
    for at in range(0, len(PLAIN), 36)
)
"""The same in names of files: none is longer than 200 bytes."""
LINES: Final = f"{MARK}\nforged row\n\nanother"


def raw(text: str) -> list[str]:
    """Which of the characters are in a text as they are."""
    found = {c for c in text if unicodedata.category(c) in CATEGORIES} - {"\n", "\t"}
    return sorted(f"U+{ord(c):04X}" for c in found)


@dataclass(frozen=True)
class World:
    """An installation where all is hostile, below one folder."""

    folder: Path
    models: tuple[Path, ...]
    strange: Path
    broken: Path
    mlx: Path
    good: Path

    @property
    def data(self) -> Path:
        """For GEMMAHUB_DATA."""
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        """What makes it the installation of a process."""
        return {
            "GEMMAHUB_CACHE": str(self.folder / "cache"),
            "GEMMAHUB_DATA": str(self.data),
            "GEMMAHUB_FOLDERS": str(self.folder / "models"),
            "GEMMAHUB_STORES": "huggingface,ollama",
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_CACHE": str(self.folder / "hf" / "hub"),
            "OLLAMA_MODELS": str(self.folder / "ollama"),
        }

    def keep(self, id_: str) -> str:
        """One more conversation; its name."""
        folder = self.data / "conversations"
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = [
            {"kind": "head", "version": 1, "created": 1.7e9, "reference": str(self.good),
             "model": BROKEN_TEXT, "precision": BROKEN_TEXT, "engine": BROKEN_TEXT,
             "title": BROKEN_TEXT, "system": BROKEN_TEXT},
            {"kind": "message", "n": 0, "role": "user", "text": BROKEN_TEXT, "at": 1.7e9,
             "images": [f"/{BROKEN_TEXT}.png"]},
            {"kind": "message", "n": 1, "role": "assistant", "text": BROKEN_TEXT, "at": 1.7e9,
             "finish": "error", "error": BROKEN_TEXT, "model": BROKEN_TEXT},
        ]  # fmt: skip
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{id_}.jsonl").write_text(lines, encoding="utf-8")
        return id_


def build(folder: Path) -> World:
    """Write it."""
    models = folder / "models"
    models.mkdir()
    catalog = load_catalog()
    model, variant = (
        catalog.model("gemma-3-270m-it"),
        catalog.variant("gemma-3-270m-it", "q4_0-qat"),
    )
    assert model is not None
    assert variant is not None
    assert variant.types is not None
    about: dict[str, Any] = header_metadata(model.architecture) | {
        "general.name": TEXT,
        "general.license": TEXT,
        "general.finetune": TEXT,
        "general.base_model.count": 1,
        "general.base_model.0.name": TEXT,
        "tokenizer.chat_template": "{{ messages[0].content }}",
        f"x.{NAMES[0]}": TEXT,
    }
    shapes = variant_tensors(model.architecture, variant.types)
    tensors = [*((t.name, t.shape, t.type) for t in shapes), (NAMES[0][:50], (64,), "F32")]
    found = []
    for number, name in enumerate(NAMES):
        found.append(models / f"{name}.gguf")
        write_gguf(found[-1], about | {"general.name": f"{TEXT}{number}"}, tensors)
    strange = models / "strange.gguf"
    write_gguf(strange, about | {"general.architecture": TEXT}, tensors)
    broken = models / f"broken{NAMES[-1]}.gguf"
    broken.write_bytes(found[0].read_bytes()[:900])
    good = models / "good.gguf"
    write_gguf(good, about, tensors)
    world = World(folder, tuple(found), strange, broken, _mlx(models), good)
    _stores(folder, good)
    for number in range(3):
        world.keep(f"20260101-00000{number}-aaaaaaaa")
    conversations = world.data / "conversations"
    (conversations / f"{NAMES[1]}.jsonl").write_text("{" + TEXT, encoding="utf-8")
    return world


def _mlx(models: Path) -> Path:
    folder = models / f"mlx{NAMES[0]}"
    folder.mkdir()
    tensors = {f"{TEXT}.weight": {"dtype": TEXT, "shape": [4], "data_offsets": [0, 8]}}
    header = json.dumps(tensors).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(8)
    (folder / "model.safetensors").write_bytes(weights)
    quantization = {"bits": 4, "group_size": 64, "mode": BROKEN_TEXT}
    config = json.dumps({"model_type": BROKEN_TEXT, "quantization": quantization})
    (folder / "config.json").write_text(config, encoding="utf-8")
    return folder


def _stores(folder: Path, model: Path) -> None:
    tag = folder / "ollama" / "manifests" / NAMES[0] / NAMES[1] / NAMES[2] / NAMES[3]
    tag.parent.mkdir(parents=True)
    tag.write_text(json.dumps({"layers": [{"digest": BROKEN_TEXT}]}), encoding="utf-8")
    for name in (f"models--{NAMES[0][:80]}--x", "models--user--x"):
        snapshot = folder / "hf" / "hub" / name / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        for part in ("refs", "blobs"):
            (snapshot.parents[1] / part).mkdir()
        (snapshot / f"{NAMES[2]}.gguf").symlink_to(model)
