"""``gemmahub plugins``, and how ``run`` chooses a backend."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import CAPABILITIES
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

Command = Any


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    metadata = {"general.architecture": "gemma3", "general.file_type": 2}
    write_gguf(path, metadata, [("token_embd.weight", (256, 256), "Q4_0")])
    return path


def test_each_backend_with_its_state(command: Command) -> None:
    answer = json.loads(command("plugins", "--json").out)
    rows = {row["name"]: row for row in answer["plugins"]}
    (echo,) = rows["echo"]["backends"]
    assert echo == {
        "name": "echo", "formats": ["gguf", "safetensors", "mlx"],
        "capabilities": sorted(CAPABILITIES.keys() - {"fixed_context"}),
        "automatic": False, "available": True, "version": "1", "reason": "", "hint": "",
    }  # fmt: skip
    (llama,) = rows["llamacpp"]["backends"]
    assert llama["name"] == "llama.cpp"
    assert llama["capabilities"] == [
        "adapters", "cache_in_memory", "dry_load", "experts_in_memory", "grammar", "images",
        "importance", "main_device", "quantize", "schema", "score", "score_at", "tensor_split",
        "thinking", "tools",
    ]  # fmt: skip


def test_which_backend_runs_which_format(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,llamacpp")
    installed = {point.name for point in entry_points(group="gemmahub")}
    formats = json.loads(command("plugins", "--json").out)["formats"]
    assert formats["gguf"]["backend"] == "llama.cpp"
    assert formats["gguf"]["reason"].startswith("the only one for gguf")
    assert formats["mlx"] == {
        "backend": None,
        "reason": "no installed backend runs mlx models (echo: only when named, --backend echo; "
        f"excluded by GEMMAHUB_PLUGINS: {', '.join(sorted(installed - {'echo', 'llamacpp'}))})",
    }
    (tmp_path / "config.toml").write_text('[run.backends]\nmlx = "echo"\n')
    result = command("plugins")
    assert "mlx: echo: named by the setting run.backends.mlx" in result.err


def test_run_takes_the_backend_of_the_settings(
    command: Command, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "config.toml").write_text('[run.backends]\ngguf = "echo"\n')
    result = command("run", model, "one two", "--verbose")
    assert (result.code, result.out) == (0, "one two\n")
    assert "backend echo: named by the setting run.backends.gguf" in result.err
    answer = json.loads(command("run", model, "one", "--json", "--backend", "echo").out)
    assert (answer["backend"], answer["backend_reason"]) == ("echo", "named with --backend")
    quiet = command("run", model, "one two")
    assert "named by" not in quiet.err


def test_a_setting_that_names_no_backend_says_so(
    command: Command, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "config.toml").write_text('[run]\nbackend = "ecko"\n')
    result = command("run", model, "x")
    assert result.code == 5
    assert "named by the setting run.backend" in result.err
    assert "echo" in result.err


def test_an_unknown_subcommand(command: Command) -> None:
    result = command("plugins", "nwe")
    assert result.code == 3  # it could be the name of a plugin
    assert "gemmahub plugins --help" in result.err
