"""Plans of formats that the formulas do not know: the engine alone is asked, whoever made it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.asking import dry_load
from gemmahub.engines.contract import Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import LoadFailed
from gemmahub.python_environment import install_command
from gemmahub.service import Library
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from gemmahub.planning import Plan
    from gemmahub.service import PlanOptions

HERE = Path(__file__).parent
WEIGHTS, CACHE = 1 << 30, 1 << 10  # of sandbank.py: in all, and a token
TRAINED = 1 << 20
Command = Any


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin alone, installed for the worker, too."""
    folder = tmp_path / "installed"
    info = folder / "dist_sandbank-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dist-sandbank\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gemmahub]\nsandbank = sandbank\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(HERE))))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "sandbank")
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(folder))


def model(folder: Path, **says: Any) -> Path:
    """A folder of MLX's; ``says`` is for the engine."""
    folder = folder / "model"
    folder.mkdir()
    config = {
        "model_type": "gemma3_text",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "max_position_embeddings": TRAINED,
        "sandbank": says,
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    embedding = ("model.embed_tokens.weight", "BF16", (512, 64))
    write_safetensors(folder / "model.safetensors", [embedding], {"format": "mlx"})
    return folder


def plan(command: Command, *arguments: object) -> dict[str, Any]:
    result = command("plan", *arguments, "--json")
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def largest(free: int, slope: int = 0) -> int:
    room = free - WEIGHTS - 4096 - 64
    return max(0, room // (CACHE + slope) // 256 * 256)


@pytest.mark.parametrize("slope", [0, 777, 65536])
def test_the_engines_figures_are_the_plan(command: Command, tmp_path: Path, slope: int) -> None:
    folder = model(tmp_path, slope=slope)
    found = plan(command, folder, "-c", 5000, "--ram", "2GiB")
    memory = found["memory"]
    assert memory["weights_bytes"] == WEIGHTS
    assert memory["kv_cache_bytes"] == memory["kv_cache_global_bytes"] == 5000 * CACHE
    assert (memory["compute_bytes"], memory["output_bytes"]) == (5000 * slope + 4096, 64)
    (place,) = memory["devices"]
    assert place["total_bytes"] == memory["total_bytes"]
    assert found["headroom_bytes"] == place["free_bytes"] - place["total_bytes"]
    assert (found["basis"], found["engine"]) == ("dry load", "sandbank 3")
    assert found["largest_context"] == min(TRAINED, largest(place["free_bytes"], slope))
    assert found["largest_contexts"] == {"f16": found["largest_context"]}
    assert [row["context"] for row in found["contexts"]][:3] == [4096, 5000, 8192]
    assert all(
        row["fits"] == (row["context"] <= max(found["largest_context"], 5000))
        for row in found["contexts"]
        if row["context"] != 5000
    )


def test_what_does_not_fit(command: Command, tmp_path: Path) -> None:
    found = plan(command, model(tmp_path), "--ram", "1GiB")
    assert (found["fits"], found["largest_context"]) == (False, 0)
    assert found["headroom_bytes"] < 0


def test_contexts_that_the_engine_refuses(command: Command, tmp_path: Path) -> None:
    folder = model(tmp_path, most=10_000)
    found = plan(command, folder, "--ram", "8GiB")
    assert found["largest_context"] == 10_000 // 256 * 256
    assert [row["context"] for row in found["contexts"]] == [4096, 8192]
    result = command("plan", folder, "-c", 20_000)
    assert result.code != 0
    assert "too many grains" in result.err


def test_accelerators_are_those_of_the_plan(command: Command, tmp_path: Path) -> None:
    folder = model(tmp_path, device="Metal")
    found = plan(command, folder, "--memory", "4GiB", "--ram", "8GiB")
    gpu, host = found["memory"]["devices"]
    assert gpu["total_bytes"] - found["memory"]["overhead_bytes"] > WEIGHTS
    assert host["total_bytes"] == 0
    assert found["settings"]["gpu_layers"] == 3  # two, and the output
    assert any("driver overhead" in note for note in found["notes"])
    without = plan(command, folder, "--memory", "4GiB", "--ram", "8GiB", "--gpu-layers", 0)
    assert [place["total_bytes"] > 0 for place in without["memory"]["devices"]] == [False, True]
    assert without["settings"]["gpu_layers"] == 0


def test_an_engine_without_accelerators_reports_everything_on_the_host(
    command: Command, tmp_path: Path
) -> None:
    found = plan(command, model(tmp_path), "--memory", "4GiB", "--ram", "8GiB")
    assert [place["total_bytes"] > 0 for place in found["memory"]["devices"]] == [False, True]
    assert any("uses no accelerator" in note for note in found["notes"])


def test_for_people(command: Command, tmp_path: Path) -> None:
    result = command("plan", model(tmp_path), "--ram", "8GiB")
    assert result.code == 0
    assert "from sandbank 3" in result.out
    assert "total in GiB, from the engine" in result.out
    assert "\x1b[2J" not in result.out
    assert "by formula" not in result.out


def test_the_engine_says_how_it_knows(command: Command, tmp_path: Path) -> None:
    """A server, which is asked right here, named by a setting."""
    (tmp_path / "config.toml").write_text('[run.backends]\nmlx = "sandbank-server"\n')
    folder = model(tmp_path)
    assert plan(command, folder)["basis"] == "rule of thumb"
    result = command("plan", folder)
    assert "by rule of thumb" in result.out
    assert "\x1b[2J" not in result.out


def test_a_foreign_error_of_a_server_names_it(tmp_path: Path) -> None:
    (artifact,) = Library().inspect(str(model(tmp_path))).artifacts
    offer = load_plugins(only=["sandbank"]).backend("sandbank-server")
    with pytest.raises(LoadFailed, match=r"sandbank-server failed at dry_load.*no such engine"):
        dry_load(offer, replace(artifact, name="raise"), Settings(64))


def test_an_engine_that_does_not_say_where_is_refused(command: Command, tmp_path: Path) -> None:
    result = command("plan", model(tmp_path, says=False))
    assert result.code != 0
    assert "does not report where" in result.err


@pytest.mark.parametrize(
    ("plugins", "missing", "said"),
    [
        ("none", "", install_command("gemmahub-mlx[cpu]")),
        ("echo", "", install_command("gemmahub-mlx[cpu]")),
        ("sandbank", "the tide is in", "pip install sand"),
    ],
)
def test_without_an_engine_it_says_what_to_install(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plugins: str,
    missing: str,
    said: str,
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", plugins)
    monkeypatch.setenv("SANDBANK_MISSING", missing)
    result = command("plan", model(tmp_path))
    assert result.code == 5
    assert "only its engine knows the memory use of a mlx model" in result.err
    assert missing in result.err
    assert said in result.err


def test_settings_that_the_engine_has_not(command: Command, tmp_path: Path) -> None:
    folder = model(tmp_path)
    for option, said in (("--swa-full", "swa_full"), ("--image", "images of this model")):
        result = command("plan", folder, option)
        assert result.code == 2
        assert said in result.err


def test_lists_do_not_ask(command: Command, tmp_path: Path) -> None:
    """A dry load for each row would be too slow: the column says that it is not known."""
    folder = model(tmp_path, says=False)
    (tmp_path / "config.toml").write_text(f'[stores]\nfolders = ["{folder.parent.as_posix()}"]\n')
    rows = json.loads(command("list", "--json").out)["models"]
    (fit,) = [row["fit"] for row in rows if row["reference"].endswith("model")]
    assert fit["fits"] is None
    assert "only its engine knows" in fit["reason"]


# --- MLX itself ---------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random Gemma 3 of two layers."""
    pytest.importorskip("mlx.core", reason="MLX is not installed")
    from gemmahub.testing.folder_writer import write_model_folder

    monkeypatch.setenv("GEMMAHUB_PLUGINS", "mlx,llamacpp")
    return write_model_folder(tmp_path / "tiny")


def asked(folder: Path, options: PlanOptions) -> Plan:
    return Library().plan(str(folder), options)


def test_a_folder_of_mlx(tiny: Path) -> None:
    from gemmahub.service import PlanOptions

    found = asked(tiny, PlanOptions(context=1024, gpu_layers=0, verify=True))
    offer = load_plugins(only=["mlx"]).backend("mlx")
    dry = dry_load(offer, found.variant.artifacts[0], Settings(1024, gpu_layers=0))
    shown = found.as_json()
    assert (shown["basis"], shown["engine"]) == ("formula", dry.engine)
    assert shown["memory"]["total_bytes"] == (
        dry.weights_bytes + dry.kv_cache_bytes + dry.compute_bytes + dry.output_bytes
    )
    assert shown["memory"]["kv_cache_window_bytes"] == dry.kv_cache_window_bytes > 0
    assert (found.trained_context, found.largest_context) == (4096, 4096)
    assert found.memory.settings.cache_type_k == "f32"
    assert found.memory.total_bytes < found.memory.places[-1].free_bytes
    assert found.verification is not None
    assert found.verification.tokens > 0


def test_a_cache_in_fewer_bits(tiny: Path) -> None:
    from gemmahub.service import PlanOptions

    plain, packed = (
        asked(tiny, PlanOptions(context=4096, cache_type=kind, gpu_layers=0))
        for kind in ("f16", "q8_0")
    )
    assert packed.memory.kv_cache.global_bytes < plain.memory.kv_cache.global_bytes
    assert packed.largest_contexts[0][0] == "q8_0"
