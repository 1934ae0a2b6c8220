"""``gemmahub doctor --fix``: what it puts right, what it asks for, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli import output
from gemmahub.measurements.speed_log import SpeedLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = Any

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "data").mkdir()


def repairs(command: Command) -> dict[str, dict[str, Any]]:
    checks = json.loads(command("doctor", "--json").out)["checks"]
    return {check["name"]: check["repair"] for check in checks if check["repair"]}


def everything_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".lock" not in path.name and "cpu-" not in path.name
    }


def old(path: Path) -> None:
    os.utime(path, (1_000_000_000, 1_000_000_000))


def spoil_speeds(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "speed.sqlite"
    path.write_bytes(b"no database " * 1000)
    return path


def leave_a_server(tmp_path: Path) -> Path:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    path = tmp_path / "data" / "serving" / "8808.json"
    path.parent.mkdir()
    row = {"pid": int(ended.stdout), "address": "http://127.0.0.1:8808", "key": "k"}
    path.write_text(json.dumps(row))
    return path


def leave_a_part(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / ".summaries.json.0123abcd.part"
    path.write_text("half")
    old(path)
    return path


def spoil_a_cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "engine-devices.json"
    path.write_text("{half")
    return path


def finish_a_removal(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "removals" / "20260101T000000-1-1.json"
    path.parent.mkdir()
    step = {"path": str(tmp_path / "gone"), "kind": "data", "mark": None}
    path.write_text(json.dumps({"version": 1, "store": "huggingface", "steps": [step]}))
    return path


def test_nothing_is_to_be_put_right(command: Command) -> None:
    assert repairs(command) == {}
    done = command("doctor", "--fix")
    assert "nothing to repair" in done.err


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (spoil_speeds, "record"),
        (leave_a_server, "servers"),
        (leave_a_part, "unfinished files"),
        (spoil_a_cache, "record"),
        (finish_a_removal, "removals"),
    ],
)
def test_a_fault_is_shown_first_and_put_right_after_a_yes(
    command: Command,
    tmp_path: Path,
    spoil: Callable[[Path], Path],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = spoil(tmp_path)
    before = everything_below(tmp_path)
    assert repairs(command)[name]["asks"] is False
    done = command("doctor", "--fix", "--dry-run")
    assert name in done.out
    assert command("doctor", "--fix").code == 2  # nobody is here to ask
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(output, "confirm", lambda _: False)
    command("doctor", "--fix")
    assert everything_below(tmp_path) == before
    done = command("doctor", "--fix", "--yes", "--json")
    (repaired,) = json.loads(done.out)["repaired"]
    assert repaired["done"], repaired
    assert not path.exists()
    assert repairs(command) == {}


def test_a_damaged_record_is_kept_under_another_name(command: Command, tmp_path: Path) -> None:
    path = spoil_speeds(tmp_path)
    content = path.read_bytes()
    command("doctor", "--fix", "--yes")
    assert path.with_name("speed.sqlite.damaged").read_bytes() == content
    assert SpeedLog(tmp_path / "data") is not None


def test_what_is_sound_or_new_stays(command: Command, tmp_path: Path) -> None:
    (tmp_path / "data" / "tui.json").write_text('{"theme": "textual-dark"}')
    new = tmp_path / "cache" / ".x.json.0123abcd.part"
    new.write_text("being written")
    kept = tmp_path / "data" / "removals" / "1-1-1.json"
    kept.parent.mkdir()
    model = tmp_path / "model.gguf"
    model.write_text("x")
    step = {"path": str(model), "kind": "data", "mark": None}
    kept.write_text(json.dumps({"version": 1, "store": "huggingface", "steps": [step]}))
    assert repairs(command) == {}
    command("doctor", "--fix", "--yes")
    assert new.exists()
    assert model.exists()
    assert kept.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_a_settings_file_with_a_secret_is_closed_to_others(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "openai")
    path = tmp_path / "config.toml"
    path.write_text('[plugins.openai.servers.lab]\nurl = "http://127.0.0.1:9"\nkey = "secret"\n')
    path.chmod(0o644)
    assert "settings file" in repairs(command)
    command("doctor", "--fix", "--yes")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "settings file" not in repairs(command)


def test_a_missing_folder_is_made_where_its_parent_is_there(
    command: Command, tmp_path: Path
) -> None:
    wanted, unmounted = tmp_path / "models", tmp_path / "no-disk" / "models"
    (tmp_path / "config.toml").write_text(
        f"[stores]\nfolders = [{json.dumps(str(wanted))}, {json.dumps(str(unmounted))}]\n"
    )
    assert list(repairs(command)) == ["model folder"]
    command("doctor", "--fix", "--yes")
    assert wanted.is_dir()
    assert not unmounted.parent.exists()


def test_an_interrupted_download_is_asked_for_by_itself(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("GEMMAHUB_STORES", "huggingface")
    blobs = tmp_path / "hub" / "models--google--gemma" / "blobs"
    blobs.mkdir(parents=True)
    left = blobs / "0123.incomplete"
    left.write_bytes(b"x" * 100_000)
    assert repairs(command)["interrupted download"]["asks"] is True
    done = command("doctor", "--fix", "--yes")
    assert left.exists()
    assert "gemmahub pull hf://google/gemma continues it" in done.err
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(output, "confirm", lambda _: True)
    command("doctor", "--fix")
    assert not left.exists()


def test_a_repair_that_fails_is_told(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_a_cache(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "engine-devices.json")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    done = command("doctor", "--fix", "--yes")
    assert done.code == 1
    assert "not done" in done.err
    assert "Permission denied" in done.err


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
def test_options_of_fix_need_it(command: Command, option: str) -> None:
    done = command("doctor", option)
    assert done.code == 2
    assert "--fix" in done.err
