"""The sections of a ``.litertlm`` bundle, from its header.

Sources: google-ai-edge/LiteRT-LM schema/core/litertlm_header_schema.fbs@2f4884ba and
litertlm_read.cc@9c176ada: ``LITERTLM``, three numbers of the version, four bytes, the header's end;
from byte 32 on a FlatBuffer that lists the sections, each at a multiple of 16 KiB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.text import format_bytes, one_line
from gemmahub_litertlm.flatbuffer import U8, U64, FlatTable, FlatView, root_of

if TYPE_CHECKING:
    from gemmahub.formats.source import ByteSource

MAGIC: Final = b"LITERTLM"
MAJOR: Final = 1
BEGIN: Final = 32
KINDS: Final = (
    "none", "data", "deprecated", "tflite", "sentencepiece", "metadata", "tokenizer", "weights",
    "embedding metadata", "executor metadata", "tts metadata", "asr metadata",
)  # fmt: skip
"""``enum AnySectionDataType``; the last three as the builder of 0.18.1 has them."""
_HEAD: Final = struct.Struct("<8sIIIIQ")
_MOST_HEADER: Final = 16 * 1024 * 1024
_MOST_SECTIONS: Final = 1024
_STRING: Final = 9  # union VData


@dataclass(frozen=True, slots=True)
class BundleSection:
    """One section: its kind, its bytes, and what is said of it (``model_type``, ...)."""

    kind: str
    begin: int
    end: int
    about: dict[str, str]

    @property
    def model_type(self) -> str:
        """What a TFLite model is for, without ``tf_lite_``: ``prefill_decode``, ``embedder``."""
        return self.about.get("model_type", "").lower().removeprefix("tf_lite_")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle: version of the format, what is said of it, sections."""

    version: str
    about: dict[str, str]
    sections: tuple[BundleSection, ...]


def read_bundle(source: ByteSource) -> Bundle:
    """The bundle's header. Raises: FormatError for what is none, or of a version that is not known;
    IntegrityError."""
    name = one_line(source.name)
    magic, major, minor, patch, _, end = _HEAD.unpack(source.read(0, _HEAD.size))
    if magic != MAGIC:
        raise FormatError(f"{name} is not a .litertlm bundle", "Choose another file.")
    if major != MAJOR:
        raise FormatError(
            f"{name} is a bundle of version {major}.{minor}.{patch}, and 1 is known",
            "Update gemmahub-litertlm.",
        )
    if end > _MOST_HEADER + BEGIN:
        raise IntegrityError(
            f"{name} has a header of {format_bytes(end)}, more than any model",
            "Fetch the file again; if that does not help, report it to its publisher.",
        )
    view = FlatView(source, BEGIN, max(end, BEGIN), "the header")
    root = root_of(view)
    system, sections = root.table(0), root.table(1)
    found = [] if sections is None else list(sections.tables(0, _MOST_SECTIONS))
    if not found:
        raise view.damaged("it has no sections")
    return Bundle(
        f"{major}.{minor}.{patch}",
        {} if system is None else _pairs(system),
        tuple(_checked(source, view, [_section(table) for table in found], end)),
    )


def _section(table: FlatTable) -> BundleSection:
    number = table.number(3, U8)
    kind = KINDS[number] if number < len(KINDS) else f"kind {number}"
    return BundleSection(kind, table.number(1, U64), table.number(2, U64), _pairs(table))


def _checked(
    source: ByteSource, view: FlatView, sections: list[BundleSection], begin: int
) -> list[BundleSection]:
    """Sections within the file, none over another or the header."""
    for section in sorted(sections, key=lambda each: (each.begin, each.end)):
        if section.begin < begin or section.end < section.begin:
            what = f"a section of {section.kind} lies at byte {section.begin:,}"
            raise view.damaged(f"{what}, over what is before it")
        FlatView(source, section.begin, section.end, f"a section of {section.kind}")
        begin = section.end
    return sections


def _pairs(table: FlatTable) -> dict[str, str]:
    """Texts by their names; values of other kinds are left out."""
    found = {}
    for pair in table.tables(0, _MOST_SECTIONS):
        value = pair.table(2) if pair.number(1, U8) == _STRING else None
        if value is not None:
            found[one_line(pair.text(0), 80)] = one_line(value.text(0), 200)
    return found
