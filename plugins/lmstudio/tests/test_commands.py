"""The commands with LM Studio's models: what people type, and what they read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from plugins.lmstudio.tests import recorded
from plugins.lmstudio.tests.conftest import KEY, make_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.engines.contract import Artifact
    from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

HERE = "publisher/tiny-GGUF@f32"
ONLY_THERE = "lmstudio://google/gemma-4-26b-a4b"
Said = tuple[int, str, str]


@pytest.fixture
def gemmahub(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, studio: FakeLMStudio
) -> Callable[..., Said]:
    """Run a command line: its exit code, standard output and standard error."""
    from gemmahub.cli.main import run

    monkeypatch.setenv("GEMMAHUB_PLUGINS", "lmstudio,openai")
    monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", studio.address.removeprefix("http://"))
    monkeypatch.setenv("HF_HUB_CACHE", "none")

    def invoke(*arguments: object) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(code), out, err

    return invoke


def test_list_shows_the_file_measured_and_the_other_stated(
    gemmahub: Callable[..., Said], studio: FakeLMStudio
) -> None:
    studio.models.append(recorded.LARGE)
    code, out, err = gemmahub("list", "--json")
    assert (code, err) == (0, "")
    models = {row["reference"]: row for row in json.loads(out)["models"]}
    assert set(models) == {HERE, ONLY_THERE}
    assert models[HERE]["precision"]["bits_per_weight"] == 32
    assert models[HERE]["places"][0]["store"] == "lmstudio"
    assert models[ONLY_THERE]["precision"]["bits_per_weight"] is None
    assert "stated: Q4_K_M" in gemmahub("list")[1]


def test_run_ps_and_stop(gemmahub: Callable[..., Said], studio: FakeLMStudio) -> None:
    code, out, err = gemmahub(
        "run", HERE, "one two three", "--backend", "lmstudio", "--ctx-size", 1024
    )
    assert (code, out.strip()) == (0, "one two three"), err
    (loaded,) = studio.bodies("/api/v1/models/load")
    assert (loaded["model"], loaded["context_length"]) == (KEY, 1024)
    assert studio.instances == {}
    assert "LM Studio" in err
    studio.add_instance(KEY, {"context_length": 4096})
    (row,) = json.loads(gemmahub("ps", "--json")[1])["models"]
    assert (row["name"], row["reference"], row["context"]) == (KEY, HERE, 4096)
    assert gemmahub("stop", HERE)[0] == 0
    assert studio.instances == {}
    assert json.loads(gemmahub("ps", "--json")[1])["models"] == []


def test_names_of_a_virtual_model(
    gemmahub: Callable[..., Said], studio: FakeLMStudio, home: Path
) -> None:
    second = make_model(home, "publisher/tiny-F16-GGUF", "tiny-F16.gguf", seed=2)
    about = home / ".lmstudio" / "hub" / "models" / "google" / "tiny" / "model.yaml"
    about.parent.mkdir(parents=True)
    about.write_text("base: [publisher/tiny-gguf, publisher/tiny-f16-gguf]")
    labels = {"f32": str(home / ".lmstudio/models/publisher/tiny-GGUF/tiny-F32.gguf")}
    labels["f16"] = str(second.path)
    for label, path in labels.items():
        for name in (f"google/tiny@{label}", f"google/tiny:{label.upper()}"):
            code, out, err = gemmahub("inspect", name, "--json")
            assert code == 0, err
            paths = [place["path"] for place in json.loads(out)["places"]]
            assert set(paths) == {path}, name
    names = ["google/tiny@f32", "google/tiny@f16"]
    studio.models[0] |= {"key": "google/tiny", "variants": names}
    code, out, err = gemmahub("run", "google/tiny@f16", "one two", "--backend", "lmstudio")
    assert (code, out.strip()) == (0, "one two"), err
    assert studio.bodies("/api/v1/models/load")[-1]["model"] == "google/tiny@f16"


def test_run_a_model_that_only_the_server_has(
    gemmahub: Callable[..., Said], studio: FakeLMStudio
) -> None:
    studio.models.append({**recorded.LARGE, "loaded_instances": []})
    code, out, err = gemmahub("run", ONLY_THERE, "one two")
    assert (code, out.strip()) == (0, "one two"), err
    (loaded,) = studio.bodies("/api/v1/models/load")
    assert (loaded["model"], loaded["context_length"]) == ("google/gemma-4-26b-a4b", 8192)


def test_without_a_server(
    gemmahub: Callable[..., Said], studio: FakeLMStudio, artifact: Artifact
) -> None:
    studio.close()
    code, out, err = gemmahub("list", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [row["reference"] for row in found["models"]] == [HERE]
    assert found["broken"] == []
    code, out, err = gemmahub("run", HERE, "one two", "--backend", "lmstudio")
    assert code == 5
    assert "no server answers at lmstudio" in err
    assert "lms server start" in err
    assert gemmahub("ps")[0] == 0
    assert gemmahub("inspect", HERE)[0] == 0
    assert gemmahub("plan", HERE, "--context", 512)[0] == 0


def test_something_else_at_its_port_is_not_a_row(
    gemmahub: Callable[..., Said], studio: FakeLMStudio
) -> None:
    studio.fault = "web page"
    code, out, _ = gemmahub("list", "--json")
    assert code == 0
    assert json.loads(out)["broken"] == []
    plugins: dict[str, Any] = json.loads(gemmahub("plugins", "--json")[1])
    assert "answers with a web page" in json.dumps(plugins)


def test_the_settings(gemmahub: Callable[..., Said], studio: FakeLMStudio) -> None:
    assert studio.address in gemmahub("config", "list")[1]
    code, _, err = gemmahub("config", "set", "plugins.lmstudio.key", "a-token")
    assert code == 0, err
    assert "a-token" not in gemmahub("config", "list")[1]
    studio.key = "a-token"
    assert gemmahub("run", HERE, "one two", "--backend", "lmstudio")[0] == 0
