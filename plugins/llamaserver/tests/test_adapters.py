"""LoRA adapters: the real model answers otherwise with one, and what fits no model is refused."""

from __future__ import annotations

from random import Random
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Adapter, Settings
from gemmahub.errors import LoadFailed
from gemmahub.formats.gguf_writer import GgufValue, gguf_header
from plugins.llamaserver.tests.conftest import ask, programs

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact
    from gemmahub_llamaserver.backend import LlamaServerBackend

PROMPT = "The capital of France is"
WIDE, QUERY, RANK = 640, 1024, 4  # of Gemma 3 270M


def write_adapter(path: Path, *, width: int = WIDE, query: int = QUERY, **metadata: Any) -> Path:
    """Random changes of the query weights of the first layer."""
    stated = {
        "general.architecture": "gemma3",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": GgufValue("f32", 4.0),
    }
    name = "blk.0.attn_q.weight"
    tensors = [
        (f"{name}.lora_a", (width, RANK), "F32"),
        (f"{name}.lora_b", (RANK, query), "F32"),
    ]
    header, full = gguf_header(stated | metadata, tensors)
    count = (full - len(header)) // 4
    draw = Random(1)
    path.write_bytes(header + pack(f"<{count}f", *(draw.gauss(0, 0.5) for _ in range(count))))
    return path


def answer(
    backend: LlamaServerBackend, artifact: Artifact, *adapters: Adapter
) -> tuple[str, Settings]:
    with backend.load(artifact, Settings(context=256, adapters=adapters)) as session:
        return ask(session, PROMPT, max_tokens=12)[0], session.info.settings


def test_an_adapter_changes_answers_as_strongly_as_it_is_scaled(
    backend: LlamaServerBackend, artifact: Artifact, tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "lora.gguf")
    plain, _ = answer(backend, artifact)
    changed, settings = answer(backend, artifact, Adapter(path))
    assert changed != plain
    assert settings.adapters == (Adapter(path),)
    assert answer(backend, artifact, Adapter(path, 0.0))[0] == plain
    twice = (Adapter(path, 0.5), Adapter(path, 0.5))
    assert answer(backend, artifact, *twice)[0] == changed


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"general.type": "model"}, "is not a LoRA adapter"),
        ({"adapter.type": "control"}, "is not a LoRA adapter"),
        ({"general.architecture": "gemma2"}, "it is for gemma2, the model is gemma3"),
        ({"width": 768}, "blk.0.attn_q.weight has other sizes in the model"),
    ],
)
def test_what_is_not_an_adapter_of_the_model_is_refused_before_a_program_is_started(
    backend: LlamaServerBackend,
    artifact: Artifact,
    tmp_path: Path,
    metadata: dict[str, Any],
    said: str,
) -> None:
    path = write_adapter(tmp_path / "lora.gguf", **metadata)
    before = programs()
    with pytest.raises(LoadFailed, match=said):
        answer(backend, artifact, Adapter(path))
    assert programs() == before


def test_a_model_is_not_an_adapter(
    backend: LlamaServerBackend, artifact: Artifact, tiny: Artifact
) -> None:
    with pytest.raises(LoadFailed, match="is not a LoRA adapter"):
        answer(backend, artifact, Adapter(tiny.path))


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_not_a_number_is_refused(
    backend: LlamaServerBackend, artifact: Artifact, tmp_path: Path, scale: float
) -> None:
    with pytest.raises(LoadFailed, match="not a number"):
        answer(backend, artifact, Adapter(write_adapter(tmp_path / "lora.gguf"), scale))
