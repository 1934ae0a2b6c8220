"""What every kit stands on: settings of its own, a plugin's hooks, errors of ours only."""

from __future__ import annotations

import inspect
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import pytest

from gemmahub.engines.guarded_probe import probes_of
from gemmahub.engines.guarded_reader import readers_of
from gemmahub.engines.manager import PluginManager, load_plugins
from gemmahub.engines.process import start_python
from gemmahub.errors import GemmahubError
from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

_TO_FOLDERS = ("GEMMAHUB_CONFIG", "GEMMAHUB_CACHE", "GEMMAHUB_DATA")
_KITS = "gemmahub.testing.conformance"
ALLOWED: Final = frozenset({"click", "packaging", "platformdirs", "pluggy"})
"""What each start of gemmahub has loaded."""
_UNSET = ("GEMMAHUB_FOLDERS", "GEMMAHUB_STORES", "GEMMAHUB_PLUGINS", "GEMMAHUB_DEBUG")


class PluginConformance:
    """Set ``plugin``, the name of the entry point; None for what is of no plugin.

    The tests read none of the user's settings, and write nothing where the user's things are.
    Warnings that an engine gives of itself are shown and fail nothing.
    """

    plugin: ClassVar[str | None]
    pytestmark: ClassVar[Any] = [
        pytest.mark.filterwarnings(f"default::{kind}")
        for kind in (
            "DeprecationWarning",
            "PendingDeprecationWarning",
            "FutureWarning",
            "RuntimeWarning",
            "UserWarning",
        )
    ]

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        for kit in cls.__mro__[1:]:
            if kit.__module__.startswith(_KITS):
                _refuse_overrides(cls, kit)

    @pytest.fixture(autouse=True, scope="class")
    def _own_settings(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("gemmahub")
        with pytest.MonkeyPatch.context() as patch:
            for name in _TO_FOLDERS:
                patch.setenv(name, str(folder / name.lower()))
            for name in _UNSET:
                patch.delenv(name, raising=False)
            yield

    def clean_start(self, how: str = "") -> dict[str, Any]:
        """What the plugin does in a fresh interpreter."""
        plugin = self._plugin()
        module, name = "gemmahub.testing.clean_start", getattr(self, "backend_name", "")
        paths = os.pathsep.join(path for path in sys.path if path)
        with start_python(module, plugin, name, how, environment={"PYTHONPATH": paths}) as process:
            out, errors = process.communicate()
        assert process.returncode == 0, errors.decode(errors="replace")
        found: dict[str, Any] = json.loads(out)
        assert found["found"], f"no plugin {self.plugin!r} in the entry-point group gemmahub"
        assert not found["reason"], f"the plugin failed: {found['reason']}"
        return found

    def test_importing_the_plugin_loads_no_engine(self) -> None:
        """Every command imports the plugin's root and calls its hooks: import the engine later."""
        found = self.clean_start()
        surplus = set(found["imported_by_hooks"]) - ALLOWED
        assert not surplus, f"imported by the plugin's root or hooks: {sorted(surplus)}"

    def test_the_plugin_is_loaded(self) -> None:
        """Through its entry point, and nothing that its hooks return is refused."""
        manager = load_plugins(only=[self._plugin()])
        manager.backends(), manager.stores(), manager.sources(), manager.settings()
        readers_of(manager), probes_of(manager)
        states = {record.name: record.state for record in manager.records}
        assert states.get(self._plugin()) == "ok", failures(manager) or "it is not installed"

    def _plugin(self) -> str:
        if self.plugin is None:
            pytest.skip("it is of no plugin")
        return self.plugin

    def _offered(self, hook: str, what: str, check: Callable[[Any], T], name: str = "") -> T:
        """The one record with that name that the plugin's hook returns."""
        manager = load_plugins(only=[self._plugin()])
        found = [record for _, record in manager.named(hook, what, check)]
        reasons = failures(manager)
        named = [r for r in found if name in ("", getattr(r, "name", ""))]
        assert named, f"the plugin {self.plugin!r} offers no such {what} {reasons}"
        assert len(named) == 1, f"set {what}_name: the plugin offers several"
        assert not reasons, f"the plugin failed: {reasons}"
        return named[0]


def _refuse_overrides(cls: type, kit: type) -> None:
    """Raises: TypeError when ``cls`` changes a test of the ``kit`` without saying why, or what the
    tests are made of.
    """
    for name in dir(kit):
        own = name.startswith("_") and not name.startswith("__")
        if not name.startswith("test_") and not own:
            continue
        found = inspect.getattr_static(cls, name)
        if found is inspect.getattr_static(kit, name):
            continue
        marks = getattr(found, "pytestmark", [])
        if not any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks):
            raise TypeError(
                f"{cls.__name__} changes the conformance test {name}; correct the plugin instead, "
                'or say what does not work: @pytest.mark.xfail(reason="...")'
            )


def failures(manager: PluginManager) -> list[str]:
    """Why plugins, or parts of them, do not work."""
    return [f"{r.name}: {r.reason}" for r in manager.records if r.state == "failed"]


@contextmanager
def only_our_errors(what: str) -> Iterator[list[GemmahubError]]:
    """Let nothing but GemmahubErrors leave the block; the list holds the one that did."""
    caught: list[GemmahubError] = []
    try:
        yield caught
    except GemmahubError as error:
        caught.append(error)
    except Exception as error:  # noqa: BLE001 - that is what is tested
        pytest.fail(
            f"{what} raised {type(error).__name__}: {error}; raise gemmahub.errors.GemmahubError "
            "and its subclasses only"
        )
    for failure in caught:
        assert failure.message.strip(), f"{what}: the error says nothing"
        for text in (failure.message, failure.hint):
            assert text == strip_controls(text), f"{what}: control characters in {text!r}"


def tree_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything below a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)  # noqa: PTH118 - names as the system has them
            status = os.lstat(path)
            found[path] = (status.st_size, status.st_mtime_ns)
    return found
