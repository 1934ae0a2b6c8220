"""A reader of a file format that gemmahub has never heard of, from a stranger's plugin."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from functools import partial
from itertools import repeat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub import hookimpl
from gemmahub.engines import hooks
from gemmahub.engines.contract import Availability, Backend
from gemmahub.engines.guarded_reader import readers_of
from gemmahub.engines.manager import PluginManager, load_plugins
from gemmahub.engines.sources import RemoteArtifact, RemoteFile
from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.detect import open_model
from gemmahub.formats.reader import BUILT_IN_FORMATS, ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub.service import Library
from gemmahub.testing.gguf_writer import write_gguf
from tests.stranger import gemmahub_demo, gemmahub_sandbank
from tests.stranger.gemmahub_sandbank import SandbankReader, write_sandbank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gemmahub.formats.source import ByteSource, Opener

Command = Any
ROWS = (
    ("token_embd.weight", "F16", [64, 32], 2048, 4096),
    ("blk.0.attn_q.weight", "sand5", [64, 64], 4096, 2560),
)


def plugin(*readers: object) -> Any:
    """A plugin with these readers."""

    @hookimpl
    def gemmahub_formats() -> tuple[object, ...]:
        return readers

    return SimpleNamespace(gemmahub_formats=gemmahub_formats)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., PluginManager]:
    """Makes plugins be there beside echo, with a cache of this test."""
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))

    def install(version: str = "1", **plugins: Any) -> PluginManager:
        manager = load_plugins(only=["echo"])
        for name, module in plugins.items():
            manager.add(name, partial(getattr, SimpleNamespace(it=module), "it"), name, version)
        monkeypatch.setattr(Library, "plugins_manager", manager)
        return manager

    return install


@pytest.fixture
def sandbank(installed: Callable[..., PluginManager], tmp_path: Path) -> Path:
    """The plugin is installed; a folder with a model of its format."""
    installed(sandbank=gemmahub_sandbank)
    (tmp_path / "models").mkdir()
    return write_sandbank(tmp_path / "models" / "dune.sand", *ROWS)


# --- what a minimal reader is enough for ----------------------------------------------------------


def test_its_file_is_inspected_and_its_precision_is_measured(
    command: Command, sandbank: Path
) -> None:
    found = json.loads(command("inspect", sandbank, "--json").out)
    assert (found["format"], found["parameters"]) == ("sandbank", 6144)
    assert found["size_bytes"] == sandbank.stat().st_size
    precision = found["precision"]
    assert precision["bits_per_weight"] == round((4096 + 2560) * 8 / 6144, 2)
    assert [entry["type"] for entry in precision["roles"]] == ["F16", "sand5"]
    shown = command("inspect", sandbank).out
    assert "sand5" in shown
    assert "None" not in shown


def test_of_an_unknown_number_type_nothing_is_guessed(command: Command, tmp_path: Path) -> None:
    manager = load_plugins(only=["echo"])
    manager.add("sandbank", lambda: gemmahub_sandbank, "gemmahub-sandbank", "1")
    path = write_sandbank(tmp_path / "a.bin", ("blk.0.attn_q.weight", "XQ4", [64], 64, None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Library, "plugins_manager", manager)
        precision = json.loads(command("inspect", path, "--json").out)["precision"]
    assert (precision["bits"], precision["bits_per_weight"]) == (None, None)
    assert (precision["training"], precision["mismatch"]) == ("unknown", None)
    assert precision["summary"].endswith("unknown bits/weight")


def test_its_files_are_listed_where_it_names_their_suffix(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    folder = sandbank.parent
    assert json.loads(command("list", "--folder", folder, "--json").out)["models"] == []

    class WithSuffix(SandbankReader):
        suffixes = (".sand",)

    installed(sandbank=plugin(WithSuffix()))
    write_sandbank(folder / "damaged.SAND").write_bytes(b"SAND")
    found = json.loads(command("list", "--folder", folder, "--json").out)
    (model,) = found["models"]
    assert (model["format"], model["reference"]) == ("sandbank", str(sandbank))
    assert model["precision"]["bits_per_weight"] > 8
    (broken,) = found["broken"]
    assert broken["path"].endswith("damaged.SAND")


def test_a_plan_says_its_weights_and_that_the_rest_is_not_known(
    command: Command, sandbank: Path
) -> None:
    result = command("plan", sandbank)
    assert result.code == 5
    assert "only its engine knows the memory use of a sandbank model" in result.err
    assert "its weights alone need 6.66 KB, the rest is unknown" in result.err


def test_run_says_which_backends_are_here_and_what_they_run(
    command: Command, sandbank: Path
) -> None:
    result = command("run", sandbank, "hello")
    assert result.code == 5
    assert "no installed backend runs sandbank models" in result.err
    assert "a plugin with a backend for sandbank; installed: echo (" in result.err


def test_a_backend_of_its_format_is_found(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    class Shovel(Backend):
        name = "shovel"
        formats = ("sandbank",)

        def availability(self) -> Availability:
            return Availability(False, reason="no shovel is here", hint="buy one")

    both = plugin(SandbankReader())
    both.gemmahub_backends = hookimpl(lambda: [Shovel()], specname="gemmahub_backends")
    installed(sandbank=both)
    result = command("run", sandbank, "hello")
    assert result.code == 5
    assert "no backend for sandbank models works here (shovel: no shovel is here" in result.err


def test_the_settings_may_name_a_backend_for_its_format(
    command: Command, sandbank: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('[run.backends]\nsandbank = "echo"\nggfu = "echo"\n')
    checks = {c["name"]: c for c in json.loads(command("doctor", "--json").out)["checks"]}
    assert "setting run.backends.sandbank" not in checks
    odd = checks["setting run.backends.ggfu"]
    assert odd["status"] == "warning"
    assert "gguf, mlx, safetensors, sandbank" in odd["hint"]


# --- a reader that can say more ------------------------------------------------------------------


class WholeReader(SandbankReader):
    """Also says what the model is called, and takes folders."""

    def reads(self, path: Path) -> bool:
        if path.is_dir():
            return (path / "a.sand").is_file()
        return super().reads(path)

    def model(self, path: Path, open_file: Opener) -> ModelFile:
        file = path / "a.sand" if path.is_dir() else path
        with open_file(file) as source:
            return ModelFile(
                "sandbank",
                (file,),
                source.size,
                tuple(self.tensors(source)),
                {"general.architecture": "gemma3", "general.name": "Dune", "gemma3.block_count": 1},
                "{{ messages }}",
                ("a note\x1b[2J",),
                "SAND5",
            )


def test_what_a_reader_says_of_a_model_is_shown(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    installed(sandbank=plugin(WholeReader()))
    write_sandbank(sandbank.parent / "a.sand", *ROWS)
    for path in (sandbank, sandbank.parent):
        found = json.loads(command("inspect", path, "--json").out)
        assert (found["name"], found["chat_template"], found["notes"]) == ("Dune", True, ["a note"])
        assert found["architecture"]["layers"] == 1
        precision = found["precision"]
        assert (precision["label"], precision["bits"], precision["mismatch"]) == (
            "SAND5", None, None,
        )  # fmt: skip


def test_a_minimal_reader_is_not_asked_about_folders(command: Command, sandbank: Path) -> None:
    (sandbank.parent / "empty").mkdir()
    assert command("inspect", sandbank.parent / "empty").code == 3


# --- our own formats stay ours -------------------------------------------------------------------


class TakesAll(SandbankReader):
    asked: list[Path] = []  # noqa: RUF012 - what it was asked, of all instances

    def reads(self, path: Path) -> bool:
        self.asked.append(path)
        return True


def test_no_plugin_is_asked_about_a_gguf_or_safetensors_file(
    installed: Callable[..., PluginManager], tmp_path: Path
) -> None:
    manager = installed(sandbank=plugin(TakesAll()))
    write_gguf(tmp_path / "m.gguf", {}, [("t", (32,), "Q8_0")])
    assert open_model(tmp_path / "m.gguf", further=lambda: readers_of(manager)).format == "gguf"
    for name in ("torn.gguf", "torn.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises((FormatError, IntegrityError)):
            open_model(tmp_path / name, further=lambda: readers_of(manager))
    assert TakesAll.asked == []


def test_no_plugin_is_loaded_for_a_gguf(tmp_path: Path) -> None:
    def further() -> tuple[Any, ...]:
        raise AssertionError("loaded")

    write_gguf(tmp_path / "m", {}, [("t", (32,), "Q8_0")])
    assert open_model(tmp_path / "m", further=further).format == "gguf"


# --- what is wrong with a plugin is a row --------------------------------------------------------


def odd_reader(**members: Any) -> Any:
    plain = {"name": "sandbank", "reads": lambda path: False, "tensors": lambda source: ()}
    return SimpleNamespace(**plain | members)


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        ("sandbank", "a format cannot be called None"),
        (odd_reader(name="GGUF"), "a format cannot be called 'GGUF'"),
        (odd_reader(name=None), "a format cannot be called None"),
        *((odd_reader(name=name), f"gemmahub reads {name} already") for name in BUILT_IN_FORMATS),
        (odd_reader(reads=None), "the reader of sandbank has no reads()"),
        (odd_reader(tensors=1), "the reader of sandbank has no tensors()"),
        (odd_reader(suffixes=".sand"), "suffixes of the reader of sandbank are not a tuple"),
        (odd_reader(suffixes=("sand",)), "a suffix is a text such as .sand, not 'sand'"),
        (odd_reader(suffixes=(".gguf",)), "gemmahub reads .gguf files already"),
        (odd_reader(suffixes=3), "suffixes of the reader of sandbank are not a tuple"),
    ],
)
def test_what_is_not_a_reader_is_a_row_with_its_reason(
    command: Command, installed: Callable[..., PluginManager], reader: object, reason: str
) -> None:
    manager = installed(odd=plugin(reader), sandbank=gemmahub_sandbank)
    assert [reader.name for reader in readers_of(manager)] == ["sandbank"]
    readers_of(manager)
    checks = {c["name"]: c for c in json.loads(command("doctor", "--json").out)["checks"]}
    assert checks["plugin odd"]["message"].count(reason) == 1
    assert command("list").code == 0


def test_a_format_that_another_plugin_reads_is_refused(
    installed: Callable[..., PluginManager],
) -> None:
    manager = installed(sandbank=gemmahub_sandbank, again=plugin(SandbankReader()))
    readers_of(manager)
    (failed,) = (record for record in manager.records if record.state == "failed")
    assert "format 'sandbank' is offered by both" in failed.reason


def changed(**values: Any) -> Any:
    return replace(Tensor("t", "sand5", (8,), 8, 5), **values)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([changed(parameters=-1)], "the number of weights of the tensor t cannot be -1"),
        ([changed(parameters=1 << 63)], "the number of weights of the tensor t cannot be"),
        ([changed(parameters=1.5)], "the number of weights of the tensor t is not a whole number"),
        ([changed(bytes=-1)], "the number of bytes of the tensor t cannot be -1"),
        ([changed(bytes=True)], "the number of bytes of the tensor t is not a whole number"),
        ([changed(bytes=10_000_000)], "its tensors have more bytes than its files"),
        ([changed(shape="8")], "the shape of the tensor t"),
        ([changed(shape=(-1,))], "a length of the tensor t cannot be -1"),
        ([changed(type="\x1b[2J ")], "the type of the tensor t is not text"),
        ([changed(type=None)], "the type of the tensor t is not text"),
        ([changed(name="t" * 5000)], "a tensor's name is a text of up to"),
        ([changed(), changed()], "the tensor t occurs twice"),
        (
            [changed(name=n, parameters=(1 << 63) - 1) for n in "ab"],
            "an implausible number of weights",
        ),
        (["t"], "tensors() gives Tensors, not a str"),
        (None, "'NoneType' object is not iterable"),
        (ZeroDivisionError("oh\x1b[2J"), "ZeroDivisionError: oh"),
        (SystemExit("bye"), "SystemExit: bye"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_tensors_that_are_invalid_are_an_error_that_names_the_plugin(
    command: Command,
    installed: Callable[..., PluginManager],
    sandbank: Path,
    answer: Any,
    reason: str,
) -> None:
    class Odd(SandbankReader):
        def tensors(self, source: ByteSource) -> list[Tensor]:
            if isinstance(answer, BaseException):
                raise answer
            found: list[Tensor] = answer
            return found

    installed(odd=plugin(Odd()))
    result = command("inspect", sandbank)
    assert result.code == 1
    assert f"the plugin odd cannot read {sandbank.name}" in result.err
    assert reason in result.err


def test_more_tensors_than_any_model_has_are_not_waited_for(
    installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    class Endless(SandbankReader):
        def tensors(self, source: ByteSource) -> Iterable[Tensor]:  # type: ignore[override]
            return repeat(changed())

    manager = installed(odd=plugin(Endless()))
    with pytest.raises(FormatError, match="more than 131,072 tensors"):
        open_model(sandbank, further=lambda: readers_of(manager))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"files": ()}, "files are 1 to"),
        ({"files": ("a",)}, "files are 1 to"),
        ({"size_bytes": -1}, "size_bytes cannot be -1"),
        ({"metadata": {1: 2}}, "keys that are not texts"),
        ({"metadata": None}, "TypeError"),
        ({"notes": 3}, "TypeError"),
        (None, "model() returned a NoneType"),
    ],
)
def test_a_model_that_is_invalid_is_an_error_that_names_the_plugin(
    installed: Callable[..., PluginManager],
    sandbank: Path,
    values: dict[str, Any] | None,
    reason: str,
) -> None:
    class Odd(WholeReader):
        def model(self, path: Path, open_file: Opener) -> ModelFile:
            found = super().model(path, open_file)
            return None if values is None else replace(found, **values)  # type: ignore[return-value]

    manager = installed(odd=plugin(Odd()))
    with pytest.raises(FormatError, match=r"the plugin odd cannot read dune\.sand") as caught:
        open_model(sandbank, further=lambda: readers_of(manager))
    assert reason in caught.value.message


def test_its_own_errors_are_said_as_they_are(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    class Careful(SandbankReader):
        def tensors(self, source: ByteSource) -> list[Tensor]:
            raise IntegrityError("the dune has a hole", "fill it")

    installed(odd=plugin(Careful()))
    result = command("inspect", sandbank)
    assert (result.code, "the dune has a hole" in result.err) == (7, True)


def test_a_reader_that_hangs_is_given_up_and_not_asked_again(
    command: Command,
    installed: Callable[..., PluginManager],
    sandbank: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hooks, "CALL_SECONDS", 0.1)
    asked, forever = [], threading.Event()

    class Hanging(SandbankReader):
        suffixes = (".sand",)

        def tensors(self, source: ByteSource) -> list[Tensor]:
            asked.append(source.name)
            forever.wait(60)
            return []

    installed(odd=plugin(Hanging()))
    for number in range(3):
        write_sandbank(sandbank.parent / f"{number}.sand", *ROWS)
    broken = json.loads(command("list", "--folder", sandbank.parent, "--json").out)["broken"]
    forever.set()
    reasons = sorted(row["reason"].partition(": ")[2].partition(" · ")[0] for row in broken)
    assert reasons == ["it took longer than 0.1 s"] + ["it was too slow before"] * 3
    assert len(asked) == 1


def test_what_a_reader_prints_is_not_data(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    class Talking(SandbankReader):
        def reads(self, path: Path) -> bool:
            sys.stdout.write("looking\n")
            return super().reads(path)

        def tensors(self, source: ByteSource) -> list[Tensor]:
            sys.stdout.write("reading\n")
            return super().tensors(source)

    installed(odd=plugin(Talking()))
    assert json.loads(command("inspect", sandbank, "--json").out)["format"] == "sandbank"


def test_a_reader_that_cannot_look_is_in_no_others_way(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    def fail(path: Path) -> bool:
        raise ZeroDivisionError("blind")

    blind = odd_reader(name="blind", reads=fail)
    installed(blind=plugin(blind), sandbank=gemmahub_sandbank)
    assert command("inspect", sandbank).code == 0
    sandbank.write_bytes(b"neither")
    result = command("inspect", sandbank)
    assert result.code == 1
    assert "the plugin blind cannot read dune.sand: ZeroDivisionError: blind" in result.err


# --- what is remembered --------------------------------------------------------------------------


def test_what_it_said_is_remembered_for_this_version_of_the_plugin(
    command: Command, installed: Callable[..., PluginManager], sandbank: Path
) -> None:
    calls: list[str] = []

    class Counting(SandbankReader):
        def tensors(self, source: ByteSource) -> list[Tensor]:
            calls.append(source.name)
            return super().tensors(source)

    for version, times in (("1", 1), ("1", 1), ("2", 2)):
        installed(version, sandbank=plugin(Counting()))
        assert command("inspect", sandbank).code == 0
        assert len(calls) == times
    installed()
    assert command("inspect", sandbank).code == 1


# --- from a source -------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A source of the same format, as a plugin."""
    monkeypatch.setenv("DEMO_FOLDER", str(tmp_path))
    (tmp_path / "there").mkdir()
    write_sandbank(tmp_path / "there" / "dune-Q4_0.sand", *ROWS)

    class Source(gemmahub_demo.DemoSource):
        def find(self, reference: str) -> RemoteArtifact | None:
            (path,) = (tmp_path / "there").iterdir()
            file = RemoteFile(path.name, path.stat().st_size)
            return RemoteArtifact(reference, self.name, "dune", "sandbank", (file,))

    @hookimpl
    def gemmahub_sources() -> list[Source]:
        return [Source()]

    return SimpleNamespace(gemmahub_sources=gemmahub_sources)


def test_its_model_is_measured_where_a_source_has_it(
    command: Command, installed: Callable[..., PluginManager], served: Any
) -> None:
    installed(demo=served, sandbank=gemmahub_sandbank)
    found = json.loads(command("inspect", "demo://dune", "--json").out)
    assert (found["format"], found["parameters"], found["installed"]) == ("sandbank", 6144, False)
    assert "6.66 KB" in command("plan", "demo://dune").err
    assert command("pull", "demo://dune", "--dry-run").code == 0


def test_without_its_reader_names_say_what_is_known(
    command: Command, installed: Callable[..., PluginManager], served: Any
) -> None:
    installed(demo=served)
    found = json.loads(command("inspect", "demo://dune", "--json").out)
    assert (found["format"], found["precision"]["label"]) == ("sandbank", "Q4_0")
    assert found["precision"]["bits_per_weight"] is None
    assert found["notes"] == ["not measured: no installed plugin reads sandbank files"]
    assert "unknown" in command("plan", "demo://dune").err
    pulled = command("pull", "demo://dune")
    assert pulled.code == 0, pulled.err
