"""What the log says: buffers by device, and why a server ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmahub.engines.contract import DeviceUse
from gemmahub_llamaserver.report import is_kept, read_devices, read_memory, read_reason

MIB = 2**20
TWO_GPUS = """\
0.00.100.000 I llama_prepare_model_devices: using device CUDA0 (NVIDIA RTX 3090) - 23000 MiB free
0.00.100.000 I llama_prepare_model_devices: using device CUDA1 (NVIDIA RTX A2000) - 11000 MiB free
0.00.482.051 I load_tensors:   CPU_Mapped model buffer size =    10.00 MiB
0.00.482.051 I load_tensors:        CUDA0 model buffer size =   200.00 MiB
0.00.482.051 I load_tensors:        CUDA1 model buffer size =   100.00 MiB
0.00.482.087 I load_tensors:   CPU_REPACK model buffer size =     2.50 MiB
0.00.501.423 I llama_context:  CUDA_Host  output buffer size =     1.00 MiB
0.00.501.553 I llama_kv_cache:      CUDA0 KV buffer size =    12.00 MiB
0.00.501.553 I llama_kv_cache:      CUDA1 KV buffer size =     6.00 MiB
0.00.501.553 I llama_kv_cache:      CUDA0 KV buffer size =    15.00 MiB
0.00.513.274 I sched_reserve:      CUDA0 compute buffer size =    23.28 MiB
0.00.513.274 I sched_reserve:  CUDA_Host compute buffer size =     1.50 MiB
0.00.128.661 I clip_ctx: CLIP using CUDA0 backend
0.00.129.289 I load_hparams: model size:         8.00 MiB
0.00.129.289 I alloc_compute_meta:      CUDA0 compute buffer size =     4.00 MiB
""".splitlines()


def test_buffers_are_told_by_device() -> None:
    found = {use.device: use for use in read_memory(TWO_GPUS) or ()}
    assert found == {
        "CPU": DeviceUse(
            "CPU", weights_bytes=10 * MIB, compute_bytes=MIB * 3 // 2, output_bytes=MIB,
            repack_bytes=MIB * 5 // 2,
        ),
        "CUDA0": DeviceUse(
            "CUDA0", weights_bytes=200 * MIB, kv_cache_bytes=27 * MIB,
            compute_bytes=round(23.28 * MIB), projector_bytes=12 * MIB,
        ),
        "CUDA1": DeviceUse("CUDA1", weights_bytes=100 * MIB, kv_cache_bytes=6 * MIB),
    }  # fmt: skip
    assert read_devices(TWO_GPUS) == ["CUDA0 (NVIDIA RTX 3090)", "CUDA1 (NVIDIA RTX A2000)"]


def test_what_drafts_is_distinguished_from_its_model() -> None:
    log = """\
0.00.333.388 I common_speculative_init_result: loading draft model '/models/mtp-model.gguf'
0.00.345.538 I load_tensors: CPU_Mapped model buffer size = 5.00 MiB
0.00.345.711 I llama_context: CPU output buffer size = 1.00 MiB
0.00.352.994 I sched_reserve: CUDA0 compute buffer size = 2.75 MiB
0.00.354.365 I spec common_specu: adding speculative implementation 'draft-mtp'
0.00.358.169 I sched_reserve: CUDA0 compute buffer size = 2.75 MiB
""".splitlines()
    alone = {use.device: use for use in read_memory(TWO_GPUS) or ()}
    both = {use.device: use for use in read_memory([*TWO_GPUS, *log]) or ()}
    alone["CPU"] = replace(alone["CPU"], drafter_bytes=6 * MIB)
    alone["CUDA0"] = replace(alone["CUDA0"], drafter_bytes=round(2.75 * MIB))
    assert both == alone


def test_a_log_that_words_it_differently_says_nothing() -> None:
    assert read_memory(["weights: 5 MiB", "0.1 I all is well"]) is None


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("0.00.189.412 E gguf_init_from_file: failed to open GGUF file 'x' (No such file)",
         "failed to open GGUF file 'x' (No such file)"),
        ("0.00.112.409 E llama_model_load: error loading model: unknown model architecture: 'g'",
         "unknown model architecture: 'g'"),
        ("0.00.096.199 E mtmd_init_from_file: error: mismatch between text model and mmproj",
         "mismatch between text model and mmproj"),
        ("0.00.099.836 E srv    load_model: failed to load model, 'short.gguf'",
         "failed to load model, 'short.gguf'"),
        ("error: invalid argument: --foo", "invalid argument: --foo"),
        ('error while handling argument "-dev": invalid device: X',
         'error while handling argument "-dev": invalid device: X'),
        ("0.00.112.409 I all is well\nlast words", ""),
    ],
)  # fmt: skip
def test_the_first_error_is_the_reason(lines: str, reason: str) -> None:
    assert read_reason([*lines.splitlines(), "0.00.999.999 E srv  end: of it"]) == (
        reason or "of it"
    )


def test_the_header_and_requests_are_left_out_of_the_log() -> None:
    kept = [line for line in TWO_GPUS if is_kept(line)]
    assert kept == TWO_GPUS
    for line in (
        "0.00.122.098 I llama_model_loader: - kv   0: general.architecture str = gemma3",
        "0.00.123.156 I print_info: n_vocab               = 370",
        "0.02.226.417 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0",
    ):
        assert not is_kept(line)
