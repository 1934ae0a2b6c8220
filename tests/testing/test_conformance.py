"""The conformance kit finds each defect that it is there for, and lets sound backends pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import BackendConformance

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Artifact

    Results = dict[tuple[str, str], str]  # (class, test) -> the worst that happened to it

sys.path.append(str(Path(__file__).parent))
from defective import DEFECTS as OF_ALL  # type: ignore[import-not-found]
from defective_offers import DEFECTS as OF_OFFERS  # type: ignore[import-not-found]

HERE = Path(__file__).parent
DEFECTS: dict[str, str] = OF_ALL | OF_OFFERS
SOUND = ("sound", "sound-server")
ALWAYS = {
    "test_context_is_as_asked",
    "test_devices",
    "test_served_models",
    "test_what_can_be_loaded_is_said",
}
BY_ROOT = {
    "RootImportsTheEngine": "test_importing_the_plugin_loads_no_engine",
    "AHookReturnsNonsense": "test_the_plugin_is_loaded",
}
NONSENSE = """
from defective import *

@hookimpl
def gemmahub_stores():
    return ["no store"]
"""

HEAD = """
from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance
from gemmahub.testing.gguf_writer import write_gguf

def make_artifact(self, folder):
    path = folder / "model.gguf"
    metadata = {"general.architecture": "gemma3", "general.file_type": 15}
    write_gguf(path, metadata, [("output.weight", (256, 256), "Q4_K")])
    return Artifact("gguf", path, (path,))
"""

CLASS = """
class Test{number}(BackendConformance):
    plugin, backend_name = "{plugin}", "{backend}"
    make_artifact = make_artifact
"""


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory,
    install: Callable[[Path, str, str], None],
    run_pytest: Callable[..., Results],
) -> Results:
    """One run: the sound backends through the whole kit, each other one through its test."""
    folder = tmp_path_factory.mktemp("kit")
    install(folder, "defective", "defective")
    install(folder, "offers", "defective_offers")
    install(folder, "heavy", "heavy_root")
    (folder / "heavy_root.py").write_text("import markupsafe\nfrom defective import *\n")
    install(folder, "nonsense", "nonsense_root")
    (folder / "nonsense_root.py").write_text(NONSENSE)
    roots = dict(zip(BY_ROOT, ("heavy", "nonsense"), strict=True))
    classes, nodes = [HEAD], []
    for name in (*SOUND, *DEFECTS, *BY_ROOT):
        number = name.replace("-", "_")
        plugin = roots.get(name) or ("offers" if name in OF_OFFERS else "defective")
        backend = "sound" if name in BY_ROOT else name
        classes.append(CLASS.format(number=number, plugin=plugin, backend=backend))
        test = (DEFECTS | BY_ROOT).get(name)
        nodes.append(f"test_kit.py::Test{number}" + (f"::{test}" if test else ""))
    (folder / "test_kit.py").write_text("".join(classes))
    return run_pytest(folder, *nodes, path=(HERE,))


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_backend_passes(name: str, results: Results) -> None:
    own = {t: state for (c, t), state in results.items() if c == f"Test{name.replace('-', '_')}"}
    skipped = {test for test, state in own.items() if state == "skipped"}
    assert [test for test, state in own.items() if state not in ("passed", "skipped")] == []
    optional = {test.partition("[")[0] for test in OF_OFFERS.values()} - ALWAYS
    worker = {"test_worker_gives_the_same_answer"} if name == "sound-server" else set()
    assert skipped == optional | worker
    assert set(own) == kit_tests()


@pytest.mark.parametrize("name", [*DEFECTS, *BY_ROOT])
def test_a_defect_is_found(name: str, results: Results) -> None:
    test = (DEFECTS | BY_ROOT)[name].partition("[")[0]
    assert results[f"Test{name}", test] == "failure"


def test_every_test_of_the_kit_finds_a_defect() -> None:
    found = {test.partition("[")[0] for test in DEFECTS.values()}
    assert kit_tests() == {*found, *BY_ROOT.values()}


def kit_tests() -> set[str]:
    return {name for name in dir(BackendConformance) if name.startswith("test_")}


# --- dishonest conformance -----------------------------------------------------------------------


def test_a_test_cannot_be_changed_or_left_out() -> None:
    with pytest.raises(TypeError, match="test_seed_repeats"):

        class Changed(BackendConformance):
            def test_seed_repeats(self, session: object) -> None:
                pass

    with pytest.raises(TypeError, match="test_seed_repeats"):

        class LeftOut(BackendConformance):
            test_seed_repeats = None  # type: ignore[assignment]

    class Mixin:
        def test_max_tokens(self) -> None:
            pass

    with pytest.raises(TypeError, match="test_max_tokens"):

        class Mixed(Mixin, BackendConformance):  # type: ignore[misc]
            pass

    with pytest.raises(TypeError, match="test_max_tokens"):

        class Skipped(BackendConformance):
            @pytest.mark.skip(reason="it fails")
            def test_max_tokens(self, session: object, most: int) -> None:
                pass

    with pytest.raises(TypeError, match="_in_time"):

        class Helper(BackendConformance):
            def _in_time(self, session: object, cancel: object) -> None:
                pass

    with pytest.raises(TypeError, match="test_max_tokens"):

        class NoReason(BackendConformance):
            @pytest.mark.xfail
            def test_max_tokens(self, session: object, most: int) -> None:
                pass


def test_a_test_may_be_marked_as_known_to_fail() -> None:
    class Honest(BackendConformance):
        plugin = "echo"

        @pytest.mark.xfail(reason="the engine has no seeds")
        def test_seed_repeats(self, session: object) -> None:
            raise NotImplementedError

        def make_artifact(self, folder: Path) -> Artifact:
            raise NotImplementedError

    assert Honest.plugin == "echo"
