"""Dry loads through the worker process: what llama.cpp would allocate for files without weights."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.engines.asking import BackendCalls, dry_load
from gemmahub.engines.contract import Artifact, DeviceUse, Settings
from gemmahub.engines.manager import BackendOffer, load_plugins
from gemmahub.errors import BackendCrashed, BackendError, LoadFailed
from gemmahub.testing.gguf_writer import tensor_bytes, write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MIB = 2**20
ROUNDED = MIB // 200 + 1  # the log's two decimals of a MiB
QAT = StoredTypes(default="Q4_0", embedding="F16")


def header(folder: Path, size: str, **changes: Any) -> tuple[Artifact, int]:
    """A Gemma 3 file without weights, as Google's QAT files are, and the bytes of its weights."""
    a = next(
        m.architecture
        for m in load_catalog().models
        if (m.architecture.name, m.architecture.size) == ("gemma3", size)
    )
    values: dict[str, Any] = {
        "context_length": a.context_length,
        "embedding_length": a.embedding_length,
        "block_count": a.layers,
        "feed_forward_length": a.feed_forward_length[0],
        "attention.head_count": a.heads,
        "attention.head_count_kv": a.kv_heads(0),
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.key_length": a.head_dim_global,
        "attention.value_length": a.head_dim_global,
        "attention.sliding_window": a.sliding_window,
        "vocab_size": a.vocabulary,
    }
    metadata = {"general.architecture": a.name, "tokenizer.ggml.model": "no_vocab"}
    tensors = [(t.name, t.shape, t.type) for t in variant_tensors(a, QAT)]
    path = folder / f"{size}.gguf"
    write_gguf(
        path, metadata | {f"{a.name}.{k}": v for k, v in (values | changes).items()}, tensors
    )
    return Artifact("gguf", path, (path,), name=size), tensor_bytes(tensors)


@pytest.fixture(scope="module")
def offer() -> BackendOffer:
    return load_plugins(only=["llamacpp"]).backend("llama.cpp")


@pytest.fixture(scope="module")
def calls(offer: BackendOffer) -> Iterator[BackendCalls]:
    with BackendCalls(offer) as found:
        yield found


def on_cpu(**values: Any) -> Settings:
    return Settings(gpu_layers=0, **values)


@pytest.mark.parametrize(
    ("size", "cache", "kv_mib", "compute_mib"),
    [
        ("27b", "f16", 3184.0, 199.02),
        ("27b", "q8_0", 1691.5, 207.18),
        ("12b", "f16", 2528.0, 154.02),
        ("12b", "q8_0", 1343.0, None),
    ],
)
def test_the_figures_of_large_models(
    tmp_path: Path, calls: BackendCalls, size: str, cache: str, kv_mib: float, compute_mib: float
) -> None:
    artifact, weights = header(tmp_path, size)
    asked = on_cpu(context=32768, cache_type_k=cache, cache_type_v=cache)
    found = calls.dry_load(artifact, asked)
    assert found.kv_cache_bytes == kv_mib * MIB
    assert found.kv_cache_global_bytes + found.kv_cache_window_bytes == found.kv_cache_bytes
    assert (found.cells_global, found.cells_window, found.context) == (32768, 1536, 32768)
    assert compute_mib is None or abs(found.compute_bytes - compute_mib * MIB) < ROUNDED
    assert found.output_bytes == MIB  # one row of 262,144 logits
    assert found.weights_bytes == weights
    assert found.flash_attention
    assert (found.settings.context, found.settings.cache_type_k) == (32768, cache)
    assert found.settings.ubatch == 512
    assert found.engine.startswith("llama.cpp")
    assert found.devices == (
        DeviceUse("CPU", weights, found.kv_cache_bytes, found.compute_bytes, MIB),
    )


def test_settings_change_the_figures(tmp_path: Path, calls: BackendCalls) -> None:
    artifact, _ = header(tmp_path, "27b")
    without = calls.dry_load(artifact, on_cpu(context=32768, flash_attention=False))
    assert not without.flash_attention
    assert not without.settings.flash_attention
    assert abs(without.compute_bytes - 2178.52 * MIB) < 2 * ROUNDED
    full = calls.dry_load(artifact, on_cpu(context=32768, options={"swa_full": True}))
    assert full.kv_cache_bytes == 15872 * MIB
    padded = calls.dry_load(artifact, on_cpu(context=5000, ubatch=128))
    assert (padded.context, padded.cells_global, padded.cells_window) == (5120, 5120, 1280)
    assert padded.settings.ubatch == 128


def test_one_worker_answers_on_after_refusals(tmp_path: Path, offer: BackendOffer) -> None:
    artifact, _ = header(tmp_path, "27b")
    wrong, _ = header(tmp_path, "12b", embedding_length=4096)
    with BackendCalls(offer) as calls:
        assert calls.pid is None
        first = calls.dry_load(artifact, on_cpu(context=8192))
        pid = calls.pid
        with pytest.raises(LoadFailed, match=r"12b\.gguf.*wrong shape"):
            calls.dry_load(wrong, on_cpu())
        with pytest.raises(LoadFailed, match="2,147,483,648"):
            calls.dry_load(artifact, on_cpu(context=1 << 31))
        for _ in range(5):
            assert calls.dry_load(artifact, on_cpu(context=8192)) == first
        assert calls.pid == pid
    assert calls.pid is None


def test_files_that_are_not_models(tmp_path: Path, calls: BackendCalls) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"no model at all" * 100)
    with pytest.raises(LoadFailed, match=r"garbage\.gguf.*magic"):
        calls.dry_load(Artifact("gguf", garbage), on_cpu())
    with pytest.raises(LoadFailed, match="there is no file"):
        calls.dry_load(Artifact("gguf", tmp_path / "absent.gguf"), on_cpu())


def test_a_crash_is_one_failed_load_and_the_next_gets_a_new_process(
    tmp_path: Path, offer: BackendOffer
) -> None:
    artifact, _ = header(tmp_path, "12b")
    with BackendCalls(offer) as calls:
        before = calls.dry_load(artifact, on_cpu())
        pid = calls.pid
        assert pid is not None
        os.kill(pid, signal.SIGABRT)
        with pytest.raises(BackendCrashed, match="aborted"):
            calls.dry_load(artifact, on_cpu())
        assert calls.pid is None
        assert calls.dry_load(artifact, on_cpu()) == before
        calls.close()
        calls.close()


def test_one_load_alone(tmp_path: Path, offer: BackendOffer) -> None:
    artifact, weights = header(tmp_path, "12b")
    found = dry_load(offer, artifact, on_cpu(context=4096))
    assert (found.weights_bytes, found.kv_cache_bytes) == (weights, 736 * MIB)


def test_a_backend_without_dry_load_says_so(any_artifact: Artifact) -> None:
    from gemmahub_echo.backend import EchoBackend

    offer = BackendOffer("echo", "gemmahub-echo", EchoBackend())
    with pytest.raises(BackendError, match="echo has no dry_load") as caught:
        dry_load(offer, any_artifact, Settings())
    assert caught.value.hint
    with pytest.raises(BackendError, match="echo cannot report"):
        offer.backend.dry_load(any_artifact, Settings())
