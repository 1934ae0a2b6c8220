from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, DeviceUse, Settings
from gemmahub.errors import LoadFailed
from gemmahub.formats.tensor import Tensor
from gemmahub.testing.decoder_writer import DECODERS, write_decoder
from gemmahub_llamacpp.dry_load import weights_by_device
from gemmahub_llamacpp.report import MIB, device_of, device_uses, read_report, snap

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_llamacpp.backend import LlamaCppBackend

# As a build with a GPU writes it: half of the layers, and the output, are there.
LOG = """\
load_tensors: layer   0 assigned to device CPU, is_swa = 1
load_tensors: layer   1 assigned to device CUDA0, is_swa = 0
load_tensors: layer   2 assigned to device CUDA0, is_swa = 0
load_tensors:        CUDA0 model buffer size =    70.00 MiB
load_tensors:   CPU_Mapped model buffer size =    30.00 MiB
load_tensors:    CUDA_Host model buffer size =     2.00 MiB
load_tensors:   CPU_REPACK model buffer size =    10.00 MiB
llama_context: flash_attn            = enabled
llama_context:  CUDA_Host  output buffer size =     1.00 MiB
llama_kv_cache_iswa: creating non-SWA KV cache, size = 8192 cells
llama_kv_cache: layer   0: filtered
llama_kv_cache: layer   1: dev = CUDA0
llama_kv_cache: size =   17.00 MiB (  8192 cells,   1 layers,  1/1 seqs), K (q8_0):    8.50 MiB, V (q8_0):    8.50 MiB
llama_kv_cache_iswa: creating     SWA KV cache, size = 1024 cells
llama_kv_cache: layer   0: dev = CPU
llama_kv_cache: size =    3.06 MiB (  1024 cells,   1 layers,  1/1 seqs), K (f16):    2.00 MiB, V (q8_0):    1.06 MiB
sched_reserve: reserving ...
sched_reserve:      CUDA0 compute buffer size =   900.00 MiB
sched_reserve: reserving ...
sched_reserve:      CUDA0 compute buffer size =    90.25 MiB
sched_reserve:  CUDA_Host compute buffer size =    10.50 MiB
""".splitlines()  # noqa: E501


def test_the_real_model_takes_what_a_real_load_takes(
    artifact: Artifact, backend: LlamaCppBackend
) -> None:
    wanted = Settings(context=32768, cache_type_k="q8_0", cache_type_v="q8_0", gpu_layers=0)
    found = backend.dry_load(artifact, wanted)
    assert found.weights_bytes == 246_587_904
    assert found.kv_cache_bytes == 61_833_216
    assert found.kv_cache_window_bytes == 15 * 1024 * 2 * 272
    assert abs(found.compute_bytes - 53_792_800) <= MIB // 200
    assert found.output_bytes == MIB
    assert (found.cells_global, found.cells_window) == (32768, 1024)
    with backend.load(artifact, Settings(context=1000, gpu_layers=0)) as session:
        asked = backend.dry_load(artifact, Settings(context=1000, gpu_layers=0))
        assert asked.settings == session.info.settings
        assert asked.context == session.info.context == 1024
    assert "dry_load" in backend.capabilities


def test_what_a_load_refuses_a_dry_load_refuses(
    artifact: Artifact, backend: LlamaCppBackend
) -> None:
    for settings in (Settings(context=2**31), Settings(ubatch=0), Settings(options={"x": 1})):
        with pytest.raises(LoadFailed):
            backend.dry_load(artifact, settings)


def test_an_encoder_has_no_cache(backend: LlamaCppBackend, tmp_path: Path) -> None:
    """Its log has no word of one; where it has, the size has to be there."""
    path = tmp_path / "embeddinggemma.gguf"
    write_decoder(path, DECODERS["embeddinggemma-300m"])
    found = backend.dry_load(Artifact("gguf", path, (path,)), Settings(context=2048, gpu_layers=0))
    assert (found.kv_cache_bytes, found.cells_global, found.cells_window) == (0, 0, 0)
    assert found.compute_bytes > 0
    with pytest.raises(LoadFailed, match="the size of its KV cache"):
        read_report([line.replace("llama_kv_cache: size", "kv_cache: sizes") for line in LOG])


def test_the_log_of_several_devices() -> None:
    report = read_report(LOG)
    assert report.flash_attention
    assert report.layers == {0: "CPU", 1: "CUDA0", 2: "CUDA0"}
    assert report.caches["global"].layers == {"CUDA0": 1}
    assert report.caches["global"].bytes == 17 * MIB
    assert report.caches["window"].layers == {"CPU": 1}
    assert report.caches["window"].bytes == 1024 * (2048 + 1088)  # printed as 1.06 MiB
    assert report.compute == {"CUDA0": 90.25 * MIB, "CPU": 10.5 * MIB}
    assert report.output == {"CPU": MIB}
    assert report.weights == {"CUDA0": 70 * MIB, "CPU": 32 * MIB}
    assert report.repack == {"CPU": 10 * MIB}
    cpu, gpu = sorted(device_uses(report, report.weights, report.output), key=lambda u: u.device)
    row = 1024 * (2048 + 1088)
    assert cpu == DeviceUse("CPU", 32 * MIB, row, int(10.5 * MIB), MIB, 10 * MIB)
    assert gpu == DeviceUse("CUDA0", 70 * MIB, 17 * MIB, int(90.25 * MIB), 0, 0)


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ("load_tensors: layer", "device of each layer"),
        ("flash_attn", "flash attention"),
        ("output buffer", "output buffer"),
        ("compute buffer", "compute buffers"),
        ("dev = CUDA0", "1 layers of its KV cache"),
        ("llama_kv_cache: size", "size of its KV cache"),
    ],
)
def test_a_line_that_is_missing_is_named(without: str, named: str) -> None:
    with pytest.raises(LoadFailed, match=f"did not report .*{named}") as caught:
        read_report(line for line in LOG if without not in line)
    assert caught.value.hint


def test_only_what_sees_both_ways_has_no_cache() -> None:
    lines = [line for line in LOG if "KV cache" not in line and "llama_kv_cache" not in line]
    with pytest.raises(LoadFailed, match="KV cache"):
        read_report(lines)
    assert read_report(["print_info: causal attn      = 0", *lines]).caches == {}


def test_buffers_of_the_host_are_the_cpu_s() -> None:
    names = ("CPU", "CPU_Mapped", "CPU_REPACK", "CUDA_Host", "CUDA0", "MTL0_Mapped")
    assert [device_of(name) for name in names] == ["CPU", "CPU", "CPU", "CPU", "CUDA0", "MTL0"]


def test_printed_sizes_become_bytes_only_where_they_fit() -> None:
    assert snap(round(3.98 * MIB), 4_177_920) == 4_177_920
    assert snap(round(3.98 * MIB), 4_000_000) == round(3.98 * MIB)
    assert snap(MIB, 0) == MIB


def test_weights_lie_where_their_layers_are() -> None:
    sizes = {
        "token_embd.weight": 1000,
        "per_layer_token_embd.weight": 100,
        "per_layer_model_proj.weight": 50,
        "blk.0.attn_q.weight": 10,
        "blk.1.attn_q.weight": 20,
        "output_norm.weight": 1,
    }
    tensors = [Tensor(name, "F16", (size // 2,), size // 2, size) for name, size in sizes.items()]
    layers = {0: "CPU", 1: "CUDA0", 2: "CUDA0"}
    tied = weights_by_device(tensors, layers)
    assert tied == {"CPU": 1160, "CUDA0": 1021}  # the embedding is the output, too
    untied = weights_by_device([*tensors, Tensor("output.weight", "F16", (1,), 1, 2)], layers)
    assert untied == {"CPU": 1160, "CUDA0": 23}
    assert weights_by_device(tensors, dict.fromkeys(layers, "CPU")) == {"CPU": 1181}
    with pytest.raises(LoadFailed, match="bytes of odd weights"):
        weights_by_device([Tensor("blk.0.x", "odd", (1,), 1, None)], layers)
