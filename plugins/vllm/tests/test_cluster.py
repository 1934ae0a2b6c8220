"""Plans and servers on several GPUs and machines, through the application."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.config import Config
from gemmahub.engines import asking
from gemmahub.errors import DoesNotFit, LoadFailed, UsageError
from gemmahub.hardware.described import described_machine
from gemmahub.service import Library, PlanOptions
from gemmahub.service.cluster import WantedCluster, cluster_of
from gemmahub.service.serving.cluster import cluster_models, cluster_settings
from gemmahub.service.serving.room import Wish
from plugins.vllm.tests.conftest import tiny

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "vllm")
    config = Config(cache=tmp_path / "cache", data=tmp_path / "data", stores=frozenset())
    return Library(config=config)


@pytest.fixture
def reference(tmp_path: Path) -> str:
    return str(tiny(tmp_path / "tiny"))


@pytest.mark.parametrize(
    ("text", "wanted", "gpus", "nodes", "names"),
    [
        ("2x l4", WantedCluster(), 2, 1, ["cuda:0", "cuda:1"]),
        ("4x l4", WantedCluster(gpus=2), 2, 1, ["cuda:0", "cuda:1"]),
        ("2x l4, 2 nodes", WantedCluster(), 2, 2,
         ["cuda:0", "cuda:1", "node-2/gpu:0", "node-2/gpu:1"]),
        ("2x l4; l40s", WantedCluster(nodes=2), 1, 2, ["cuda:0", "node-2/gpu:0"]),
        ("2x l4; l40s", WantedCluster(gpus=2, nodes=1), 2, 1, ["cuda:0", "cuda:1"]),
    ],
)  # fmt: skip
def test_which_gpus_are_meant(
    text: str, wanted: WantedCluster, gpus: int, nodes: int, names: list[str]
) -> None:
    cluster, memory = cluster_of(wanted, described_machine(text))
    assert (cluster.gpus, cluster.nodes) == (gpus, nodes)
    assert list(memory.names) == names
    assert len(cluster.memory) == gpus * nodes


@pytest.mark.parametrize(
    ("text", "wanted", "words"),
    [
        ("2x l4", WantedCluster(gpus=4), "there are 2"),
        ("2x l4", WantedCluster(nodes=2), "there are 2"),
        ("cpu-16gb", WantedCluster(gpus=1), "there are 0"),
        ("2x l4", WantedCluster(gpus=99), "--gpus 99"),
        ("2x l4", WantedCluster(address="head"), "not a cluster address"),
    ],
)
def test_what_is_not_there(text: str, wanted: WantedCluster, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cluster_of(wanted, described_machine(text))


def test_a_plan_needs_no_vllm(
    library: Library, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    options = PlanOptions(gpus=1, nodes=2, machine="2x l4, 2 nodes", context=4096, parallel=8)
    plan = library.plan(reference, options)
    assert plan.memory.fits
    assert [place.device for place in plan.memory.places] == ["cuda:0", "node-2/gpu:0", "cpu"]
    assert any("sequences of 512 at once" in note for note in plan.notes)
    assert any("planned for 2 machines" in note for note in plan.notes)


def test_a_model_that_cannot_be_divided_says_how_it_can(library: Library, reference: str) -> None:
    with pytest.raises(LoadFailed, match="between 4 GPUs") as caught:
        library.plan(reference, PlanOptions(gpus=4, machine="4x l4"))
    assert "1, 2" in caught.value.hint


def test_a_file_for_llama_cpp_is_not_divided(library: Library) -> None:
    from gemmahub.errors import BackendMissing

    with pytest.raises(BackendMissing, match="no engine here splits gguf"):
        library.plan("gemma-3-4b-it:q4_0-qat", PlanOptions(gpus=2, machine="2x l4"))


@pytest.mark.usefixtures("fake")
def test_a_cluster_serves(library: Library, reference: str) -> None:
    wanted = WantedCluster(1, 2, "ray://head:10001")
    found = cluster_models(library, [reference], Wish(512, 4), wanted, library.hardware())
    (offered,) = found.models
    settings = cluster_settings(found.plans[offered.name], offered)
    assert settings.cluster is not None
    assert (settings.parallel, settings.context, settings.cluster.memory) == (4, 2048, ())
    server = asking.serve(offered.offer, offered.artifact, settings, "key-of-a-test")
    try:
        assert server.info.context == 512
        assert server.info.device == "1 GPU in each of 2 machines"
    finally:
        server.close()


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("wanted", "references", "words"),
    [
        (WantedCluster(1, 2), 1, "need a Ray cluster"),
        (WantedCluster(1, 1, "ray://head:1"), 2, "only one model can be served"),
    ],
)
def test_what_cannot_be_served(
    library: Library, reference: str, wanted: WantedCluster, references: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        cluster_models(library, [reference] * references, Wish(), wanted, library.hardware())


@pytest.mark.usefixtures("fake")
def test_hosts_of_the_settings_are_planned_for(
    library: Library, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    here: Any = Library(config=replace(library.config, hosts=("a = l4", "b = l4")), say=said.append)
    wanted = WantedCluster(address="ray://a:10001")
    found = cluster_models(here, [reference], Wish(512), wanted, here.hardware())
    assert found.models[0].cluster is not None
    assert found.models[0].cluster.nodes == 2
    assert not any("unknown" in line for line in said)
    small: Any = Library(
        config=replace(library.config, hosts=("a = 1GiB", "b = 1GiB")), say=said.append
    )
    with pytest.raises(DoesNotFit):
        cluster_models(small, [reference], Wish(512), wanted, small.hardware())
