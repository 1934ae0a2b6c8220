from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Sampling, Session, Settings
from gemmahub.errors import GenerationFailed, LoadFailed
from gemmahub.hardware.cpu import compute_threads
from gemmahub_llamacpp.report import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_llamacpp.backend import LlamaCppBackend
    from gemmahub_llamacpp.session import LlamaCppSession


def gguf(path: Path) -> Artifact:
    return Artifact("gguf", path, (path,))


def test_info_says_what_was_chosen(shared_session: LlamaCppSession) -> None:
    info = shared_session.info
    assert isinstance(shared_session, Session)
    assert info.engine.startswith("llama.cpp (llama-cpp-python 0.")
    assert (info.context, info.context_trained) == (2048, 32768)
    assert not info.chat_template
    assert info.settings.threads == compute_threads()
    assert info.settings.ubatch == 512
    assert info.device


def test_the_engine_got_the_settings(
    artifact: Artifact, backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub_llamacpp.context import Context

    seen: list[Any] = []
    original = Context._params
    monkeypatch.setattr(
        Context, "_params", lambda self, wanted: seen.append(original(self, wanted)) or seen[0]
    )
    wanted = Settings(cache_type_k="q8_0", cache_type_v="q4_0", ubatch=64, threads=1)
    with backend.load(artifact, wanted) as session:
        assert session.info.context == 8192  # the default, below what the model was trained for
        assert session.info.device == "CPU, 1 thread" or session.info.settings.gpu_layers
        chunks = list(session.generate("The sky is", Sampling(max_tokens=2, temperature=0)))
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.tokens == 2
    params = seen[0]
    assert (params.swa_full, params.flash_attn_type, params.n_outputs_max) == (False, 1, 1)
    assert (params.type_k, params.type_v) == (8, 2)
    assert (params.n_ubatch, params.n_threads, params.n_threads_batch) == (64, 1, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(context=0), "context"),
        (Settings(context=-5), "context"),
        (Settings(threads=0), "threads"),
        (Settings(ubatch=0), "ubatch"),
        (Settings(parallel=2), "one answer at a time"),
        (Settings(cache_type_k="q3_k"), "cache_type_k"),
        (Settings(cache_type_v="q8_0", flash_attention=False), "flash attention"),
        (Settings(options={"mmap": "yes"}), "mmap"),
        (Settings(options={"numa": True}), "numa"),
        (Settings(context=2**31), "context cannot be 2,147,483,648"),
        (Settings(context=2**24 + 1), "16,777,217"),
        (Settings(ubatch=2**31), "ubatch"),
        (Settings(options={"outputs_max": -1}), "outputs_max"),
        (Settings(options={"outputs_max": True}), "outputs_max"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    artifact: Artifact, backend: LlamaCppBackend, settings: Settings, message: str
) -> None:
    with pytest.raises(LoadFailed, match=message) as caught:
        backend.load(artifact, settings)
    assert caught.value.hint


def test_more_context_than_the_model_was_trained_for(
    artifact: Artifact, backend: LlamaCppBackend
) -> None:
    with backend.load(artifact, Settings(context=32769, cache_type_k="q8_0")) as session:
        assert (session.info.context, session.info.context_trained) == (33024, 32768)
        chunks = list(session.generate("The sky is", Sampling(max_tokens=2, temperature=0)))
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.tokens == 2


@pytest.mark.parametrize("mmap", [True, False])
def test_info_says_what_was_allocated(
    artifact: Artifact, backend: LlamaCppBackend, mmap: bool
) -> None:
    wanted = Settings(context=4096, cache_type_k="q8_0", gpu_layers=0, options={"mmap": mmap})
    dry = backend.dry_load(artifact, wanted)
    with backend.load(artifact, wanted) as session:
        assert session.info.memory is not None
        (found,) = session.info.memory
    assert found.device == "CPU"
    assert (found.kv_cache_bytes, found.output_bytes) == (dry.kv_cache_bytes, dry.output_bytes)
    assert found.compute_bytes == dry.compute_bytes
    # Mapped, what is laid out anew is there twice; else only in the other order.
    twice = found.repack_bytes if mmap else 0
    together = found.weights_bytes + found.repack_bytes
    assert together == pytest.approx(dry.weights_bytes + twice, abs=2 * MIB // 100)


def test_an_engine_that_words_it_differently_still_runs(
    artifact: Artifact, backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub_llamacpp.report._FLASH", re.compile("nothing says this"))
    with backend.load(artifact, Settings(context=256)) as session:
        assert session.info.memory is None
        assert list(session.generate("one two", Sampling(max_tokens=1)))


def test_gpu_layers_without_a_gpu_are_refused(
    artifact: Artifact, backend: LlamaCppBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub_llamacpp.devices.gpus", lambda wanted, main: [])
    with pytest.raises(LoadFailed, match="finds no GPU"):
        backend.load(artifact, Settings(gpu_layers=3))


def test_files_that_are_not_models(
    tmp_path: Path, backend: LlamaCppBackend, model_path: Path
) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"no model at all" * 100)
    with pytest.raises(LoadFailed, match=r"garbage\.gguf.*magic"):
        backend.load(gguf(garbage), Settings())
    cut = tmp_path / "cut.gguf"
    with model_path.open("rb") as whole:
        cut.write_bytes(whole.read(9_000_000))
    with pytest.raises(LoadFailed, match=r"cut\.gguf"):
        backend.load(gguf(cut), Settings())
    with pytest.raises(LoadFailed, match="there is no file"):
        backend.load(gguf(tmp_path / "absent.gguf"), Settings())


def test_a_blob_that_is_not_a_model_is_called_as_its_store_does(
    tmp_path: Path, backend: LlamaCppBackend
) -> None:
    blob = tmp_path / ("sha256-" + "ab" * 32)
    blob.write_bytes(b"no model at all" * 100)
    tag = Artifact("gguf", blob, (blob,), reference="ollama://gemma3:4b")
    for ask in (backend.load, backend.dry_load):
        with pytest.raises(LoadFailed, match="cannot load ollama://gemma3:4b: ") as refused:
            ask(tag, Settings())
        assert "sha256" not in refused.value.message


def test_progress_grows_to_one_and_an_exception_in_it_ends_the_loading(
    artifact: Artifact, backend: LlamaCppBackend
) -> None:
    seen: list[float] = []
    backend.load(artifact, Settings(context=256), seen.append).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def interrupt(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend.load(artifact, Settings(context=256), interrupt)


def test_closing_twice_is_fine_and_nothing_works_afterwards(
    artifact: Artifact, backend: LlamaCppBackend
) -> None:
    session = backend.load(artifact, Settings(context=256, options={"mmap": False}))
    running = session.generate("one two three", Sampling(temperature=0))
    next(running)
    session.close()
    session.close()
    with pytest.raises(GenerationFailed, match="closed"):
        next(running)
    with pytest.raises(GenerationFailed, match="closed"):
        session.generate("one", Sampling())
    session.cancel()
