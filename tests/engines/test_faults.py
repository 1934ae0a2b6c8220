"""Plugins that fail in every way there is: none takes the others, or the program, down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.choice import load_session
from gemmahub.engines.contract import Artifact, FinishReason, Sampling, Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import BackendError, GenerationFailed, LoadFailed
from gemmahub.python_environment import update_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Session
    from gemmahub.engines.manager import BackendOffer

HERE = Path(__file__).parent
BACKEND = """
from gemmahub import hookimpl
from gemmahub.engines.contract import Availability, Backend

class Plain(Backend):
    name = "{name}"
    formats = ("gguf",)
    def availability(self):
        {availability}

@hookimpl
def gemmahub_backends():
    {hook}
"""


def backend(name: str, availability: str = "", hook: str = "return [Plain()]") -> str:
    here = availability or "return Availability(True, '1')"
    return BACKEND.format(name=name, availability=here, hook=hook)


HOOK = "from gemmahub import hookimpl\n@hookimpl\n"


def store(name: str | None, inventory: str = "return Inventory()") -> str:
    return (
        f"from gemmahub import hookimpl\nfrom gemmahub.engines.contract import Inventory\n"
        f"class S:\n  name = {name!r}\n  def inventory(self):\n    {inventory}\n"
        "@hookimpl\ndef gemmahub_stores(): return [S()]"
    )


# module -> (its text, what has to be said about it)
PLUGINS = {
    "import_raises": ("raise RuntimeError('no driver \\x1b[2J')", "RuntimeError: no driver"),
    "import_exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "import_prints": ("print('hello')\n" + backend("printing"), ""),
    "hook_raises": (backend("x1", hook="return 1 / 0"), "gemmahub_backends failed: ZeroDivision"),
    "hook_lies": (backend("x2", hook="return ['x']"), "returned a str, not a Backend"),
    "available_raises": (backend("x3", "raise OSError('no socket')"), "OSError: no socket"),
    "available_lies": (backend("x4", "return True"), "availability() returned bool"),
    "twin_backend": (backend("echo"), "'echo' is offered by both"),
    "newer_contract": ("GEMMAHUB_CONTRACT = 3\n" + backend("x5"), "needs plugin contract 3"),
    "newer_import": ("from gemmahub.engines.contract import Hologram", "ImportError: cannot"),
    "odd_contract": ("GEMMAHUB_CONTRACT = '1'\n" + backend("x6"), "a whole number, not '1'"),
    "misspelt": (
        "from gemmahub import hookimpl\n@hookimpl\ndef gemmahub_backend(): return []",
        "did you mean gemmahub_backends?",
    ),
    "store_raises": (
        store("s", "1 / 0"),
        "its store failed: ZeroDivisionError",
    ),
    "check_raises": (
        HOOK + "def gemmahub_checks(): raise OSError('gone')",
        "gemmahub_checks failed: OSError: gone",
    ),
    "command_raises": (
        HOOK + "def gemmahub_commands(cli): raise OSError",
        "gemmahub_commands failed: OSError",
    ),
    "command_taken": (
        HOOK + "def gemmahub_commands(cli):\n"
        "  import click\n  cli.add_command(click.Command('list'))",
        "its command 'list' is one of gemmahub",
    ),
    "backend_none": (
        backend("x7").replace('name = "x7"', "name = None"),
        "its name is None, not a text",
    ),
    "backend_blank": (backend("a b"), "use letters, digits, . _ + and -"),
    "formats_text": (
        backend("x8").replace('("gguf",)', '"gguf"'),
        "formats of x8 is the text 'gguf'; write ('gguf',)",
    ),
    "capabilities_text": (
        backend("x9").replace('formats = ("gguf",)', 'capabilities = "images"'),
        "capabilities of x9 is the text 'images'",
    ),
    "flag_text": (
        backend("x10").replace('formats = ("gguf",)', 'in_process = "no"'),
        "in_process of x10 is not true or false",
    ),
    "hook_text": (backend("x11", hook="return 'gguf'"), "it returned a str, not a list of records"),
    "inventory_text": (
        store("s2", "from gemmahub.engines.contract import Inventory\n    return Inventory('abc')"),
        "it returned 'abc', not a list of records",
    ),
    "store_none": (store(None), "its name is None, not a text"),
    "store_twin": (store("s1") + "\ndef more(): pass", "store 's1' is offered by both"),
    "source_text": (
        HOOK + "def gemmahub_sources():\n  class S: name, schemes = 's', 'demo'\n  return [S()]",
        "schemes of the source s are 'demo', not a list of texts",
    ),
    "setting_odd": (
        HOOK + "def gemmahub_settings(): return [{'name': 'x'}]",
        "not a Setting",
    ),
    "format_odd": (HOOK + "def gemmahub_formats(): return [object()]", "gemmahub_formats"),
    "probe_odd": (HOOK + "def gemmahub_devices(): return [object()]", "gemmahub_devices"),
    "older_contract": ("GEMMAHUB_CONTRACT = 0\n" + backend("x12"), "update the plugin"),
    "store_fine": (store("s1"), ""),
}
NEWER = ("newer_contract", "newer_import")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All these plugins, installed beside those that work."""
    folder = tmp_path_factory.mktemp("broken")
    for name, (text, _) in PLUGINS.items():
        (folder / f"{name}_plugin.py").write_text(text)
        install(folder, name, f"{name}_plugin")
    return folder


def install(folder: Path, name: str, module: str) -> None:
    info = folder / f"dist_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n"
        "Requires-Dist: gemmahub-other>=9\nRequires-Dist: gemmahub <2, >=0.9\n"
    )
    (info / "entry_points.txt").write_text(f"[gemmahub]\n{name} = {module}\n")


def gemmahub(
    folder: Path, *arguments: object, debug: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gemmahub", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(folder), "GEMMAHUB_DEBUG": str(int(debug))},
        capture_output=True,
        text=True,
    )


def test_plugins_shows_each_with_its_reason(broken: Path) -> None:
    done = gemmahub(broken, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    for name, (_, reason) in PLUGINS.items():
        remarks = " ".join(rows[name]["remarks"])
        assert reason in remarks, name
        assert "\x1b" not in remarks
        if reason and "available" not in name:
            assert rows[name]["state"] == "failed", name
    assert rows["echo"]["state"] == "ok"
    assert [b["name"] for b in rows["echo"]["backends"]] == ["echo"]
    for name in NEWER:
        assert update_command("gemmahub<2,>=0.9") in rows[name]["remarks"][1]
    assert "hello" not in done.stderr
    done = gemmahub(broken, "plugins", debug=True)
    assert "hello" in done.stderr
    assert "hello" not in done.stdout


def test_doctor_continues(broken: Path) -> None:
    done = gemmahub(broken, "doctor", "--json")
    assert done.returncode == 1, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    failed = {name for name, check in checks.items() if check["status"] == "failed"}
    assert failed >= {f"plugin {name}" for name in ("import_raises", "hook_raises", *NEWER)}
    assert checks["backend x3"]["status"] == "warning"
    assert checks["backend echo"]["status"] == "ok"


def test_list_help_and_run_go_on(broken: Path, tmp_path: Path) -> None:
    from gemmahub.testing.gguf_writer import write_gguf

    model = tmp_path / "model.gguf"
    metadata = {"general.architecture": "gemma3", "general.file_type": 2}
    write_gguf(model, metadata, [("token_embd.weight", (256, 256), "Q4_0")])
    done = gemmahub(broken, "list", "--folder", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert str(model) in done.stdout
    assert "ZeroDivisionError" in done.stdout  # the store that fails is a broken entry
    assert gemmahub(broken, "--help").returncode == 0
    done = gemmahub(broken, "run", model, "one two", "--backend", "echo")
    assert (done.returncode, done.stdout) == (0, "one two\n"), done.stderr


# --- sessions ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["faulty", "faulty-server"])
def offer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BackendOffer]:
    """The faulty backend, installed for the worker, too."""
    folder = tmp_path_factory.mktemp("faulty")
    install(folder, "faulty", "faulty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(HERE))))
        patch.syspath_prepend(str(HERE))
        patch.syspath_prepend(str(folder))
        yield load_plugins(only=["faulty"]).backend(request.param)


@pytest.fixture
def session(offer: BackendOffer) -> Iterator[Session]:
    with load(offer) as found:
        yield found


def load(offer: BackendOffer, how: str = "", **more: Any) -> Session:
    return load_session(offer, Artifact("gguf", Path("x"), name=how), Settings(), **more)


def text(session: Session, how: str) -> str:
    return "".join(chunk.text for chunk in session.generate(how, Sampling()))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise at once", "KeyError: 'at once'"),
        ("raise", "ZeroDivisionError: out of cheese"),
        ("text", "this is a str"),
        ("bytes", "TypeError"),
        ("nothing", "TypeError"),
    ],
)
def test_a_foreign_error_in_an_answer_names_the_engine(
    offer: BackendOffer, session: Session, how: str, reason: str
) -> None:
    with pytest.raises(GenerationFailed) as caught:
        text(session, how)
    assert caught.value.message.startswith(f"{offer.backend.name} failed while answering: ")
    assert reason in caught.value.message
    assert caught.value.hint
    assert text(session, "fine") == "a"


@pytest.mark.parametrize("how", ["raise", "nothing"])
def test_a_foreign_error_in_loading_names_the_engine(offer: BackendOffer, how: str) -> None:
    with pytest.raises(LoadFailed) as caught:
        load(offer, how)
    assert caught.value.message.startswith(f"{offer.backend.name} failed while loading: ")


def test_halves_of_characters_do_not_come_through(session: Session) -> None:
    assert text(session, "half") == "ab?"


def test_an_answer_without_usage_still_ends(session: Session) -> None:
    chunks = list(session.generate("no usage", Sampling()))
    assert [chunk.text for chunk in chunks] == ["a"]
    assert text(session, "fine") == "a"


def test_any_iterable_will_do(session: Session) -> None:
    chunks = list(session.generate("a list", Sampling()))
    assert [chunk.text for chunk in chunks] == ["all", ""]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.finish_reason is FinishReason.STOP


def test_a_cancel_that_fails(offer: BackendOffer, session: Session) -> None:
    if offer.backend.in_process:
        session.cancel()  # nothing runs: the worker is not even told
        return
    with pytest.raises(BackendError, match="faulty-server failed during cancel: OSError"):
        session.cancel()


def test_what_the_front_end_raises_while_loading_is_its_own(offer: BackendOffer) -> None:
    def stop(fraction: float) -> None:
        raise LookupError("the front end's")

    with pytest.raises(LookupError, match="the front end's"):
        load(offer, on_progress=stop)


def test_printing_goes_to_the_log(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    assert text(session, "print") == "a"
    assert capfd.readouterr() == ("", "")


def test_run_shows_such_an_error_and_an_answer_without_usage(
    offer: BackendOffer, tmp_path: Path, command: Any
) -> None:
    from gemmahub.testing.gguf_writer import write_gguf

    model = tmp_path / "model.gguf"
    metadata = {"general.architecture": "gemma3", "general.file_type": 2}
    write_gguf(model, metadata, [("token_embd.weight", (256, 256), "Q4_0")])
    failed = command("run", model, "raise", "--backend", offer.backend.name)
    assert failed.code == 5
    assert f"{offer.backend.name} failed while answering" in failed.err
    short = command("run", model, "no usage", "--backend", offer.backend.name, "-v")
    assert (short.code, short.out) == (0, "a\n")
    assert f"backend {offer.backend.name}: named with --backend" in short.err
