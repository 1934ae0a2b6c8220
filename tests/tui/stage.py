"""An installation that is the same on every machine and at every time, and the ways to its screens.

The snapshots are taken of it, and the pictures of the documents.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.config import Config
from gemmahub.conversations import (
    AnswerDelta,
    AnswerFinished,
    ChatSession,
    Described,
    Timings,
    lines,
)
from gemmahub.engines.contract import CheckResult
from gemmahub.service import doctor, plugin_rows
from gemmahub.service.plugin_rows import BackendRow, PluginRow
from gemmahub.service.serving import starting
from gemmahub.service.serving.known import KnownVisit, ServerStatus, SuppliedModel
from gemmahub.testing.hub.content import Served
from gemmahub.tui.app import GemmahubApp
from tests.tui.library_support import SteadyHub, install
from tests.tui.svg import slim

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pytest

    from gemmahub.catalog.records import CatalogFile, CatalogVariant
    from gemmahub.conversations import ChatEvent
    from gemmahub.service import Library
    from gemmahub.service.pulling import PullPlan
    from gemmahub.testing.hub.server import HubServer

S = TypeVar("S")

HERE: Final = ("gemma-3-1b-it:q4_0-qat", "gemma-3-270m-it:q4_0-qat")
"""What is installed."""

ELSEWHERE: Final = ("gemma-3-4b-it:q4_0-qat", "gemma-3-12b-it:q4_0-qat")
"""What the hub has."""

HOME: Final = Path("~")
"""A folder of that name in the working directory: paths are the same wherever that is."""

QUESTION: Final = "What do the bits of Q4_0 mean?"
ANSWER: Final = """\
## Q4_0

A **block** holds 32 weights in 18 bytes:

1. a scale in *float16*: 2 bytes
2. 32 weights of four bits: 16 bytes

| format | bits/weight |
|--------|------------:|
| Q4_0   |         4.5 |
| Q8_0   |         8.5 |

```python
weight = scale * (nibble - 8)
```
"""


class StagedHub(SteadyHub):
    """This installation with a state of its engines and plugins that is always the same."""

    def plan_pull(self, *arguments: Any, **options: Any) -> PullPlan:
        plan = super().plan_pull(*arguments, **options)
        if plan.landing is None:
            return plan
        how = str(HOME / ".cache/huggingface/hub")
        return replace(plan, free_bytes=250 * 10**9, landing=replace(plan.landing, how=how))


def hold_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines, plugins, checks, servers and the speed of answers are always the same."""
    monkeypatch.setattr(plugin_rows, "rows", lambda _: _plugins())
    backends = [backend for row in _plugins() for backend in row.backends]
    monkeypatch.setattr(plugin_rows, "backend_rows", lambda _: backends)
    monkeypatch.setattr(doctor, "checks", lambda _: _CHECKS)
    monkeypatch.setattr(starting, "running_servers", lambda _: [_SERVER])
    monkeypatch.setattr("gemmahub.conversations.ChatSession", SteadyChat)


def _plugins() -> list[PluginRow]:
    gguf = BackendRow("llama.cpp", ("gguf",), ("text",), True, True, "0.3.36", "", "")
    hint = "pip install mlx-lm"
    mlx = BackendRow("mlx", ("mlx",), ("text",), True, False, "", "no mlx_lm here", hint)
    return [
        PluginRow(name, f"gemmahub-{name}", "0.1.0", "ok", offers, (), backends)
        for name, offers, backends in (
            ("llamacpp", ("backend llama.cpp (gguf)", "checks"), (gguf,)),
            ("mlx", ("backend mlx (mlx)", "checks"), (mlx,)),
            ("wheels", ("stores",), ()),
        )
    ]


_CHECKS: Final = [
    CheckResult("settings", "ok", "defaults, no settings file"),
    CheckResult("disk", "warning", "12 GB are free", "gemmahub disk says what takes room"),
    CheckResult("backend llama.cpp", "ok", "0.3.36"),
    CheckResult("backend mlx", "failed", "no mlx_lm here", "pip install mlx-lm"),
]


def _visit(
    client: str, path: str, second: int, model: str, state: str, said: str, seconds: float
) -> KnownVisit:
    began = datetime(2026, 4, 2, 9, 41, second, tzinfo=UTC)
    return KnownVisit(client, f"/v1/{path}", began, model, state, said, seconds)


_SERVER: Final = ServerStatus(
    "http://127.0.0.1:8808",
    4711,
    (
        SuppliedModel(
            HERE[0], "Q4_0 · int4 · quantization-aware · 5.76 bits/weight", 1_203_552_256, 32_768,
            loaded=True, pinned=True, answers=2,
        ),
        SuppliedModel(
            HERE[1], "Q4_0 · int4 · quantization-aware · 7.18 bits/weight", 441_450_496, 32_768,
            loaded=False, pinned=False, answers=0,
        ),
    ),
    (
        _visit("OpenAI/Python", "chat/completions", 52, HERE[0], "waiting", "", 1.5),
        _visit("Zed/0.230.0", "chat/completions", 50, HERE[0], "answering", "", 3.4),
        _visit("Anthropic/Python", "messages", 31, HERE[0], "done", "", 8.2),
        _visit("curl/8.5.0", "completions", 7, "", "failed", "there is no model 'gpt' here", 0.0),
        _visit("OpenAI/JS", "chat/completions", 2, HERE[1], "left", "", 4.6),
    ),
)  # fmt: skip


class SteadyChat(ChatSession):
    """Every answer takes the same time."""

    def ask(
        self, text: str, images: Sequence[Path] = (), audio: Sequence[Path] = ()
    ) -> Generator[ChatEvent, None, None]:
        for event in super().ask(text, images, audio):
            if isinstance(event, AnswerDelta):
                yield event._replace(seconds=1.25, first_token_seconds=0.25)
            elif isinstance(event, AnswerFinished) and event.usage is not None:
                usage = replace(
                    event.usage, prefill_seconds=0.25, decode_seconds=(event.usage.tokens or 0) / 32
                )
                yield event._replace(usage=usage, first_token_seconds=0.25)
            else:
                yield event


def steady(timings: Timings) -> Timings:
    """The counts of an answer, and the times of 32 tokens a second."""
    return replace(
        timings,
        prefill_seconds=0.25,
        decode_seconds=(timings.tokens or 0) / 32,
        first_token_seconds=0.25,
    )


class StagedApp(GemmahubApp):
    """Nothing moves or blinks, and its pictures fetch nothing."""

    def __init__(self, hub: Library) -> None:
        super().__init__(hub)
        self.animation_level = "none"

    def export_screenshot(self, *, title: str | None = None, simplify: bool = True) -> str:
        return slim(super().export_screenshot(title=title, simplify=simplify))


def furnish(folder: Path) -> StagedHub:
    """The hub of an installation below :data:`HOME`, which is made anew in ``folder``; that must
    be the working directory."""
    home = folder / HOME
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for reference in HERE:
        install(home, reference)
    data = home / "data"
    keep(data, "20260102-090000-00000001", 1767344400.0, "How large is the cache?", "Small.")
    keep(data, "20260103-100000-00000002", 1767434400.0, QUESTION, ANSWER)
    config = Config(
        cache=home / "cache",
        data=data,
        folders=(HOME / "models",),
        stores=frozenset(),
        backend="echo",
    )
    return StagedHub(config=config)


def keep(data: Path, id_: str, at: float, question: str, answer: str) -> None:
    """A conversation as it lies on the disk, of that time in seconds since 1970."""
    described = Described(
        HERE[0],
        model="Gemma 3 1B (instruction-tuned)",
        precision="Q4_0 · int4 · 5.98 bits/weight",
        engine="llama.cpp on CUDA",
    )
    counts = Timings(prompt_tokens=14, tokens=96, context_used=110, context=16384)
    timings = {name: getattr(steady(counts), name) for name in Timings.__slots__}
    records: list[dict[str, Any]] = [
        {"kind": "head", "version": lines.VERSION, "created": at, **described.as_json()},
        {"kind": "message", "n": 0, "role": "user", "text": question, "at": at},
        {"kind": "answer", "n": 1, "at": at, "model": described.answerer},
        {"kind": "part", "n": 1, "text": answer},
        {"kind": "end", "n": 1, "at": at + 4, "finish": "stop", "timings": timings},
    ]
    folder = data / "conversations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{id_}.jsonl").write_bytes(b"".join(map(lines.pack, records)))


def serve(server: HubServer, folder: Path) -> None:
    """Put :data:`ELSEWHERE` on a hub, as the catalogue has it; the files are sparse."""
    catalog = load_catalog()
    for reference in ELSEWHERE:
        name, _, precision = reference.partition(":")
        model, variant = catalog.model(name), catalog.variant(name, precision)
        assert model is not None
        assert variant is not None
        write_catalog_header(model, variant, folder / variant.file)
        _add(server, folder, variant)
        if variant.projector is not None:
            _add(server, folder, variant.projector)


def _add(server: HubServer, folder: Path, file: CatalogVariant | CatalogFile) -> None:
    path = folder / file.file
    with path.open("ab") as end:
        end.truncate(file.bytes)
    sha256 = file.sha256 or hashlib.sha256(file.file.encode()).hexdigest()
    repository = server.add(file.repository, {file.file: Served.of(file.file, path, sha256)})
    if file.revision:
        repository.commits[file.revision] = repository.commits[repository.head]
        repository.branches["main"] = file.revision
