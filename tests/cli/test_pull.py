"""``gemmahub pull``, ``search`` and remote ``inspect``, ``plan``, ``run``, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.cli.pull_view import View, line_of
from gemmahub.service.progress import Progress
from gemmahub.stores.identity import ContentSums
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import projector, small_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

MODEL = small_model() + bytes(range(256)) * 16_000
NAME = "g-Q4_0.gguf"
IN_FLIGHT = 1 << 18  # bytes on their way when a process dies: a few of the server's pieces


@pytest.fixture
def hub(hub_server: HubServer) -> HubServer:
    """A hub with one repository; this process and its children pull into a cache of this test."""
    hub_server.add("user/gemma", {NAME: MODEL, "README.md": b"# Read me\n"})
    return hub_server


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub" / "models--user--gemma" / "blobs"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gemmahub", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def arrived(blobs: Path) -> int:
    return sum(path.stat().st_size for path in blobs.glob("*.incomplete"))


def names(root: Path) -> list[str]:
    """What could be run."""
    return [p.name for p in root.glob("hf/hub/models--*/snapshots/**/*.gguf")]


def test_it_says_what_it_gets_and_prints_where_it_is(
    hub: HubServer, command: Command, tmp_path: Path
) -> None:
    result = command("pull", "user/gemma")
    assert result.code == 0, result.err
    path = result.out.strip()
    assert Path(path).read_bytes() == MODEL
    for said in ("precision", "bits/weight", "size", str(tmp_path / "hf"), "free", "memory"):
        assert said in result.err
    assert "gemmahub run hf://user/gemma/g-Q4_0.gguf" in result.err
    listed = json.loads(command("list", "--json").out)["models"]
    assert [model["places"][0]["path"] for model in listed] == [path]
    again = command("pull", "user/gemma")
    assert (again.code, again.out.strip()) == (0, path)
    assert "already" in again.err
    assert hub.sent(NAME) == len(MODEL)


def test_json(hub: HubServer, command: Command) -> None:
    planned = json.loads(command("pull", "user/gemma", "--dry-run", "--json").out)
    assert planned["fetch_bytes"] == planned["size_bytes"] == len(MODEL)
    assert planned["repository"] == "user/gemma"
    assert planned["short_bytes"] == 0
    assert planned["precision"]["bits_per_weight"] == pytest.approx(8.87, abs=0.01)
    assert not os.path.exists(planned["files"][0]["path"])
    done = json.loads(command("pull", "user/gemma", "--json").out)
    assert done["path"] == planned["files"][0]["path"]
    assert hub.sent(NAME) == len(MODEL)  # its header was read once, and not fetched again
    assert 0.9 * len(MODEL) < done["fetched_bytes"] < len(MODEL)
    assert done["files"][0]["verified"] is True
    assert set(planned) < set(done)


def test_a_dry_run_fetches_a_header_and_nothing_else(
    hub: HubServer, command: Command, tmp_path: Path
) -> None:
    result = command("pull", "user/gemma", "--dry-run", "--verbose")
    assert result.code == 0
    assert "bits/weight" in result.out
    assert "downloaded 66" in result.err
    assert hub.sent(NAME) < len(MODEL) / 10
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("rest", [(), ("--no-projector",)])
def test_the_projector(hub: HubServer, command: Command, rest: tuple[str, ...]) -> None:
    hub.add("user/gemma", {NAME: MODEL, "mmproj-F16.gguf": projector()})
    result = command("pull", "user/gemma", *rest)
    found = [line.rpartition("/")[2] for line in result.out.splitlines()]
    assert found == [NAME] if rest else [NAME, "mmproj-F16.gguf"]


def test_a_revision(hub: HubServer, command: Command) -> None:
    first = hub.repos["user/gemma"].head
    hub.add("user/gemma", {NAME: MODEL[::-1]})
    result = command("pull", "user/gemma", "--revision", first)
    assert result.code == 0, result.err
    assert f"/snapshots/{first}/" in result.out


def test_killed_and_pulled_again(hub: HubServer, blobs: Path, tmp_path: Path) -> None:
    hub.fault("slow", match="/blob/", value=0.005, times=None)
    for goal in (500_000, 1_500_000, 3_000_000):
        process = start("pull", "user/gemma")
        wait_until(lambda goal=goal: arrived(blobs) > goal)  # type: ignore[misc]
        process.kill()
        process.communicate()
        assert not names(tmp_path)
    out, err = start("pull", "user/gemma").communicate(timeout=60)
    assert Path(out.strip()).read_bytes() == MODEL, err
    assert hub.sent_twice(NAME) <= 3 * IN_FLIGHT


def test_ctrl_c_keeps_and_says_how_to_go_on(hub: HubServer, blobs: Path, tmp_path: Path) -> None:
    hub.fault("slow", match="/blob/", value=0.005, times=None)
    process = start("pull", "user/gemma")
    wait_until(lambda: arrived(blobs) > 1_000_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "run gemmahub pull user/gemma to continue" in err
    assert arrived(blobs) > 1_000_000
    assert not names(tmp_path)
    hub.faults.clear()
    last = start("pull", "user/gemma")
    assert "are here already" in last.communicate(timeout=60)[1]
    assert last.returncode == 0
    assert hub.sent_twice(NAME) <= IN_FLIGHT


def test_two_at_once_share_the_work(hub: HubServer, blobs: Path) -> None:
    hub.fault("stall", match="/blob/", value=1_000_000, skip=1)  # the first one asks for a header
    first = start("pull", "user/gemma")
    wait_until(lambda: arrived(blobs) >= 1_000_000)
    second = start("pull", "user/gemma")
    assert second.stderr is not None
    assert any("another process fetches" in line for line in second.stderr)
    hub.released.set()
    results = [process.communicate(timeout=60) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert results[0][0] == results[1][0]
    assert Path(results[0][0].strip()).read_bytes() == MODEL
    assert hub.sent_twice(NAME) <= IN_FLIGHT  # the headers that both looked at


def test_other_tools_wait_for_us(hub: HubServer, blobs: Path) -> None:
    hub.fault("slow", match="/blob/", value=0.05, times=None)
    ours = start("pull", "user/gemma")
    wait_until(lambda: arrived(blobs) > 100_000)
    code = f"from huggingface_hub import hf_hub_download as d; print(d('user/gemma', '{NAME}'))"
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ours.communicate(timeout=60)[0] == theirs.stdout
    assert hub.sent_twice(NAME) <= IN_FLIGHT


def test_corrupt_bytes(hub: HubServer, command: Command, tmp_path: Path) -> None:
    hub.fault("corrupt", match="/blob/", value=len(MODEL) - 5, skip=1)
    result = command("pull", "user/gemma")
    assert result.code == 7
    assert "it was not kept" in result.err
    assert not names(tmp_path)
    assert not arrived(tmp_path / "hf" / "hub" / "models--user--gemma" / "blobs")
    assert json.loads(command("list", "--json").out)["models"] == []


def test_a_gated_repository(hub: HubServer, command: Command) -> None:
    hub.add("user/gemma", {NAME: MODEL}, gated="manual")
    result = command("pull", "user/gemma", "--json")
    failure = json.loads(result.out)["error"]
    assert (result.code, failure["kind"]) == (6, "gated")
    assert f"{hub.endpoint}/user/gemma" in failure["hint"]
    assert "hf auth login" in failure["hint"]


def test_a_rate_limit_is_waited_for(hub: HubServer, command: Command) -> None:
    hub.fault("status", match="/api/models/user", value=429, headers={"Retry-After": "0"})
    result = command("pull", "user/gemma")
    assert result.code == 0
    assert "limits requests: waiting 0 s" in result.err


def test_a_disk_that_is_too_small(
    hub: HubServer, command: Command, tmp_path: Path, blobs: Path
) -> None:
    from shutil import disk_usage

    large = tmp_path / NAME
    large.write_bytes(MODEL)
    os.truncate(large, disk_usage(tmp_path).free + 10**10)
    hub.add("user/gemma", {NAME: Served.of(NAME, large, "a" * 64)})
    result = command("pull", "user/gemma", "--yes")
    assert result.code == 4
    assert " short)" in result.err
    assert "10.0 GB" in result.err or "10.1 GB" in result.err
    assert not blobs.exists()
    assert json.loads(command("pull", "user/gemma", "--dry-run", "--json").out)["short_bytes"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_disk_that_becomes_full(hub: HubServer, tmp_path: Path) -> None:
    disk = tmp_path / "hf"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={len(MODEL) + 300_000}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount, and not everywhere")
    try:
        hub.fault("slow", match="/blob/", value=0.01, times=None)
        process = start("pull", "user/gemma")
        blobs = disk / "hub" / "models--user--gemma" / "blobs"
        wait_until(lambda: arrived(blobs) > 500_000)
        ballast = disk / "ballast"  # somebody else writes to the same disk
        ballast.write_bytes(bytes(1_000_000))
        err = process.communicate(timeout=60)[1]
        assert process.returncode == 4, err
        assert "the disk is full" in err
        assert arrived(blobs) > 2_000_000
        ballast.unlink()
        hub.faults.clear()
        last = start("pull", "user/gemma")
        assert last.communicate(timeout=60)[0].strip().endswith(NAME)
        assert last.returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 2 GiB and no GPU."""
    from gemmahub.hardware.simulate import simulate_machine
    from gemmahub.service import Library

    real = Library.hardware

    def small(self: Library, **options: Any) -> Any:
        return simulate_machine(None, 2 << 30, base=real(self, **options))

    monkeypatch.setattr(Library, "hardware", small)


@pytest.fixture
def large(hub: HubServer, tmp_path: Path) -> HubServer:
    """Gemma 3 12B at the hub: its header, and nothing where the weights are."""
    catalog = load_catalog()
    model, variant = catalog.model("gemma-3-12b-it"), catalog.variant("gemma-3-12b-it", "q4_k_m")
    assert model is not None
    assert variant is not None
    path = tmp_path / "g-Q4_K_M.gguf"
    write_catalog_header(model, variant, path)
    hub.add("user/large", {"g-Q4_K_M.gguf": Served.of("g-Q4_K_M.gguf", path, "b" * 64)})
    return hub


@pytest.mark.usefixtures("small_machine")
def test_what_does_not_fit_in_memory_needs_a_yes(large: HubServer, command: Command) -> None:
    result = command("pull", "user/large")
    assert result.code == 4
    assert "will not fit" in result.err
    assert "--yes" in result.err
    large.fault("status", match="/blob/", value=404, times=None)
    assert command("pull", "user/large", "--yes").code != 4  # past the question, to the hub


def test_remote_inspect_and_plan(large: HubServer, command: Command) -> None:
    inspected = command("inspect", "user/large", "--json", "-v")
    variant = json.loads(inspected.out)
    assert variant["precision"]["label"] == "Q4_K_M"
    assert variant["installed"] is False
    assert variant["remote"].startswith("hf.co/user/large/g-Q4_K_M.gguf at ")
    assert "downloaded 66" in inspected.err
    assert "requests" in inspected.err
    plan = json.loads(command("plan", "user/large", "--json").out)
    assert plan["memory"]["weights_bytes"] > 7 * 10**9
    shown = command("inspect", "hf://user/large/g-Q4_K_M.gguf")
    assert "measured from its header on the hub" in shown.out
    assert "gemmahub pull hf://user/large/g-Q4_K_M.gguf" in shown.out


def test_run_names_pull(hub: HubServer, command: Command) -> None:
    for reference in ("user/gemma", "gemma-3-4b-it:q4_0-qat"):
        result = command("run", reference, "hello")
        assert result.code == 3
        assert f"gemmahub pull {reference}" in result.err


@pytest.mark.parametrize("answer", ["y", "n"])
def test_run_asks_on_a_terminal(
    hub: HubServer, command: Command, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    from gemmahub.cli import output

    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    result = command("run", "user/gemma", "hello there", "--backend", "echo")
    assert "is not on this machine" in result.err
    assert "Download it?" in result.err
    if answer == "y":
        assert result.code == 0, result.err
        assert result.out.endswith("hello there\n")
    else:
        assert result.code == 3
        assert hub.sent(NAME) < len(MODEL) / 10


def test_what_is_not_on_hugging_face(
    hub: HubServer, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gguf").write_bytes(MODEL)
    assert command("pull", tmp_path / "a.gguf").code == 2
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "")  # no plugin has a source
    ollama = command("pull", "ollama://gemma3:4b")
    assert ollama.code == 2
    assert "unknown scheme 'ollama'" in ollama.err
    assert command("pull", "user/gemma", "--to", tmp_path).code == 2
    assert command("pull", "gemma-3-4c-it").code == 3


def test_a_name_that_is_here_in_another_store(
    hub: HubServer, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "wheels")
    result = command("pull", "gemma-3-270m:q4_k_m")
    assert result.code == 0, result.err
    assert "on this machine already" in result.err
    assert not hub.seen


def test_a_catalogue_name_means_the_file_that_the_catalogue_knows(
    hub: HubServer, command: Command
) -> None:
    known = load_catalog().variant("gemma-3-4b-it", "q8_0")
    assert known is not None
    hub.add(known.repository, {known.file: MODEL})
    result = command("pull", "gemma-3-4b-it:q8_0")
    assert result.code == 7
    assert "not the file that the catalogue knows" in result.err
    assert f"gemmahub pull hf://{known.repository}/{known.file}" in result.err
    assert hub.sent(known.file) == 0


def test_a_server_without_ranges(hub: HubServer, command: Command) -> None:
    hub.fault("ignore range", match="/blob/", times=None)
    result = command("pull", "user/gemma")
    assert result.code == 0, result.err
    assert "not measured before it is downloaded" in result.err
    assert Path(result.out.strip()).read_bytes() == MODEL


def test_offline(hub: HubServer, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("pull", "user/gemma").code == 0
    hub.forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert command("pull", "user/gemma").code == 0  # all of it is here
    assert command("inspect", "user/gemma").code == 0
    assert command("run", "user/gemma", "hello", "--backend", "echo").code == 0
    assert command("plan", "gemma-3-4b-it:q4_0-qat", "--memory", "24GiB").code == 0
    for refused in (("pull", "user/other"), ("inspect", "user/other"), ("search", "gemma")):
        result = command(*refused)
        assert result.code == 6
        assert "HF_HUB_OFFLINE" in result.err
        assert "hint:" in result.err
    assert not hub.seen


def test_search(large: HubServer, command: Command) -> None:
    large.add("google/gemma-x", {"README.md": b"x"}, gated="manual", downloads=3)
    result = command("search", "gemma", "--json", "--limit", 3)
    found = json.loads(result.out)["repositories"]
    names = [repository["name"] for repository in found]
    assert len(names) <= 3
    piped = command("search", "large")
    assert "hf://user/large/g-Q4_K_M.gguf" in piped.out
    assert "~Q4_K_M" in piped.out
    assert "from the name only" in piped.err
    command("inspect", "user/large")  # its header is remembered
    (row,) = json.loads(command("search", "large", "--json").out)["repositories"]
    (file,) = row["files"]
    assert file["basis"] == "measured"
    assert file["bits_per_weight"] == pytest.approx(4.96, abs=0.05)
    assert file["fit"]["fits"] is not None
    nothing = command("search", "no-such-thing")
    assert nothing.code == 0
    assert "fewer words" in nothing.err


def test_search_fits_a_narrow_terminal(large: HubServer, tmp_path: Path) -> None:
    large.add(
        "user/gemma-3-4b-it-qat-GGUF",
        {f"gemma-3-4b-it-qat-{label}.gguf": MODEL for label in ("Q4_0", "UD-Q4_K_XL", "Q8_0")},
        downloads=1_234_567,
        card={"license": "gemma"},
    )
    text = on_a_terminal("search", "gemma", columns=80)
    assert "user/gemma-3-4b-it-qat-GGUF" in text
    assert ":UD-Q4_K_XL" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_progress_on_a_terminal(hub: HubServer) -> None:
    hub.fault("slow", match="/blob/", value=0.01, times=None)
    text = on_a_terminal("pull", "user/gemma", columns=100)
    assert "fetching g-Q4_0.gguf" in text
    assert "MB/s" in text
    assert "left" in text
    assert "1 file verified" in text


def on_a_terminal(*arguments: str, columns: int) -> str:
    """What a command shows on a terminal of that width, without its colours."""
    pty = pytest.importorskip("pty")
    fcntl, struct, termios = (pytest.importorskip(name) for name in ("fcntl", "struct", "termios"))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gemmahub", *arguments],
        stdin=follower, stdout=follower, stderr=follower, env=environment,
    )  # fmt: skip
    os.close(follower)
    pieces = []
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(leader)
    assert process.wait(30) == 0
    from gemmahub.text import strip_controls

    return strip_controls(b"".join(pieces).decode()).replace("\r", "\n")


def progress(**about: Any) -> Progress:
    known: dict[str, Any] = {
        "file": "sub/g-Q4_0.gguf", "phase": "fetching", "done_bytes": 1_900_000_000,
        "size": 15_600_000_000, "all_done_bytes": 2_000_000_000, "all_bytes": 16_500_000_000,
        "files_done": 0, "files": 1, "bytes_per_second": 85e6, "seconds_left": 161.4,
        "all_seconds_left": 4000.0,
    }  # fmt: skip
    return Progress(**(known | about))


def test_progress_as_a_line() -> None:
    assert line_of(progress()) == (
        "fetching sub/g-Q4_0.gguf: 12%, 1.90 GB of 15.6 GB, 85.0 MB/s, 2:41 left"
    )
    assert line_of(progress(files=2)).endswith("; total 2.00 GB of 16.5 GB, 1:06:40 left")
    bare = progress(bytes_per_second=None, seconds_left=None, phase="verifying")
    assert line_of(bare) == "verifying sub/g-Q4_0.gguf: 12%, 1.90 GB of 15.6 GB"
    assert "100%" in line_of(progress(size=0, done_bytes=0))
    assert "\x1b" not in line_of(progress(file="a\x1b[31m.gguf"))


def test_a_pipe_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with View(clock=lambda: now[0]) as view:
        for second in range(12):
            now[0] = float(second)
            view.show(progress())
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 2)


def test_a_name_alone_is_chosen_and_said(hub: HubServer, command: Command) -> None:
    result = command("pull", "gemma-3-4b-it")
    assert result.code == 3  # this hub does not have it
    assert "gemma-3-4b-it -> " in result.err


def test_the_cache_is_where_huggingface_hub_has_it(hub: HubServer) -> None:
    from gemmahub.stores.hf_cache import cache_folder

    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(cache_folder())


def test_a_label_without_ud_finds_what_was_pulled(hub: HubServer, command: Command) -> None:
    hub.add("user/dynamic", {"g-UD-Q4_K_XL.gguf": MODEL})
    assert command("pull", "user/dynamic:Q4_K_XL").code == 0
    hub.forget()
    assert json.loads(command("inspect", "user/dynamic:Q4_K_XL", "--json").out)["installed"]
    assert not hub.seen


def test_a_damaged_file_is_repaired(hub: HubServer, command: Command) -> None:
    path = Path(command("pull", "user/gemma").out.strip())
    path.write_bytes(b"GGUX" + MODEL[4:])
    result = command("pull", "user/gemma")
    assert result.code == 0, result.err
    assert "damaged" in result.err
    assert path.read_bytes() == MODEL


def test_the_same_content_elsewhere_is_named(
    hub: HubServer, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "mine.gguf").write_bytes(MODEL)
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    ContentSums(tmp_path / "cache" / "summaries.sqlite").compute(folder / "mine.gguf")
    result = command("pull", "user/gemma", "--dry-run")
    assert f"already: {folder / 'mine.gguf'}" in result.out
    assert "gemmahub dedupe" in result.out
