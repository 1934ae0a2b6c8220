"""Workers on other machines: found, planned for, handed to the program; and what goes wrong.

The program is the one of the tests, which says of workers what llama-server says. With the real one
and two workers of llama.cpp 0.5.0 the weights and caches of a plan were those of the load.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import LoadFailed, UsageError
from gemmahub.service import Library, PlanOptions, Requirements
from gemmahub.service.remote_workers import read_workers
from gemmahub_llamaserver.arguments import Beside, words
from gemmahub_llamaserver.backend import LlamaServerBackend
from gemmahub_llamaserver.build import read_devices
from gemmahub_llamaserver.programs import find_build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB = 1 << 20
BASE = "gemma-3-270m:q4_k_m"


@pytest.fixture
def workers() -> Iterator[tuple[str, str]]:
    """Two addresses where something listens."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        yield f"127.0.0.1:{one.getsockname()[1]}", f"localhost:{two.getsockname()[1]}"


def test_their_devices_are_those_that_the_program_says(
    program: Callable[..., Path], workers: tuple[str, str]
) -> None:
    program()
    found = LlamaServerBackend().remote_devices(workers)
    assert [(d.name, d.api, d.description) for d in found] == [
        ("RPC0", "rpc", workers[0]), ("RPC1", "rpc", workers[1])
    ]  # fmt: skip
    assert [(d.total_bytes, d.free_bytes) for d in found] == [
        (8192 * MIB, 8000 * MIB), (8192 * MIB, 7999 * MIB)
    ]  # fmt: skip


def test_one_that_does_not_answer_is_named_before_anything_is_started(
    program: Callable[..., Path], workers: tuple[str, str], artifact: Artifact
) -> None:
    program()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        there = f"127.0.0.1:{gone.getsockname()[1]}"
    for wrong in (there, "no.such.host.invalid:1", "nonsense"):
        given = (workers[0], wrong)
        with pytest.raises(LoadFailed, match=f"no worker answers at {wrong}") as caught:
            LlamaServerBackend().remote_devices(given)
        assert "ggml-rpc-server" in caught.value.hint
        with pytest.raises(LoadFailed, match="no worker answers"):
            LlamaServerBackend().load(artifact, Settings(context=64, remote_workers=given))


@pytest.mark.parametrize(
    ("mode", "said", "hint"),
    [
        ("no workers", "was built without RPC", "that of a llama.cpp release"),
        ("no handshake", "cannot use 127.0.0.1:", "of the same release of llama.cpp"),
    ],
)
def test_a_program_that_cannot_use_them_says_so(
    mode: str, said: str, hint: str, program: Callable[..., Path], workers: tuple[str, str]
) -> None:
    program(mode)
    with pytest.raises(LoadFailed, match=said) as caught:
        LlamaServerBackend().remote_devices(workers[:1])
    assert hint in caught.value.hint


def test_they_are_named_before_the_devices(
    program: Callable[..., Path], workers: tuple[str, str], tmp_path: Path
) -> None:
    program()
    options = {option.name: option.default for option in LlamaServerBackend.options}
    wanted = Settings(
        context=64, threads=1, gpu_layers=99, remote_workers=workers,
        options=options | {"devices": "rpc:1,cuda:0"},
    )  # fmt: skip
    build = find_build()
    found = words(build, tmp_path / "m.gguf", wanted, read_devices(build, workers), Beside())
    assert found[found.index("--rpc") + 1] == ",".join(workers)
    assert found[found.index("--device") + 1] == "RPC1,CUDA0"
    assert found.index("--rpc") < found.index("--device")


def test_a_plan_and_a_recommendation_show_the_placement(
    program: Callable[..., Path], workers: tuple[str, str]
) -> None:
    program()
    said: list[str] = []
    library = Library(say=said.append, workers=workers)
    places = library.plan(BASE).as_json()["memory"]["devices"]
    assert [place["device"] for place in places][:2] == ["rpc:0", "rpc:1"]
    assert [place["free_bytes"] for place in places][:2] == [8000 * MIB, 7999 * MIB]
    assert all(place["total_bytes"] > 0 for place in places)
    assert f"rpc:1 is {workers[1]}, 7.81 GiB free" in said
    assert len(said) == 2
    (first,) = library.recommend(Requirements(installed=True, limit=1))
    assert first.command.endswith(f"--rpc {workers[0]},{workers[1]}")


def test_what_does_not_go_together_is_refused(
    program: Callable[..., Path], workers: tuple[str, str]
) -> None:
    program()
    library = Library(workers=workers)
    with pytest.raises(UsageError, match="another machine was given"):
        library.plan(BASE, PlanOptions(memory="24GiB"))
    with pytest.raises(UsageError, match="another machine was given"):
        library.machine_for("rtx-3090")
    with pytest.raises(UsageError, match="cannot include workers"):
        library.plan(BASE, PlanOptions(exact=True))


def test_a_list_of_workers() -> None:
    assert read_workers("a.local:1, 10.0.0.2:50052,a.local:1,") == ("a.local:1", "10.0.0.2:50052")


@pytest.mark.parametrize(
    "text",
    ["", ",", "a", "a:", ":1", "a:0", "a:65536", "a:b", "-x:1", "a b:1", "a:1;b", "[::1]:1",
     "\x1b[2J:1", "a:1,--model:5", "é:1", ",".join(f"a:{n}" for n in range(1, 66))],
)  # fmt: skip
def test_what_is_not_a_list_of_workers(text: str) -> None:
    with pytest.raises(UsageError):
        read_workers(text)


def test_a_build_whose_commit_is_not_known_is_used(
    program: Callable[..., Path], cache: Path
) -> None:
    """As one from an archive of the source says of itself."""
    program("unknown commit")
    found = find_build()
    assert (found.commit, found.number) == ("unknown", 0)
