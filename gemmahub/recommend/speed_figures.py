"""What decides the speed of decoding besides the bytes that are read: fitted figures, each with the
measurements that it follows from.

A place reaches a share of its bandwidth, and a token costs a fixed time more: starting kernels,
small tensors, routing to experts, sampling. Both were fitted together to published speeds of Gemma
3 and 4 (``tests/recommend/published_speeds.toml``, one public source each: grade C) by
``benchmarks/speed_accuracy.py``, rounded, and compared with other models where that is said.
Memory's types and quantizations have no figures of their own: measurements of Q4_0 and Q4_K on one
device differ by less than those of two people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ModelKind = Literal["dense", "per-layer embeddings", "mixture"]

OVERHEAD: Final[dict[ModelKind, float]] = {
    "dense": 1.8e-3,
    "per-layer embeddings": 3.0e-3,
    "mixture": 4.0e-3,
}
"""Seconds a token by kind of model, on a CUDA card: fitted to the 18 published rows of GPUs. Llama
3 8B on an RTX 3090 and 4090 gives 2 to 3 ms for a dense one (8.7 and 7.7 ms a token with Q4_K_M,
21.1 and 18.2 with F16; XiongjieDai/GPU-Benchmarks-on-LLM-Inference, grade B)."""

HOP: Final = 0.2e-3
"""Seconds for each time that a token's state goes from one place to another. Llama 3 8B on 1, 2, 4
and 6 RTX 3090: 8.66, 8.95, 9.20 and 9.60 ms a token, so 0.18 to 0.29 for each card more; on RTX
4090 0.12 to 0.36 (XiongjieDai/GPU-Benchmarks-on-LLM-Inference, grade B). Between a GPU and the host
it is an ESTIMATE: with it Gemma 4 26B with its experts in system memory comes out at the 20
tokens/s of an RTX 4060 Laptop and the 12 to 15 of an RTX 3060 (grade C)."""


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """How a kind of memory is read: the likely share of its bandwidth, ``overhead`` as a multiple
    of ``OVERHEAD``, and the slowest and fastest speed as multiples of the likely one.

    ``evidence`` tells a person what the band rests on.
    """

    share: float
    overhead: float
    low: float
    high: float
    evidence: str


_SEVERAL: Final = (0.75, 1.34)
"""Published speeds of one machine and model differ by as much: an RTX 3090 was seen at 119 and 128
tokens/s with the 26B, and at 146 (insiderllm.com, smeltcore.com, ggml-org/llama.cpp#29152)."""
_FEW: Final = (0.65, 1.45)
_NONE: Final = (0.45, 1.6)

PLACES: Final[dict[str, PlaceFigures]] = {
    # 14 rows: GTX 1070 to RTX 5090, 4B to 31B. Llama 3 8B F16: 76 % (RTX 3090), 82 % (RTX 4090).
    "cuda": PlaceFigures(0.80, 1.0, *_SEVERAL, "as published speeds of such cards"),
    # DGX Spark: gpt-oss-20b at 79.7 tokens/s (jetsonhacks.com, llama.cpp b6767), Llama 2 7B F16 at
    # 11.5, which is 56 % (orionfold.com). Orin and Thor: nothing was found.
    "cuda unified": PlaceFigures(0.72, 1.0, *_FEW, "few speeds of such devices are published"),
    # RX 9070 XT, 26B Q4_0 132.7 tokens/s and Llama 3.1 8B 119.6, 86 % (maeddesg/vulkanforge); RX
    # 7900 XTX, Qwen 27B 34.6 with ROCm, 28.1 with Vulkan, 59 and 48 % (aguyintech.com).
    "rocm": PlaceFigures(0.72, 1.0, *_FEW, "few speeds of such cards are published"),
    # 3 rows, all of Strix Halo.
    "rocm unified": PlaceFigures(0.75, 1.0, *_SEVERAL, "as published speeds of a Strix Halo"),
    # Arc B580, Qwen 2.5 7B Q4_K_M 66.5 tokens/s, 64 % (intel/ipex-llm#12991); A770, Llama 3.1 8B
    # Q4_K_M 42 to 53, 35 to 44 % (ggml-org/llama.cpp#17628).
    "vulkan": PlaceFigures(0.55, 1.3, *_FEW, "few speeds of such cards are published"),
    "vulkan unified": PlaceFigures(0.55, 1.3, *_NONE, "no speeds of such devices are published"),
    # 2 rows (M3 Max, M5 Pro); Llama 3 8B Q4_K_M on M2 Ultra 78.8, M3 Max 50.7 tokens/s
    # (XiongjieDai); 27B on M1 Max: 58 % with IQ4_NL, 55 % with Q4_1 (ggml-org/llama.cpp#27525).
    "metal unified": PlaceFigures(0.78, 1.3, *_SEVERAL, "as published speeds of Macs"),
    # 3 rows that differ by three times; Gemma 3 270M on two cores 45 % (benchmarks/README.md).
    "cpu": PlaceFigures(
        0.55, 0.0, 0.52, 1.7, "published speeds of processors differ by three times"
    ),
}

UNKNOWN_PLACE: Final = PlaceFigures(0.5, 1.5, *_NONE, "no speeds of such devices are published")
"""Devices that only a plugin knows."""

SLOWEST_SWEEP: Final = 0.09
"""Seconds in which any discrete GPU reads the whole of its memory, at most: 24 GB at 300 GB/s (L4,
by its data sheet) take 80 ms, and no card in ``hardware/datasheet.toml`` takes longer."""

SLOWEST_SYSTEM: Final = 29 * 10**9
"""Bytes a second of system memory of which none are known. The low end of a processor's band is
what counts then, and with this figure it is the likely speed of the slowest memory: one channel of
DDR4-2133 has 17 GB/s, less what a copy loses 15, and so has a Raspberry Pi 5, which reads E2B at
6.7 tokens/s."""


@dataclass(frozen=True, slots=True)
class PromptFigures:
    """How a place reads prompts: the likely rate as a multiple of its published FP32 rate (above 1
    where matrix units help), the slowest and fastest as multiples of the likely one, and FP32
    operations for each byte a second of memory, for devices whose rate is not known."""

    share: float
    low: float
    high: float
    per_byte: float


PROMPTS: Final[dict[str, PromptFigures]] = {
    # Llama 3 8B Q4_K_M, 512 tokens: 1.66 (RTX 3070), 1.75 (3080), 1.58 (3090), 1.37 (4070 Ti),
    # 1.55 (4080), 1.21 (4090) (XiongjieDai, May 2024); Gemma 4 12B on RTX 3090 1.65
    # (multimodalflow.net).
    "cuda": PromptFigures(1.5, 0.55, 1.6, 35),
    # gpt-oss-20b on DGX Spark: 0.84 as a mixture (jetsonhacks.com), so 1.7 for a dense model.
    "cuda unified": PromptFigures(1.5, 0.5, 1.6, 26),
    # Llama 3.1 8B: RX 9070 XT 1.38 (maeddesg/vulkanforge); 7B on RX 6700 XT 1.0 with ROCm
    # (ggml-org/llama.cpp#5835).
    "rocm": PromptFigures(1.0, 0.5, 1.7, 50),
    # Gemma 3 12B on Strix Halo, Vulkan: 0.37 (kyuz0, amd-strix-halo-toolboxes).
    "rocm unified": PromptFigures(0.4, 0.55, 1.8, 90),
    # Qwen 2.5 7B on Arc B580 with SYCL: 2.2 (intel/ipex-llm#12991); Vulkan without matrix units 1.
    "vulkan": PromptFigures(1.4, 0.4, 1.7, 30),
    "vulkan unified": PromptFigures(0.5, 0.35, 1.8, 30),
    # Llama 3 8B: M1 Max 0.55, M2 Ultra 0.51, M3 Max 0.68 (XiongjieDai); Gemma 4 26B on M5 Pro 0.29
    # as a mixture (jalemieux.github.io/curunir-evals), so 0.6.
    "metal unified": PromptFigures(0.55, 0.6, 1.6, 30),
    # 7B on i9-13900K: 0.94 by its eight fast cores (ggml-org/llama.cpp#34); 16 cores of a Xeon W
    # 0.24 (XiongjieDai/GPU-Benchmarks-on-LLM-Inference#1).
    "cpu": PromptFigures(0.5, 0.4, 2.0, 16),
}

UNKNOWN_PROMPTS: Final = PromptFigures(0.5, 0.35, 2.0, 20)

MIXTURE_PROMPTS: Final = 0.5
"""The rate of a mixture as a share of that of a dense model: RX 9070 XT 0.43
(4,140 tokens/s with Gemma 4 26B Q4_0, 4,802 with Llama 3.1 8B; maeddesg/vulkanforge)."""

ATTENTION: Final = 0.5
"""The same for attention: Llama 3 8B Q4_0 on an RTX 3090 reads 1,448 to 1,697 tokens/s behind
32,768 others (ggml-org/llama.cpp#17505) and about 4,400 at the start, which gives 0.6; in 2024 it
was 0.25 (XiongjieDai)."""

COPY_RATE: Final = 8 * 10**9
"""Bytes a second at which weights in system memory are copied to an accelerator for each step of
the prompt. Gemma 4 26B with its experts in system memory read 200 to 320 tokens/s on an RTX 4060
Laptop (digg.com, analogalok), so 12.9 GB went over in 1.6 to 2.6 s: 5 to 8 GB/s, the GPU's own time
included; PCIe 4.0 with 16 lanes reaches 25."""
COPY_LOW: Final = 0.5
COPY_HIGH: Final = 2.5
