"""Broken plugins are rows with a reason; none keeps the others from working."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub import hookimpl
from gemmahub.engines.choice import Default, choose, engine_command
from gemmahub.engines.contract import Artifact, Availability, Backend, CheckResult, Settings
from gemmahub.engines.manager import PluginManager, load_plugins
from gemmahub.errors import BackendMissing
from gemmahub.hardware.simulate import simulate_machine
from gemmahub.python_environment import install_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.hooks import PluginRecord


class Plain(Backend):
    """A backend that works, named by the test."""

    formats = ("gguf",)

    def __init__(self, name: str, answer: Any = None, priority: int = 0) -> None:
        self.name = name  # type: ignore[misc]
        self.priority = priority  # type: ignore[misc]
        self.answer = answer or Availability(True)

    def availability(self) -> Availability:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def plugin(**hooks: Any) -> Any:
    """A plugin module made of functions."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def manager_of(**plugins: Any) -> PluginManager:
    manager = PluginManager()
    for name, found in plugins.items():
        manager.add(name, lambda found=found: found, f"dist-{name}", "1.0")  # type: ignore[misc]
    return manager


def record(manager: PluginManager, name: str) -> PluginRecord:
    return next(r for r in manager.records if r.name == name)


def test_real_entry_point() -> None:
    manager = load_plugins(only=["echo"])
    found = record(manager, "echo")
    assert (found.state, found.distribution) == ("ok", "gemmahub-echo")
    assert found.version == version("gemmahub-echo")
    assert [offer.backend.name for offer in manager.backends()] == ["echo"]
    assert record(manager, "llamacpp").state == "left out"


@pytest.mark.parametrize(
    ("setting", "names"), [("echo", ["echo"]), ("", []), (" echo , x", ["echo"])]
)
def test_environment_restricts(
    setting: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", setting)
    assert [r.name for r in load_plugins().records if r.state == "ok"] == names


@pytest.fixture
def broken_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution whose plugin raises on import, and one with a taken name."""
    for name, point in (("broken", "bad = gemmahub_bad"), ("twin", "echo = gemmahub_echo")):
        info = tmp_path / f"{name}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[gemmahub]\n{point}\n")
    (tmp_path / "gemmahub_bad.py").write_text("raise RuntimeError('no GPU \\x1b[2Jhere')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("gemmahub_bad", None)


@pytest.mark.usefixtures("broken_distribution")
def test_an_import_error_is_a_row_and_of_two_with_one_name_neither_is_used() -> None:
    manager = load_plugins(only=["bad", "echo"])
    bad = record(manager, "bad")
    assert (bad.state, bad.reason) == ("failed", "RuntimeError: no GPU here")
    assert "broken" in bad.hint
    for distribution in ("twin", "gemmahub-echo"):
        twin = record(manager, f"echo ({distribution})")
        assert twin.state == "failed"
        assert "two plugins are called 'echo' (from gemmahub-echo and twin)" in twin.reason
        assert f"pip uninstall {distribution}" in twin.hint
    assert manager.backends() == []


@pytest.mark.usefixtures("broken_distribution")
def test_what_is_left_out_has_not_failed() -> None:
    manager = load_plugins(only=["llamacpp"])
    assert {r.name: r.state for r in manager.records}["echo"] == "left out"
    assert record(manager, "bad").state == "left out"


def test_raising_hook_is_a_row_and_the_others_answer() -> None:
    def explode() -> Any:
        raise ValueError("oh")

    def leave() -> Any:
        sys.exit(3)

    manager = manager_of(
        bad=plugin(gemmahub_backends=explode),
        worse=plugin(gemmahub_backends=leave),
        good=plugin(gemmahub_backends=lambda: [Plain("good")]),
    )
    assert [offer.backend.name for offer in manager.backends()] == ["good"]
    assert record(manager, "bad").reason == "gemmahub_backends failed: ValueError: oh"
    assert record(manager, "worse").state == "failed"
    assert record(manager, "good").state == "ok"


def test_wrong_records_are_refused() -> None:
    manager = manager_of(bad=plugin(gemmahub_backends=lambda: ["not a backend"]))
    assert manager.backends() == []
    assert record(manager, "bad").reason == "gemmahub_backends returned a str, not a Backend"


def test_misspelt_hook_is_named() -> None:
    manager = manager_of(bad=plugin(gemmahub_backend=lambda: iter(())))
    found = record(manager, "bad")
    assert found.state == "failed"
    assert "did you mean gemmahub_backends?" in found.reason
    assert manager.backends() == []


def test_newer_contract_says_what_is_needed() -> None:
    new = plugin(gemmahub_backends=lambda: [Plain("new")])
    new.GEMMAHUB_CONTRACT = 99
    manager = manager_of(new=new)
    assert "contract 99" in record(manager, "new").reason
    assert "update gemmahub" in record(manager, "new").reason


def test_taken_backend_name_names_both() -> None:
    manager = manager_of(
        one=plugin(gemmahub_backends=lambda: [Plain("same")]),
        two=plugin(gemmahub_backends=lambda: [Plain("same")]),
    )
    assert [offer.plugin for offer in manager.backends()] == ["one"]
    reason = record(manager, "two").reason
    assert "dist-one" in reason
    assert "dist-two" in reason


def test_store_that_raises_is_a_broken_entry() -> None:
    def inventory() -> Any:
        raise PermissionError("no")

    store = SimpleNamespace(name="mine", inventory=inventory)
    manager = manager_of(bad=plugin(gemmahub_stores=lambda: [store]))
    (found,) = manager.inventories()
    assert found.broken[0].store == "mine"
    assert "PermissionError: no" in found.broken[0].reason
    assert record(manager, "bad").state == "failed"


def test_commands_of_plugins_are_guarded() -> None:
    import click

    def add(cli: click.Group) -> None:
        cli.add_command(click.Command("extra"))

    def explode(cli: click.Group) -> None:
        raise ValueError

    manager = manager_of(good=plugin(gemmahub_commands=add), bad=plugin(gemmahub_commands=explode))
    assert list(manager.commands((), None)) == ["extra"]


# --- choosing ----------------------------------------------------------------------------------

ARTIFACT = Artifact("gguf", Path("x.gguf"))


def offers(*backends: Backend) -> PluginManager:
    return manager_of(all=plugin(gemmahub_backends=lambda: list(backends)))


def test_the_preferred_available_backend_is_chosen() -> None:
    down = Plain("down", Availability(False, reason="no server", hint="start it"), priority=9)
    manager = offers(Plain("slow"), down, Plain("fast", priority=5))
    assert choose(manager, ARTIFACT, None).offer.backend.name == "fast"


def test_nothing_available_says_why_and_what_to_do() -> None:
    raising = Plain("raising", RuntimeError("boom"), priority=1)
    down = Plain("down", Availability(False, reason="no server", hint="start it"))
    with pytest.raises(BackendMissing) as caught:
        choose(offers(raising, down), ARTIFACT, None)
    assert "RuntimeError: boom" in caught.value.message
    assert "no server" in caught.value.message
    assert caught.value.hint


def test_no_backend_for_the_format() -> None:
    with pytest.raises(BackendMissing, match="no installed backend runs mlx"):
        choose(offers(Plain("a")), Artifact("mlx", Path("x")), None)


def test_named_backend() -> None:
    manager = offers(Plain("llama.cpp"), Plain("down", Availability(False, reason="why")))
    assert choose(manager, ARTIFACT, "llama.cpp").offer.backend.name == "llama.cpp"
    with pytest.raises(BackendMissing, match=r"no backend is called 'lama.cpp'") as caught:
        choose(manager, ARTIFACT, "lama.cpp")
    assert "llama.cpp" in caught.value.hint
    with pytest.raises(BackendMissing, match="why"):
        choose(manager, ARTIFACT, "down")
    with pytest.raises(BackendMissing, match="only gguf"):
        choose(manager, Artifact("mlx", Path("x")), "llama.cpp")


def test_the_choice_says_why() -> None:
    down = Plain("down", Availability(False, reason="no server"), priority=9)
    several = offers(Plain("slow"), down, Plain("fast", priority=5))
    assert choose(several, ARTIFACT).reason == "preferred for gguf to slow (down: no server)"
    assert choose(offers(Plain("one")), ARTIFACT).reason == "the only one for gguf that works here"
    assert choose(several, ARTIFACT, "slow").reason == "named with --backend"


def test_a_default_of_the_settings() -> None:
    manager = offers(Plain("fast", priority=5), Plain("slow"), Plain("down", Availability(False)))
    default = Default("slow", "run.backends.gguf")
    found = choose(manager, ARTIFACT, default=default)
    assert found.offer.backend.name == "slow"
    assert found.reason == "named by the setting run.backends.gguf"
    named = choose(manager, ARTIFACT, "fast", default=default)
    assert named.offer.backend.name == "fast"
    for wrong in ("nosuch", "down"):
        with pytest.raises(BackendMissing, match=r"named by the setting run\.backend"):
            choose(manager, ARTIFACT, default=Default(wrong, "run.backend"))


def test_a_default_counts_for_its_formats_only() -> None:
    other = Plain("other")
    other.formats = ("mlx",)  # type: ignore[misc]
    found = choose(offers(other, Plain("a")), ARTIFACT, default=Default("other", "run.backend"))
    assert found.offer.backend.name == "a"


def test_a_capability_that_is_needed() -> None:
    exact = Plain("exact")
    exact.capabilities = frozenset({"dry_load"})  # type: ignore[misc]
    manager = offers(Plain("fast", priority=5), exact)
    default = Default("fast", "run.backend")
    found = choose(manager, ARTIFACT, default=default, needs="dry_load")
    assert found.offer.backend.name == "exact"
    with pytest.raises(BackendMissing, match="dry_load"):
        choose(offers(Plain("fast")), ARTIFACT, needs="dry_load")


def test_echo_is_never_chosen_by_itself(echo_manager: PluginManager) -> None:
    with pytest.raises(BackendMissing):
        choose(echo_manager, ARTIFACT, None)


def test_surplus_options_are_refused(echo_manager: PluginManager) -> None:
    from gemmahub.errors import LoadFailed

    backend = echo_manager.backend("echo").backend
    with pytest.raises(LoadFailed, match="no option 'speed'") as caught:
        backend.check_options(Settings(options={"speed": 1}))
    assert "delay" in caught.value.hint


# --- checks ------------------------------------------------------------------------------------


def test_a_check_gets_the_machine_only_if_it_asks_for_it() -> None:
    machine = simulate_machine(ram=16 << 30)
    seen: list[Any] = []

    def with_machine(machine: Any) -> list[CheckResult]:
        seen.append(machine)
        return [CheckResult("with", "ok", "")]

    manager = manager_of(
        a=plugin(gemmahub_checks=with_machine),
        b=plugin(gemmahub_checks=lambda: [CheckResult("without", "ok", "")]),
    )
    assert [check.name for check in manager.checks(machine)] == ["with", "without"]
    assert seen == [machine]


def test_a_check_that_needs_a_missing_module() -> None:
    manager = manager_of(a=plugin(gemmahub_checks=lambda weather: []))
    assert record(manager, "a").state == "failed"
    assert "weather" in record(manager, "a").reason
    assert manager.checks(simulate_machine(ram=16 << 30)) == []


def test_a_check_that_raises_is_the_plugins_failure() -> None:
    def broken(machine: Any) -> list[CheckResult]:
        raise ZeroDivisionError

    manager = manager_of(a=plugin(gemmahub_checks=broken))
    assert manager.checks(simulate_machine(ram=16 << 30)) == []
    assert "gemmahub_checks failed: ZeroDivisionError" in record(manager, "a").reason


@pytest.mark.parametrize(
    ("system", "machine", "libc", "extra"),
    [
        ("linux", "x86_64", "glibc", "server"),
        ("linux", "aarch64", "glibc", "server"),
        ("linux", "x86_64", "", "llamacpp"),  # musl
        ("linux", "riscv64", "glibc", "llamacpp"),
        ("darwin", "arm64", "", "server"),
        ("darwin", "x86_64", "", "llamacpp"),
        ("win32", "AMD64", "", "server"),
    ],
)
def test_without_an_engine_one_command_for_this_machine_is_named(
    system: str, machine: str, libc: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, "2.36"))
    command = install_command(f"gemmahub[{extra}]")
    assert engine_command() == command
    with pytest.raises(BackendMissing) as caught:
        choose(PluginManager(), Artifact("gguf", Path("m.gguf")))
    assert command in caught.value.hint
    with pytest.raises(BackendMissing) as caught:
        choose(PluginManager(), Artifact("gguf", Path("m.gguf")), needs="dry_load")
    llamacpp = install_command("gemmahub[llamacpp]")
    assert f"{llamacpp} (it compiles llama.cpp once" in caught.value.hint
