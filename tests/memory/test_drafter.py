"""What drafts tokens takes what llama-server 86a2835 said in its log that it took."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import FormatError, GemmahubError
from gemmahub.formats.detect import open_model
from gemmahub.memory import (
    EngineRules,
    MachineMemory,
    MemoryArchitecture,
    MemorySettings,
    from_gguf,
    known_build,
    plan_memory,
    unpack,
    weights_of,
)
from gemmahub.memory.drafter import check_drafter, drafter_model, is_head
from gemmahub.memory.machine import DeviceMemory
from gemmahub.registry.artifacts import read_summary
from plugins.llamaserver.tests.draft_models import write_gemma4, write_head

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.memory import MemoryPlan

BUILD = known_build("86a2835")
MIB = 2**20
GIB = 2**30


def planned(tmp_path: Path, settings: MemorySettings, *devices: DeviceMemory) -> MemoryPlan:
    assert BUILD is not None
    model = open_model(write_gemma4(tmp_path / "model.gguf"))
    architecture = from_gguf(model.metadata, model.tensors)
    assert isinstance(architecture, MemoryArchitecture)
    machine = MachineMemory(devices, 8 * GIB, 8 * GIB, EngineRules(BUILD))
    return plan_memory(architecture, weights_of(model.tensors), settings, machine)


def head(tmp_path: Path, **more: Any) -> MemorySettings:
    drafter = drafter_model(open_model(write_head(tmp_path / "mtp.gguf")))
    return replace(MemorySettings(8192, batch=512, drafter=drafter), **more)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"context": 1024}, 2.75),
        ({"context": 8192}, 9.75),
        ({"context": 8192, "ubatch": 128, "batch": 128, "parallel": 2, "outputs_max": 2}, 1.31),
        ({"context": 4096, "flash_attention": False}, 25.75),
        ({"context": 32768, "cache_type_k": "q8_0", "cache_type_v": "q8_0"}, 33.82),
    ],
)
def test_the_buffers_of_a_head_are_those_of_the_engine(
    tmp_path: Path, settings: dict[str, object], said: float
) -> None:
    chosen = head(tmp_path, **settings)
    assert chosen.drafter is not None
    assert BUILD is not None
    machine = MachineMemory((), 8 * GIB, 8 * GIB, EngineRules(BUILD))
    own = plan_memory(*chosen.drafter, replace(chosen, drafter=None), machine)
    assert own.kv_cache.bytes == 0  # it reads those of its model
    assert round(own.compute.compute_bytes / MIB, 2) == said
    assert own.compute.basis == "replay"


def test_a_drafter_is_counted_on_top_of_its_model(tmp_path: Path) -> None:
    settings = head(tmp_path)
    alone = planned(tmp_path, replace(settings, drafter=None))
    both = planned(tmp_path, settings)
    more = both.places[0].drafter_bytes
    assert both.total_bytes == alone.total_bytes + more
    assert both.headroom_bytes == alone.headroom_bytes - more
    # As in the log: 0.53 MiB of weights, 9.75 MiB to compute; and rows of the model's own output.
    assert more == pytest.approx(0.53 * MIB + 9.75 * MIB + 4 * 512 * 4 + 4 * 128 * 512, rel=0.002)
    assert both.as_json()["memory"]["drafter_bytes"] == more


def test_earlier_conversations_are_kept_once_for_both(tmp_path: Path) -> None:
    settings = head(tmp_path)
    model = open_model(write_gemma4(tmp_path / "model.gguf"))
    architecture, weights = drafter_model(model)

    def drafts(prompt_cache: int) -> int:
        assert BUILD is not None
        rules = EngineRules(BUILD, prompt_cache_bytes=prompt_cache)
        machine = MachineMemory((), 8 * GIB, 8 * GIB, rules)
        return plan_memory(architecture, weights, settings, machine).places[0].drafter_bytes

    assert drafts(GIB) == drafts(0)


def test_a_drafter_lies_where_its_model_lies(tmp_path: Path) -> None:
    gpu = DeviceMemory("cuda:0", "cuda", 8 * GIB, 8 * GIB)
    settings = head(tmp_path)
    on_gpu, host = planned(tmp_path, settings, gpu).places
    assert on_gpu.drafter_bytes > 9.75 * MIB > host.drafter_bytes > 0
    on_gpu, host = planned(tmp_path, replace(settings, gpu_layers=0), gpu).places
    assert on_gpu.drafter_bytes == 0
    assert host.drafter_bytes > 9.75 * MIB


def test_a_small_model_that_drafts_has_its_own_cache(tmp_path: Path) -> None:
    small = drafter_model(open_model(write_gemma4(tmp_path / "small.gguf")))
    plan = planned(tmp_path, replace(head(tmp_path), drafter=small))
    own = planned(tmp_path, replace(head(tmp_path), drafter=None))
    rows = 4 * 512 * 3  # of the model's own output, for the tokens that were drafted
    assert plan.places[0].drafter_bytes == own.total_bytes + rows


@pytest.mark.parametrize(
    ("width", "words", "why"),
    [(256, 512, "it is the draft head of another model"), (128, 640, "its vocabulary differs")],
)
def test_a_head_of_another_model_is_refused(
    tmp_path: Path, width: int, words: int, why: str
) -> None:
    model = open_model(write_gemma4(tmp_path / "model.gguf"))
    other = open_model(write_head(tmp_path / "mtp.gguf", words, width))
    assert is_head(other)
    with pytest.raises(FormatError, match=why):
        check_drafter(other, model)


def test_a_head_is_not_a_model_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(GemmahubError, match="it is a draft head, which cannot answer by itself"):
        unpack(read_summary(write_head(tmp_path / "mtp.gguf")).memory)


def test_a_file_whose_memory_is_not_known_says_so(tmp_path: Path) -> None:
    found = open_model(write_head(tmp_path / "odd.gguf"))
    key = "gemma4-assistant.embedding_length_out"
    metadata = {name: value for name, value in found.metadata.items() if name != key}
    with pytest.raises(GemmahubError, match=rf"odd\.gguf is unknown: {key} is missing"):
        drafter_model(replace(found, metadata=metadata))
