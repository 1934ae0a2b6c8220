"""Every door through which a stranger's bytes come in, each as a function of bytes.

A reader is fed changed copies of a good file. It may answer, or refuse with a
:class:`~gemmahub.errors.GemmahubError` whose message and hint are harmless text; anything else that
it raises is a fault. ``tests/hostile/test_readers.py`` tries some inputs of each,
``python -m benchmarks.fuzz`` as many as it is told to.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import unicodedata
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from unittest import mock

from gemmahub.catalog.loader import load_catalog
from gemmahub.config import load_config
from gemmahub.conversations import ConversationStore, Saved, as_json, as_markdown, as_text
from gemmahub.engines.contract import Artifact, Inventory
from gemmahub.errors import GemmahubError
from gemmahub.formats.json_text import parse_object
from gemmahub.formats.source import LocalFile
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.simulate import simulate_machine
from gemmahub.http.values import NotJson, content_range, parse_json
from gemmahub.hub.answers import told_wait
from gemmahub.hub.choose import by_label, models_in
from gemmahub.hub.listing import repository_of
from gemmahub.hub.remembered import Remembered
from gemmahub.measurements.speed_log import SpeedLog
from gemmahub.memory.config_architecture import from_config
from gemmahub.planning import fits_of
from gemmahub.registry.artifacts import Inspector
from gemmahub.registry.reference import parse_reference
from gemmahub.registry.registry import Registry
from gemmahub.stores.dedupe_record import valid_entry
from gemmahub.stores.journal import read_record
from gemmahub.testing.gguf_writer import gguf_header
from gemmahub.text import StreamStripper, one_line, strip_controls
from gemmahub.tui.state import State
from gemmahub_gemmacpp.reader import read_sbs
from gemmahub_litertlm.reader import read_any
from gemmahub_ollama.manifests import BadManifest, parse_manifest
from gemmahub_ollama.store import OllamaStore
from plugins.gemmacpp.tests.sbs_writer import container, model_blobs
from plugins.litertlm.tests.bundle_writer import bundle, sections
from tests.hostile import preset_readers as presets
from tests.hostile import server_readers as servers
from tests.hostile import studio_readers as studio
from tests.hostile.mutations import (
    TEXTS,
    changed_bytes,
    changed_json,
    changed_lines,
    changed_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from gemmahub.formats.source import ByteSource
    from gemmahub.hardware.records import Machine


_Seed: TypeAlias = tuple[bytes, int]
"""A header, and the length of the file that it promises."""


class Fault(AssertionError):
    """A reader let something through that it must not."""


@dataclass(frozen=True)
class Reader:
    """``change`` makes an input, ``read`` takes it; ``read`` may use the empty ``folder``."""

    name: str
    change: Callable[[Random], bytes]
    read: Callable[[bytes, Path], object]

    def attempt(self, random: Random, folder: Path) -> None:
        """One input, read. Raises: Fault, or whatever the reader should not have raised."""
        raw = self.change(random)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.read(raw, folder)
        except GemmahubError as error:
            _check_words(error.message)
            _check_words(error.hint)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _check_words(text: str) -> None:
    """An error is said in a few harmless words, and is nobody's defect."""
    if odd := [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")]:
        raise Fault(f"a control character in an error: {odd[0]!r}")
    if len(text) > 3000:
        raise Fault(f"an error of {len(text):,} characters")


# --- model files: as `list` reads them, with precision, plan and fit --------------------------


@cache
def _machine() -> Machine:
    return simulate_machine(None, 16 << 30, probe_machine())


def _described(path: Path, database: Path | None = None) -> None:
    catalog = load_catalog()
    inspector = Inspector(database)
    registry = Registry(catalog, lambda: [Inventory((Artifact("", path),))], inspector)
    found = registry.models()
    for variant in found.variants:
        json.dumps([variant.precision.as_json(), variant.architecture, variant.notes])
        fits_of([variant], catalog, _machine())
    for entry in found.broken:
        _check_words(one_line(entry.reason))


_DENSE: Final[dict[str, Any]] = {
    "context_length": 4096,
    "embedding_length": 64,
    "block_count": 2,
    "feed_forward_length": 128,
    "attention.head_count": 2,
    "attention.head_count_kv": 1,
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "embedding_length_per_layer_input": 0,
    "vocab_size": 100,
}
_WINDOWS: Final = {
    "attention.sliding_window": 64,
    "attention.sliding_window_pattern": [True, False],
    "attention.shared_kv_layers": 0,
}
_EXPERTS: Final = {"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 32}
_SHAPES: Final = {
    "attn_q": (64, 64), "attn_k": (64, 32), "attn_v": (64, 32), "attn_output": (64, 64),
    "ffn_gate": (64, 128), "ffn_up": (64, 128), "ffn_down": (128, 64), "attn_norm": (64,),
}  # fmt: skip
_EXPERT_SHAPES: Final = {
    "ffn_gate_inp": (64, 8), "ffn_gate_up_exps": (64, 64, 8), "ffn_down_exps": (32, 64, 8),
}  # fmt: skip


def _gguf_seed(name: str, keys: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> _Seed:
    about: dict[str, Any] = {
        "general.architecture": name,
        "general.name": "a model",
        "general.file_type": 2,
        "general.alignment": 32,
        **{f"{name}.{key}": value for key, value in keys.items()},
        "tokenizer.chat_template": "{{ messages[0].content }}",
        "tokenizer.ggml.tokens": [f"<{n}>" for n in range(100)],
        "split.count": 1,
    }
    tensors = [("token_embd.weight", (64, 100), "F32"), ("output_norm.weight", (64,), "F32")]
    tensors += [
        (f"blk.{n}.{key}.weight", s, "F32")
        for n in range(keys.get("block_count", 0))
        for key, s in shapes.items()
    ]
    return gguf_header(about, tensors)


_GGUF: Final[tuple[_Seed, ...]] = (
    *(_gguf_seed(name, _DENSE | _WINDOWS, _SHAPES) for name in ("gemma2", "gemma3", "gemma4")),
    _gguf_seed("gemma4", _DENSE | _WINDOWS | _EXPERTS, _SHAPES | _EXPERT_SHAPES),
    _gguf_seed("gemma3n", _DENSE | {"block_count": 30, "attention.sliding_window": 64}, _SHAPES),
    _gguf_seed("llama", _DENSE, _SHAPES),
    _gguf_seed("clip", {"vision.block_count": 2, "vision.image_size": 896}, {}),
)


def _change_gguf(random: Random) -> bytes:
    header, length = random.choice(_GGUF)
    return changed_bytes(header, random) + length.to_bytes(8, "little")


def _read_gguf(raw: bytes, folder: Path) -> None:
    """The last eight bytes are the length that the file has, with a hole at its end."""
    path = folder / "model-Q4_0.gguf"
    path.write_bytes(raw[:-8])
    os.truncate(path, max(len(raw) - 8, int.from_bytes(raw[-8:], "little")))
    _described(path)


_HEADER: Final = {
    "__metadata__": {"format": "mlx"},
    "model.embed_tokens.weight": {"dtype": "U32", "shape": [100, 8], "data_offsets": [0, 3200]},
    "model.embed_tokens.scales": {
        "dtype": "BF16", "shape": [100, 1], "data_offsets": [3200, 3400],
    },
    "model.layers.0.self_attn.q_proj.weight": {
        "dtype": "BF16", "shape": [64, 64], "data_offsets": [3400, 11592],
    },
}  # fmt: skip
_CONFIG: Final = {
    "model_type": "gemma3_text",
    "architectures": ["Gemma3ForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": 100,
    "sliding_window": 32,
    "layer_types": ["sliding_attention", "full_attention"],
    "max_position_embeddings": 1024,
    "quantization": {
        "group_size": 64, "bits": 4, "mode": "affine",
        "model.layers.0.self_attn.q_proj": {"bits": 8, "group_size": 64},
    },
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
    "text_config": {"hidden_size": 64, "num_hidden_layers": 2, "model_type": "gemma3_text"},
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 1},
}  # fmt: skip
_TOKENIZER: Final = {
    "chat_template": [{"name": "default", "template": "x"}, {"name": "tool_use", "template": "y"}],
    "bos_token": {"content": "<bos>"},
    "added_tokens_decoder": {"1": {"content": "<eos>", "special": True}},
}
_INDEX: Final = {
    "metadata": {"total_size": 11592},
    "weight_map": dict.fromkeys((k for k in _HEADER if k[0] != "_"), "model.safetensors"),
}


def _safetensors(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(11592)


def _read_config(raw: bytes, folder: Path) -> None:
    """A config.json as an architecture, and what such a model would take."""
    from_config(parse_object(raw, "config.json"))
    _folder_reader("config.json")(raw, folder)


def _folder_reader(name: str) -> Callable[[bytes, Path], None]:
    """A folder whose file ``name`` holds the input, the others being good."""

    def read(raw: bytes, folder: Path) -> None:
        model = folder / "mlx-model-4bit"
        model.mkdir()
        good = {
            "model.safetensors": _safetensors(json.dumps(_HEADER).encode()),
            "config.json": json.dumps(_CONFIG).encode(),
            "tokenizer_config.json": json.dumps(_TOKENIZER).encode(),
        }
        for file, content in {**good, name: raw}.items():
            (model / file).write_bytes(content)
        _described(model)

    return read


# --- what tools and gemmahub itself keep on the disk ------------------------------------------

_DIGEST: Final = "sha256:" + "a" * 64
_MANIFEST: Final = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"mediaType": "application/x", "digest": _DIGEST, "size": 10},
    "layers": [
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": _DIGEST, "size": 100}
        for kind in ("model", "projector", "template", "params", "license")
    ],
    "manifests": [],
}


def _read_ollama_store(raw: bytes, folder: Path) -> None:
    path = folder / "manifests" / "registry.ollama.ai" / "library" / "gemma3" / "4b"
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    blob = folder / "blobs" / f"sha256-{'a' * 64}"
    blob.parent.mkdir()
    blob.write_bytes(bytes(100))
    store = OllamaStore(folder)
    store.removal(store.inventory().artifacts)


def _read_manifest(raw: bytes, folder: Path) -> None:
    with suppress(BadManifest):
        parse_manifest(raw, lambda sha256: raw)


_LINES: Final[list[Any]] = [
    {
        "kind": "head", "version": 1, "created": 1.7e9, "title": "", "reference": "a", "model": "b",
        "precision": "Q4_0", "engine": "e", "system": "s",
        "settings": {"context": 4096, "options": {"delay": 0.5}, "cache_type_k": "f16"},
        "sampling": {"temperature": 1.0, "stop": ["a"], "seed": 7, "max_tokens": None},
    },
    {"kind": "message", "n": 0, "role": "user", "text": "hi", "at": 1.7e9, "images": ["/x.png"]},
    {"kind": "answer", "n": 1, "model": "m", "at": 1.7e9},
    {"kind": "part", "n": 1, "text": "hello"},
    {
        "kind": "end", "n": 1, "finish": "stop", "at": 1.7e9, "error": "",
        "timings": {"tokens": 5, "decode_seconds": 1.0, "first_token_seconds": 0.1, "context": 9},
    },
    {"kind": "set", "title": "t", "system": "x", "at": 1.7e9},
    {"kind": "cut", "n": 1, "at": 1.7e9},
]  # fmt: skip
_ID: Final = "20260101-000000-aaaaaaaa"


def _read_conversation(raw: bytes, folder: Path) -> None:
    store = ConversationStore(folder)
    store.folder.mkdir(parents=True)
    (store.folder / f"{_ID}.jsonl").write_bytes(raw)
    store.rows()
    store.search("hello")
    saved: Saved = store.load(_ID)
    json.dumps(as_json(saved))
    as_markdown(saved)
    as_text(saved)


@cache
def _good_row() -> tuple[bytes, dict[str, Any]]:
    """A model file, and what is remembered of it."""
    import tempfile
    from pathlib import Path as RealPath

    header, length = _GGUF[1]
    with tempfile.TemporaryDirectory() as scratch:
        path = RealPath(scratch) / "model.gguf"
        path.write_bytes(header + bytes(length - len(header)))
        inspector = Inspector(RealPath(scratch) / "summaries.sqlite")
        inspector.summary(path)
        inspector.save()
        with closing(sqlite3.connect(RealPath(scratch) / "summaries.sqlite")) as database:
            (text,) = database.execute("select summary from summary").fetchone()
        return path.read_bytes(), json.loads(text)


def _change_summary(random: Random) -> bytes:
    good = dict(_good_row()[1])
    if random.random() < 0.4 and isinstance(good.get("memory"), str):
        good["memory"] = changed_json(json.loads(good["memory"]), random).decode(errors="replace")
        return json.dumps(good).encode()
    return changed_json(good, random)


def _read_summary(raw: bytes, folder: Path) -> None:
    path, database = folder / "model.gguf", folder / "summaries.sqlite"
    path.write_bytes(_good_row()[0])
    first = Inspector(database)
    first.summary(path)
    first.save()
    with closing(sqlite3.connect(database)) as connection, connection:
        value: object = raw if raw[:1] in b"\xef[" else raw.decode(errors="replace")
        connection.execute("update summary set summary = ?", (value,))
    _described(path, database)


def _read_remembered(raw: bytes, folder: Path) -> None:
    remembered = Remembered(folder)
    remembered.put("owner/name@main", b'{"a": 1}' * 20)
    (entry,) = [path for path in folder.rglob("*") if path.is_file()]
    good = entry.read_bytes()
    at = raw[0] % len(good) if raw else 0
    entry.write_bytes(good[:at] + raw + good[at + len(raw) :])
    found = remembered.get("owner/name@main")
    if found is not None and found != b'{"a": 1}' * 20:
        raise Fault("damaged bytes were remembered as good ones")


def _change_speeds(random: Random) -> bytes:
    row = ["gemma-3-4b-it", "cpu", 100, 10.0, 1.7e9]
    return changed_json([row, [*row[:2], 64, 1.0, 1.8e9]], random)


def _read_speeds(raw: bytes, folder: Path) -> None:
    log = SpeedLog(folder)
    with closing(sqlite3.connect(folder / "speed.sqlite")) as database, database:
        database.execute("create table decode (reference, place, tokens, seconds, at)")
        with suppress(ValueError, RecursionError, TypeError, OverflowError, sqlite3.Error):
            rows = json.loads(raw)
            for row in rows:
                database.execute("insert into decode values (?, ?, ?, ?, ?)", row)
    for speed in log.speeds("cpu").values():
        if not 0 < speed < 1e12:
            raise Fault(f"a speed of {speed}")
    log.add("gemma-3-4b-it", "cpu", 100, 10.0)
    if "gemma-3-4b-it" not in log.speeds("cpu"):
        raise Fault("a new speed is not remembered beside damaged ones")


_SETTINGS: Final = """\
[stores]
folders = [ "~/models" , "/srv" ]
only = [ "huggingface" ]

[run]
backend = "llama.cpp"
backends = { gguf = "echo" , mlx = "mlx" }
"""


def _read_settings(raw: bytes, folder: Path) -> None:
    path = folder / "config.toml"
    path.write_bytes(raw)
    with mock.patch.dict(os.environ, {"GEMMAHUB_CONFIG": str(path)}):
        try:
            load_config()
        finally:
            if path.read_bytes() != raw:
                raise Fault("a settings file was changed")


_STATE: Final = {
    "theme": "gemmahub-light", "show": "installed", "sort": "size", "reverse": True,
    "grouped": True, "filter": "4b", "use": "fast",
}  # fmt: skip


def _read_state(raw: bytes, folder: Path) -> None:
    path = folder / "tui.json"
    path.write_bytes(raw)
    state = State(folder)
    state.remember(sort="bits")
    kept = [p.read_bytes() for p in folder.iterdir() if p.name.startswith("tui.json")]
    if raw not in kept and not _is_object(raw):
        raise Fault("a damaged file was written over")


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False


_RECORD: Final = {
    "version": 1,
    "method": "hardlink",
    "shares": [
        {
            "path": "/m/a.gguf", "kept": "/m/b.gguf", "temporary": ".gemmahub-x-0",
            "sha256": "a" * 64, "size": 10, "inode": 5, "mode": 420, "uid": 0, "gid": 0,
            "atime_ns": 1, "mtime_ns": 1,
        },
    ],
    "steps": [{"path": "/m/a.gguf", "kind": "data"}],
}  # fmt: skip


def _read_record(raw: bytes, folder: Path) -> None:
    path = folder / "20260101T000000-1-1.json"
    path.write_bytes(raw)
    shares = read_record(path).get("shares", ())
    for share in shares if isinstance(shares, list) else ():
        entry = valid_entry(share)
        if entry is not None and "/" in entry["temporary"]:
            raise Fault("a temporary name leads elsewhere")


# --- what hubs and servers say ----------------------------------------------------------------

_LISTING: Final = {
    "id": "owner/name",
    "sha": "c" * 40,
    "gated": False,
    "private": False,
    "downloads": 5,
    "library_name": "mlx",
    "tags": ["gguf", "license:gemma"],
    "cardData": {"license": "other", "license_name": "gemma", "license_link": "https://x"},
    "siblings": [
        {
            "rfilename": name, "size": 10, "blobId": "b" * 40,
            "lfs": {"sha256": "d" * 64, "size": 10},
        }
        for name in (
            "m-Q4_0.gguf", "m-BF16-00001-of-00002.gguf", "m-BF16-00002-of-00002.gguf",
            "mmproj-F16.gguf", "config.json", "model.safetensors", "sub/m-UD-Q4_K_XL.gguf",
        )
    ],
}  # fmt: skip


def _read_listing(raw: bytes, folder: Path) -> None:
    with suppress(NotJson):
        data = parse_json(raw)
        repository = repository_of(data, "owner/name", "main", "https://hub.test")
        for file in repository.files:
            if file.path.startswith("/") or ".." in file.path.split("/"):
                raise Fault(f"a file name that leads out: {file.path!r}")
        for model in models_in(repository):
            one_line(model.reference)
        by_label(repository, "Q4_0")


_HEADERS: Final = 'bytes 0-99/1000 | 120 | Wed, 21 Oct 2026 07:28:00 GMT | "api";r=0;t=77'


def _read_headers(raw: bytes, folder: Path) -> None:
    text = raw.decode("latin-1")
    for part in (text, *text.split("|")):
        content_range(part.strip())
        told_wait({"retry-after": part.strip(), "ratelimit": part.strip()})


# --- what people and models write -------------------------------------------------------------

_REFERENCES: Final = (
    "gemma-3-4b-it:q4_0-qat hf://user/repo/file.gguf@main hf.co/user/repo:Q4_0 ./model.gguf "
    "ollama://gemma3:4b publisher/model@q4_k_m file:///models/x.gguf https://huggingface.co/a/b "
    "kaggle://google/gemma-3/flax/gemma3-4b-it-int4 @work C:\\models\\x.gguf user/repo:UD-Q4_K_XL"
)


def _read_references(raw: bytes, folder: Path) -> None:
    for word in raw.decode("utf-8", "replace").split(" "):
        with suppress(GemmahubError):
            str(parse_reference(word))


_SHOWN: Final = "plain \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202eabc \u200b " + " ".join(TEXTS)


def _read_text(raw: bytes, folder: Path) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    shown = strip_controls(text)
    stripper, cut = StreamStripper(), len(text) // 2
    streamed = stripper.feed(text[:cut]) + stripper.feed(text[cut:]) + stripper.finish()
    for result in (shown, streamed, one_line(text)):
        for letter in result:
            if letter not in "\n\t\u200c\u200d" and unicodedata.category(letter) in (
                "Cc", "Cf", "Cs", "Co", "Zl", "Zp",
            ):  # fmt: skip
                raise Fault(f"{letter!r} is shown")


# --- files of the plugins' own formats: each blob and table of them can lie ---------------------


def _read_with(name: str, read: Callable[[ByteSource], object]) -> Callable[[bytes, Path], None]:
    def attempt(raw: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(raw)
        with LocalFile(path) as source:
            read(source)

    return attempt


@cache
def _sbs(version: int) -> bytes:
    return container(model_blobs(), version)


@cache
def _litertlm() -> bytes:
    return bundle(sections())


def _change_ends(content: bytes, random: Random) -> bytes:
    """The directory is at one end, or at the other."""
    place = random.choice((0, max(0, len(content) - 1200)))
    part = changed_bytes(content[place : place + 1200], random, 1200)
    return content[:place] + part + content[place + 1200 :]


READERS: Final[tuple[Reader, ...]] = (
    Reader(
        "sbs", lambda r: _change_ends(_sbs(1 + r.randrange(2)), r), _read_with("m.sbs", read_sbs)
    ),
    Reader(
        "litertlm",
        lambda r: changed_bytes(_litertlm(), r, r.choice((900, 60_000))),
        _read_with("m.litertlm", read_any),
    ),
    Reader("gguf", _change_gguf, _read_gguf),
    Reader(
        "safetensors header",
        lambda r: _safetensors(changed_json(_HEADER, r)),
        _folder_reader("model.safetensors"),
    ),
    Reader(
        "safetensors bytes",
        lambda r: changed_bytes(_safetensors(json.dumps(_HEADER).encode()), r, 600),
        _folder_reader("model.safetensors"),
    ),
    Reader("config.json", lambda r: changed_json(_CONFIG, r), _read_config),
    Reader(
        "tokenizer_config.json",
        lambda r: changed_json(_TOKENIZER, r),
        _folder_reader("tokenizer_config.json"),
    ),
    Reader(
        "safetensors index",
        lambda r: changed_json(_INDEX, r),
        _folder_reader("model.safetensors.index.json"),
    ),
    Reader("a server's models", lambda r: changed_json(servers.LIST, r), servers.read_list),
    Reader("a server's properties", lambda r: changed_json(servers.PROPS, r), servers.read_props),
    Reader("LM Studio's models", lambda r: changed_json(servers.STUDIO, r), servers.read_studio),
    Reader(
        "a server's answer",
        lambda r: servers.changed_events(changed_json(r.choice(servers.EVENTS), r)),
        servers.read_events,
    ),
    Reader(
        "LM Studio's virtual models",
        lambda r: changed_text(studio.DESCRIPTION, r),
        studio.read_description,
    ),
    Reader(
        "LM Studio's settings", lambda r: changed_json(studio.SETTINGS, r), studio.read_settings
    ),
    Reader("Ollama's store", lambda r: changed_json(_MANIFEST, r), _read_ollama_store),
    Reader("Ollama's registry", lambda r: changed_json(_MANIFEST, r), _read_manifest),
    Reader("conversation", lambda r: changed_lines(_LINES, r), _read_conversation),
    Reader("remembered header", _change_summary, _read_summary),
    Reader("remembered listing", lambda r: r.randbytes(r.randrange(1, 40)), _read_remembered),
    Reader("measured speeds", _change_speeds, _read_speeds),
    Reader("settings file", lambda r: changed_text(_SETTINGS, r), _read_settings),
    Reader("presets as JSON", lambda r: changed_json(presets.JSON, r), presets.read),
    Reader("presets as TOML", lambda r: changed_text(presets.TOML, r), presets.read),
    Reader("Modelfile", lambda r: changed_text(presets.MODELFILE, r), presets.read),
    Reader("state of the UI", lambda r: changed_json(_STATE, r), _read_state),
    Reader("record of removals", lambda r: changed_json(_RECORD, r), _read_record),
    Reader("listing of a hub", lambda r: changed_json(_LISTING, r), _read_listing),
    Reader("headers of answers", lambda r: changed_text(_HEADERS, r), _read_headers),
    Reader("references", lambda r: changed_text(_REFERENCES, r), _read_references),
    Reader("shown text", lambda r: changed_text(_SHOWN, r), _read_text),
)
