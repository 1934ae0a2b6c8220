"""The plan of a bundle, and what the real engine takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub_litertlm import engine
from gemmahub_litertlm.backend import LitertLmBackend
from plugins.litertlm.tests import bundle_writer
from plugins.litertlm.tests.bundle_writer import (
    CONTEXT,
    F32,
    METADATA,
    PIECES,
    SENTENCEPIECE,
    STEP,
    TFLITE,
    WIDTH,
    bundle,
    language_model,
    metadata,
    sentencepiece,
    write_bundle,
)  # fmt: skip

MIB = 1 << 20


def planned(path: Path, **settings: object) -> tuple[int, int, int, int]:
    """Caches, weights in anonymous memory (those that are packed), buffers, logits."""
    dry = LitertLmBackend().dry_load(
        Artifact("litertlm", path, (path,)),
        Settings(**settings),  # type: ignore[arg-type]
    )
    assert dry.basis == "formula"
    (device,) = dry.devices
    packed = device.weights_bytes - LitertLmBackend().dry_load(
        Artifact("litertlm", path, (path,)), Settings(options={"device": "gpu"})
    ).weights_bytes  # fmt: skip
    return dry.kv_cache_bytes, packed, dry.compute_bytes, dry.output_bytes


def test_plan_is_what_the_bundle_says(tmp_path: Path) -> None:
    caches, repacked, compute, output = planned(write_bundle(tmp_path / "m.litertlm"))
    words = len(PIECES)
    assert caches == 2 * CONTEXT * 4 * 4
    assert repacked == words * WIDTH * 4
    assert output == words * 4
    assert compute == WIDTH * 4  # of the two tensors that decode computes, one is an output
    assert STEP == 8


def test_shorter_context_takes_no_less(tmp_path: Path) -> None:
    """Its caches were made when the model was exported."""
    path = write_bundle(tmp_path / "m.litertlm")
    assert planned(path, context=64) == planned(path)


@pytest.mark.skipif(not engine.availability().ok, reason="litert-lm-api is not installed")
@pytest.mark.parametrize(("layers", "width"), [(4, WIDTH), (1, 8192)])
def test_the_engine_grows_by_the_planned_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: int, width: int
) -> None:
    """64 MiB of caches, or 12 MiB of a matrix."""
    monkeypatch.setattr(bundle_writer, "WIDTH", width)
    model = language_model(len(PIECES), F32, layers, 8192, 256 if layers > 1 else 4)
    path = tmp_path / "m.litertlm"
    path.write_bytes(
        bundle([
            (METADATA, metadata(8192), {}), (SENTENCEPIECE, sentencepiece(), {}),
            (TFLITE, model, {"model_type": "tf_lite_prefill_decode"}),
        ])
    )  # fmt: skip
    expected = sum(planned(path))
    assert expected > 10 * MIB
    script = Path(__file__).with_name("load_alone.py")
    answer = subprocess.run(
        [sys.executable, str(script), str(path), "8192"],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert abs(int(answer.stdout) - expected) < 4 * MIB
