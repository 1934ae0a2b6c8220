"""Models that the source of a plugin has; the real one is tested in plugins/ollama."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import gemmahub
from gemmahub.engines.manager import PluginManager
from gemmahub.engines.sources import (
    Landing,
    OnPull,
    Pulled,
    PullProgress,
    RemoteArtifact,
    RemoteFile,
)
from gemmahub.errors import (
    Cancelled,
    DoesNotFit,
    GemmahubError,
    NetworkError,
    NotFound,
    UsageError,
)
from gemmahub.formats.source import LocalFile
from gemmahub.service import Library
from gemmahub.service.remote import find
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA = {"general.architecture": "gemma3", "general.name": "Tiny", "gemma3.block_count": 1}
TENSORS = [("token_embd.weight", (64, 100), "Q8_0"), ("blk.0.attn_q.weight", (64, 64), "Q4_0")]


class FolderSource:
    """A folder as a place elsewhere; ``problem`` is what happens instead."""

    name = "folder"
    schemes = ("ollama",)

    def __init__(self, folder: Path, problem: Exception | None = None) -> None:
        self.folder = folder
        self.problem = problem
        self.need_bytes: int | None = None

    def find(self, reference: str) -> RemoteArtifact | None:
        if self.problem is not None:
            raise self.problem
        path = self.folder / "tiny.gguf"
        if not reference.endswith("tiny:q8"):
            return None
        file = RemoteFile("tiny.gguf", path.stat().st_size, sha256="a" * 64)
        return RemoteArtifact(
            reference, self.name, "tiny:q8", "gguf", (file,), revision="b" * 64,
            texts={"template": "{{ . }}"}, notes=("one\x1b[2J note",),
        )  # fmt: skip

    def open(self, artifact: RemoteArtifact, file: RemoteFile) -> LocalFile:
        return LocalFile(self.folder / file.name)

    def landing(self, artifact: RemoteArtifact, to: Path | None = None) -> Landing:
        need = artifact.download_bytes if self.need_bytes is None else self.need_bytes
        return Landing("a folder", to or self.folder, need)

    def pull(
        self, artifact: RemoteArtifact, to: Path | None = None, on_progress: OnPull | None = None
    ) -> Pulled:
        size = artifact.download_bytes
        if on_progress is not None:
            on_progress(PullProgress("manifest", 0, 0))
            on_progress(PullProgress("tiny.gguf", size, size))
        target = (to or self.folder) / "pulled.gguf"
        target.write_bytes((self.folder / "tiny.gguf").read_bytes())
        return Pulled(str(target), target, size)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderSource:
    found = FolderSource(tmp_path)
    write_gguf(tmp_path / "tiny.gguf", METADATA, TENSORS)

    class Plugin:
        @staticmethod
        @gemmahub.hookimpl
        def gemmahub_sources() -> list[Any]:
            return [found]

    manager = PluginManager()
    manager.add("folder", lambda: Plugin, "gemmahub-folder", "1")
    monkeypatch.setattr(Library, "plugins_manager", manager)
    return found


def test_a_model_elsewhere_is_measured(source: FolderSource) -> None:
    variant = Library().inspect("ollama://tiny:q8")
    assert variant.parameters == 64 * 100 + 64 * 64
    assert {entry.type for entry in variant.precision.mix} == {"Q8_0", "Q4_0"}
    assert variant.artifacts == ()
    assert variant.remote == "ollama://tiny:q8 at bbbbbbbbbbbb"
    assert variant.chat_template is True
    assert "one note" in variant.notes


def test_a_scheme_that_no_source_has(source: FolderSource) -> None:
    with pytest.raises(UsageError, match="unknown scheme 'other'"):
        find(Library(), "other://tiny:q8")


def test_not_there(source: FolderSource, command: Callable[..., Any]) -> None:
    with pytest.raises(NotFound, match="folder has no ollama://none"):
        find(Library(), "ollama://none:1b")
    result = command("inspect", "ollama://none:1b")
    assert result.code == 3


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (NetworkError("it is away", "wait"), 3, "it is away"),
        (KeyError("models"), 1, "the source folder failed: KeyError"),
        (GemmahubError("it says no", "ask again"), 1, "it says no"),
    ],
)
def test_a_source_that_fails(
    source: FolderSource, command: Callable[..., Any], problem: Exception, code: int, said: str
) -> None:
    source.problem = problem
    result = command("inspect", "ollama://tiny:q8")
    assert result.code == code
    assert said in result.err
    assert command("list").code == 0


def test_pull(source: FolderSource, command: Callable[..., Any], tmp_path: Path) -> None:
    plan = json.loads(command("pull", "ollama://tiny:q8", "--dry-run", "--json").out)
    size = (tmp_path / "tiny.gguf").stat().st_size
    assert (plan["size_bytes"], plan["fetch_bytes"], plan["short_bytes"]) == (size, size, 0)
    assert plan["destination"] == "a folder"
    result = command("pull", "ollama://tiny:q8", "--yes")
    assert result.code == 0, result.err
    assert result.out == f"{tmp_path / 'pulled.gguf'}\n"
    assert "into" in result.err


def test_a_disk_that_is_too_small(source: FolderSource) -> None:
    source.need_bytes = 2**60
    here = Library()
    plan = here.plan_pull("ollama://tiny:q8")
    assert plan.short_bytes > 0
    with pytest.raises(DoesNotFit, match=r"only .* is free in .* short\)"):
        here.pull(plan)


def test_a_catalogue_name_is_not_asked_for(source: FolderSource) -> None:
    source.problem = AssertionError("asked")
    for name in ("gemma-3-4b-it:q4_0-qat", "user/repo:Q4_0"):
        with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
            Library().plan_pull(name)


@pytest.mark.parametrize("option", ["--revision=abc", "--no-projector"])
def test_an_option_that_the_source_does_not_know(
    source: FolderSource, command: Callable[..., Any], option: str
) -> None:
    result = command("pull", "ollama://tiny:q8", "--dry-run", option)
    assert result.code == 2
    assert f"folder does not support {option.partition('=')[0]}" in result.err


def test_a_pull_that_the_source_cannot_cancel_ends_with_its_next_report(
    source: FolderSource,
) -> None:
    here = Library()
    with pytest.raises(Cancelled):
        here.pull(here.plan_pull("ollama://tiny:q8"), cancelled=lambda: True)
