"""Part of the layers on the GPU: by the program ``lms``, for which a script of the tests stands."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Settings
from gemmahub.errors import LoadFailed
from gemmahub_lmstudio import lms
from gemmahub_lmstudio.backend import LMStudioBackend
from plugins.lmstudio.tests.conftest import KEY, entry_of, told

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact
    from plugins.lmstudio.tests.fake_lm_studio import FakeLMStudio

BACKEND = LMStudioBackend()
# The options of lmstudio-ai/lms@0499fc14 src/subcommands/load.ts; the real one talks to LM Studio
# over a WebSocket.
PROGRAM = """#!{python}
import json, sys, time, urllib.request
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(words) + "\\n")
mode = open({mode!r}).read()
if mode == "refuses":
    sys.exit("Error: Model not found\\x1b[31m")
if mode == "hangs":
    time.sleep(30)
command, key, *options = words
given = dict(zip(options[::2], options[1::2]))
assert command == "load" and options[-1] == "--yes" and sys.stdin.read() == ""
assert given["--gpu"] in ("off", "max") or 0 < float(given["--gpu"]) < 1
config = {{"context_length": int(given["--context-length"])}}
body = {{"key": "other" if mode == "loads another" else key, "config": config,
        "name": given["--identifier"]}}
if mode != "loads elsewhere":
    request = urllib.request.Request({address!r} + "/lms", json.dumps(body).encode())
    urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request).close()
"""


@pytest.fixture
def program(studio: FakeLMStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the program, its log and its mode; it is on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mode").write_text("")
    places = {"log": str(folder / "log"), "mode": str(folder / "mode")}
    text = PROGRAM.format(python=sys.executable, address=studio.address, **places)
    (folder / "lms").write_text(text)
    (folder / "lms").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def words(program: Path) -> list[Any]:
    return [json.loads(line) for line in (program / "log").read_text().splitlines()]


@pytest.mark.parametrize(("layers", "share"), [(0, "off"), (1, "0.5000"), (2, "max"), (99, "max")])
def test_the_layers_are_a_share(
    studio: FakeLMStudio, artifact: Artifact, program: Path, layers: int, share: str
) -> None:
    assert lms.gpu_share(layers, artifact) == share, "the model of the tests has two layers"
    with BACKEND.load(artifact, Settings(context=512, gpu_layers=layers)) as session:
        assert session.info.context == 512
        assert list(studio.instances) == [f"gemmahub-1:{KEY}"]
    own = f"gemmahub-1:{KEY}"
    options = ["--gpu", share, "--context-length", "512", "--identifier", own, "--yes"]
    assert words(program) == [["load", KEY, *options]]
    assert studio.instances == {}


def test_another_instance_has_another_name(
    studio: FakeLMStudio, artifact: Artifact, program: Path
) -> None:
    settings = Settings(context=512, gpu_layers=0)
    with BACKEND.load(artifact, settings), BACKEND.load(artifact, settings):
        assert sorted(studio.instances) == [f"gemmahub-1:{KEY}", f"gemmahub-2:{KEY}"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("refuses", r"lms load refuses: Error: Model not found"),
        ("loads another", "lms loaded other in place of tiny, and it was unloaded"),
        ("loads elsewhere", "the server at plugins.lmstudio.url does not have it"),
    ],
)
def test_what_it_does_wrong(
    studio: FakeLMStudio, artifact: Artifact, program: Path, mode: str, said: str
) -> None:
    studio.models.append(entry_of(artifact.path, key="other", size_bytes=1, publisher="else"))
    (program / "mode").write_text(mode)
    with pytest.raises(LoadFailed, match=said) as caught:
        BACKEND.load(artifact, Settings(context=512, gpu_layers=0))
    assert "\x1b" not in caught.value.message
    assert studio.instances == {}


def test_it_is_not_waited_for_longer_than_the_option_says(
    studio: FakeLMStudio, artifact: Artifact, program: Path
) -> None:
    (program / "mode").write_text("hangs")
    settings = Settings(context=512, gpu_layers=0, options={"timeout": 0.5})
    with pytest.raises(LoadFailed, match="did not end within"):
        BACKEND.load(artifact, settings)


def test_without_the_program(
    studio: FakeLMStudio, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LoadFailed) as caught:
        BACKEND.load(artifact, Settings(context=512, gpu_layers=1))
    assert "lms, which is not installed" in caught.value.message
    assert "--gpu-layers" in caught.value.hint


def test_it_is_found_in_lm_studios_own_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert lms.find_lms() is None
    place = home / ".lmstudio" / "bin" / "lms"
    place.parent.mkdir(parents=True)
    place.write_text("")
    assert lms.find_lms() is None, "it cannot be started"
    place.chmod(0o755)
    assert lms.find_lms() == place


def test_a_server_elsewhere_takes_no_layers(
    studio: FakeLMStudio, artifact: Artifact, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub_openai.servers.Server.local", property(lambda self: False))
    told(studio)
    with pytest.raises(LoadFailed, match="where LM Studio runs on this machine"):
        BACKEND.load(artifact, Settings(context=512, gpu_layers=1))
    assert not (program / "log").exists()


def test_a_model_that_does_not_say_its_layers(artifact: Artifact, tmp_path: Path) -> None:
    assert lms.gpu_share(0, None) == "off"
    broken = tmp_path / "x.gguf"
    broken.write_bytes(b"GGUF")
    for model in (None, replace(artifact, path=broken, files=(broken,))):
        with pytest.raises(LoadFailed, match="does not state its number of layers"):
            lms.gpu_share(1, model)
