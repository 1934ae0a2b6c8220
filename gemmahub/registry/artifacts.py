"""What is in a model file: read once from its header, then remembered by path, size, time.

:func:`read_summary` opens a file or folder and keeps what the rest of gemmahub asks for, not the
vocabulary; :class:`Inspector` remembers summaries in a small database in the cache folder.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.gguf_values import PRE_TOKENIZER, VOCABULARY_KIND, VOCABULARY_LISTS, ArrayRef
from gemmahub.formats.kinds import MODELS, PIECE, TEXT, VOCABULARY, kind_of, shown_kind
from gemmahub.formats.reader import BUILT_IN_FORMATS, ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub.memory import RECORD_VERSION, packed
from gemmahub.precision.mix import MixEntry, mix_of, total_parameters, unknown_packing
from gemmahub.precision.provenance import PREFIX
from gemmahub.precision.report import PrecisionReport, precision_report
from gemmahub.precision.roles import AUDIO, VISION, tensor_role
from gemmahub.precision.stated_label import file_type_label, file_type_notes, folder_label
from gemmahub.precision.training import Evidence, Training
from gemmahub.records.parsing import Unfit
from gemmahub.records.small_table import SmallTable
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.formats.reader import Readers

# Grows when summaries are made in another way, so that remembered ones are made again.
_SUMMARY_VERSION: Final = 7
_MADE_BY: Final = " by "
_TEXT_LIMIT: Final = 500
_NAME_LIMIT: Final = 60
_KEY_LIMIT: Final = 200
_KEYS_LIMIT: Final = 200
_ITEMS_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a model file says of itself. ``metadata`` has scalars and short arrays only.

    ``memory`` is what the memory model needs of it, as :func:`gemmahub.memory.unpack` reads it.
    ``kind`` is as :func:`gemmahub.formats.kinds.kind_of` has it; ``examples`` are the names of one
    tensor for each entry of ``mix``.
    """

    format: str
    size_bytes: int
    mix: tuple[MixEntry, ...]
    metadata: dict[str, Any]
    label: str | None
    chat_template: bool
    notes: tuple[str, ...] = ()
    memory: str = ""
    kind: str = TEXT
    examples: tuple[str, ...] = ()
    big_endian: bool = False

    @property
    def what(self) -> str:
        """What kind of file it is, in words."""
        return one_line(shown_kind(self.kind, self.metadata), 200)

    def header(self, files: tuple[Path, ...]) -> ModelFile:
        """What an engine is asked with whether it can load the model: of tensors that are alike in
        role and type, one, without its shape."""
        tensors = tuple(
            Tensor(name, entry.type, (), entry.parameters, entry.bytes)
            for name, entry in zip(self.examples, self.mix, strict=False)
        )
        return ModelFile(
            self.format,
            files,
            self.size_bytes,
            tensors,
            self.metadata,
            label=self.label,
            big_endian=self.big_endian,
        )

    @property
    def parameters(self) -> int:
        """Number of weights; 0 where some are packed in a way that is not known."""
        return 0 if unknown_packing(self.mix) else total_parameters(self.mix)

    @property
    def name(self) -> str:
        """The name in the file's metadata, empty if it has none."""
        return str(self.metadata.get("general.name", ""))

    def report(self, evidence: Evidence) -> PrecisionReport:
        """The precision of these tensors, with what else is known about the file."""
        return precision_report(self.mix, self.label, evidence)

    def evidence(self, repository: str, file_name: str, known: Training | None) -> Evidence:
        """What is known about the file besides its tensors."""
        return Evidence(self.metadata, repository, file_name, known)

    def architecture(self) -> dict[str, Any]:
        """The contract's ``architecture`` object; None for what the file does not say."""
        name = self.metadata.get("general.architecture")
        return {
            "name": name if isinstance(name, str) else None,
            "layers": self._whole(f"{name}.block_count"),
            "embedding_length": self._whole(f"{name}.embedding_length"),
            "context_length": self._whole(f"{name}.context_length"),
            "sliding_window": self._whole(f"{name}.attention.sliding_window"),
        }

    def _whole(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if type(value) is int else None

    def capabilities(self, *, projector: bool = False) -> list[str]:
        """What the model takes: text, and images where a projector or its tensors are there;
        nothing for what is no model."""
        if self.kind not in MODELS:
            return []
        roles = {entry.role for entry in self.mix}
        found = ["text"]
        if projector or VISION in roles:
            found.append("image")
        if AUDIO in roles:
            found.append("audio")
        return found


def read_summary(path: Path, readers: Readers = tuple) -> FileSummary:
    """Read a model's header; ``readers`` finds those of plugins.

    Raises: NotFound, FormatError, IntegrityError, each saying what is wrong with the file.
    """
    from gemmahub.formats.detect import open_model

    return summary_of(open_model(path, further=readers))


def summary_of(model: ModelFile) -> FileSummary:
    """The summary of a model that is open already, such as one that lies in a repository."""
    mix, notes = mix_of(model.tensors), tuple(model.notes)
    names = {(tensor_role(t.name), t.type): t.name for t in reversed(model.tensors)}
    label: str | None = None
    if model.format == "gguf":
        metadata = _short(model.metadata)
        label = file_type_label(metadata)
        notes += file_type_notes(metadata, mix)
    elif model.format in BUILT_IN_FORMATS:
        metadata = _short(_as_gguf_keys(model.metadata))
        label = folder_label(mix)
    else:
        metadata, label = _short(model.metadata), model.label
    kind = kind_of(model.files[0].name, model.metadata, model.tensors)
    if model.format not in BUILT_IN_FORMATS and kind in (VOCABULARY, PIECE):
        kind = TEXT  # its tensors may have other names
    return FileSummary(
        format=model.format,
        size_bytes=model.size_bytes,
        mix=mix,
        metadata=metadata,
        label=label,
        chat_template=bool(model.chat_template),
        notes=notes,
        memory=packed(model.format, model.metadata, model.tensors),
        kind=kind,
        examples=tuple(names[entry.role, entry.type][:_NAME_LIMIT] for entry in mix),
        big_endian=model.big_endian,
    )


def _short(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Scalars and short arrays: no template, nothing whose size the file chooses; of the vocabulary
    its kind, and how many entries each part has that engines need."""
    kept: dict[str, Any] = {
        key: len(value) if isinstance(value, tuple) else value.length
        for key in VOCABULARY_LISTS
        if isinstance(value := metadata.get(key), tuple | ArrayRef)
    }
    for key, value in metadata.items():
        if key.startswith("tokenizer.") and key not in (VOCABULARY_KIND, PRE_TOKENIZER):
            continue
        if len(key) > _KEY_LIMIT or len(kept) >= _KEYS_LIMIT:
            continue
        if isinstance(value, str):
            kept[key] = value[:_TEXT_LIMIT]
        elif isinstance(value, int | float) and abs(value) < 1 << 64:  # NaN and endless are not
            kept[key] = value
        elif isinstance(value, tuple) and len(value) <= _ITEMS_LIMIT:
            kept[key] = [item for item in value if isinstance(item, int)]
    return kept


_CONFIG_KEYS: Final = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "context_length": "max_position_embeddings",
    "attention.sliding_window": "sliding_window",
}


def _as_gguf_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A ``config.json`` under the names that GGUF uses, so that one reader serves both."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    name = config.get("model_type") or text.get("model_type")
    name = name[:_NAME_LIMIT] if isinstance(name, str) else None
    found: dict[str, Any] = {"general.architecture": name}
    if isinstance(config.get("_name_or_path"), str):
        found["general.name"] = config["_name_or_path"]
    for key, config_key in _CONFIG_KEYS.items():
        if config_key in text:
            found[f"{name}.{key}"] = text[config_key]
    return found | {key: value for key, value in config.items() if key.startswith(PREFIX)}


class Inspector:
    """Reads summaries, and remembers them. Without a database it reads each time.

    A remembered row that is damaged is read again from its file, and written over. So is what a
    plugin's reader said that is not among the ``readers`` now, in this version.
    """

    def __init__(self, database: Path | None, readers: Readers = tuple) -> None:
        self._table = None if database is None else _table(database)
        self._readers = readers
        self._known: dict[str, tuple[str, str]] | None = None
        self._new: list[tuple[str, str, str]] = []

    def summary(self, path: Path, files: tuple[Path, ...] = ()) -> FileSummary:
        """The summary of a model.

        Raises: as :func:`read_summary`.
        """
        # A name that is not Unicode has surrogates, which the database does not take.
        key = str(path.absolute()).encode(errors="backslashreplace").decode()
        stamp = _stamp(files or (path,))
        known = self._remembered().get(key)
        if known is not None and self._holds(known[0], stamp):
            with contextlib.suppress(Unfit):
                return _from_json(known[1])
        summary = read_summary(path, self._readers)
        if (text := _to_json(summary)) is not None:
            self._new.append((key, stamp + self._made_by(summary.format), text))
        return summary

    def _holds(self, remembered: str, stamp: str) -> bool:
        made, separator, reader = remembered.partition(_MADE_BY)
        known = not separator or reader in {each.made_by for each in self._readers()}
        return made == stamp and known

    def _made_by(self, format_: str) -> str:
        """What a stamp says of the reader, where it is a plugin's."""
        if format_ in BUILT_IN_FORMATS:
            return ""
        return next(_MADE_BY + each.made_by for each in self._readers() if each.name == format_)

    def reads(self, format_: str) -> bool:
        """Whether a format is one of ours, or that of a plugin's reader."""
        return format_ in BUILT_IN_FORMATS or any(r.name == format_ for r in self._readers())

    def save(self) -> None:
        """Write down what was read, and forget files that are gone. A cache that cannot be written
        is no failure."""
        if self._new and self._table is not None:
            insert = "insert or replace into summary (path, stamp, summary) values (?, ?, ?)"
            delete = "delete from summary where path = ?"
            gone = [(path,) for path in self._remembered() if _is_gone(path)]
            self._table.write(
                [(insert, row) for row in self._new] + [(delete, row) for row in gone]
            )
        self._new.clear()

    def _remembered(self) -> dict[str, tuple[str, str]]:
        if self._known is None:
            rows = [] if self._table is None else self._table.rows()
            self._known = {path: (stamp, text) for path, stamp, text in rows}
        return self._known


def _is_gone(key: str) -> bool:
    """Whether there is no such file; one whose name is not Unicode is not looked for."""
    return "\\udc" not in key and not os.path.lexists(key)


def _table(database: Path) -> SmallTable[tuple[str, str, str]]:
    columns = ("path TEXT", "stamp TEXT", "summary TEXT")
    return SmallTable(database, "summary", columns, tuple[str, str, str], key="path")


def _stamp(files: tuple[Path, ...]) -> str:
    """Version, sizes and times of the files; a folder's stamp covers the files in it."""
    parts = [f"{_SUMMARY_VERSION}.{RECORD_VERSION}"]
    for file in files:
        with contextlib.suppress(OSError):
            members = sorted(os.scandir(file), key=lambda e: e.name) if file.is_dir() else [file]
            for member in members:
                stat = member.stat()
                parts.append(f"{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(parts)


def _to_json(summary: FileSummary) -> str | None:
    """None for a summary that holds what no text can, such as half of a surrogate pair."""
    from gemmahub.registry.summary_row import to_json

    data = {field.name: getattr(summary, field.name) for field in fields(FileSummary)}
    data["mix"] = [[e.role, e.type, e.tensors, e.parameters, e.bytes] for e in summary.mix]
    return to_json(data)


def _from_json(text: str) -> FileSummary:
    """Raises: Unfit."""
    from gemmahub.registry.summary_row import from_text

    data = from_text(text)
    data["mix"] = tuple(MixEntry(*row) for row in data["mix"])
    return FileSummary(**data)
