"""What teams of several sizes get from vLLM on several machines, computed.

Run: ``python -m benchmarks.scale``. Writes the section "Teams" of
``docs/guides/scale.md``; a test of plugins/vllm holds the document to it.
Nothing here is measured: memory is that of :mod:`gemmahub_vllm.memory`, speed follows from the
bytes that a step reads.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.tensors import tensors_by_layer
from gemmahub.hardware.described import described_machine, hosts_of
from gemmahub.recommend.speed_figures import HOP, OVERHEAD, PLACES
from gemmahub.service.cluster import WantedCluster, cluster_of
from gemmahub_vllm.memory import ServerRun, cluster_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.memory import MemoryArchitecture
    from gemmahub_vllm.memory import ClusterMemory

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "guides" / "scale.md"
BEGIN, END = "<!-- teams: python -m benchmarks.scale -->", "<!-- end of teams -->"
GIB: Final = 1 << 30

CONTEXT: Final = 16_384
"""Tokens that each conversation may have; a quarter of them is filled when speed is computed."""
FILLED: Final = CONTEXT // 4
BATCHED: Final = 2048
"""``max_num_batched_tokens``. With the 8,192 that vLLM takes on large GPUs a window counts as
17,000 tokens."""
ACTIVE: Final = 4
"""One of so many people waits for an answer at the same time."""
REDUCE: Final = 20e-6
"""Seconds for one sum over the GPUs of a machine, two a layer. An ESTIMATE: 10 to 20 microseconds
over NVLink, two to three times as much over PCIe."""
BAND: Final = (0.5, 1.3)

ROWS: Final = (
    (5, "gemma-3-12b-it", "l40s"),
    (5, "gemma-3-27b-it", "2x l40s"),
    (20, "gemma-3-27b-it", "4x l40s"),
    (20, "gemma-4-31b-it", "2x h100"),
    (100, "gemma-3-27b-it", "4x h100"),
    (100, "gemma-4-31b-it", "4x h100"),
    (400, "gemma-4-31b-it", "4x h100, 2 nodes"),
)

_NAMES: Final = {
    "token_embd": "embed_tokens", "per_layer_token_embd": "embed_tokens_per_layer",
    "per_layer_model_proj": "per_layer_model_projection", "output": "lm_head",
    "attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj",
    "ffn_gate": "gate_proj", "ffn_up": "up_proj", "ffn_down": "down_proj",
    "ffn_gate_up_exps": "experts", "ffn_down_exps": "experts", "ffn_gate_exps": "experts",
    "ffn_up_exps": "experts",
}  # fmt: skip
"""Names of matrices in GGUF files, and as checkpoints have them."""


@cache
def model(name: str) -> tuple[MemoryArchitecture, tuple[tuple[str, int], ...]]:
    """The text part of a model in 16 bits: its architecture, and names and bytes of its tensors."""
    found = load_catalog().model(name)
    assert found is not None
    types = next(v.types for v in found.variants if v.types is not None)
    tensors = tensors_by_layer(found.architecture, types)
    named = [(_renamed(t.name), 2 * t.parameters) for t in tensors.model]
    for number, layer in enumerate(tensors.layers):
        named += [(_renamed(t.name, number), 2 * t.parameters) for t in layer]
    return memory_architecture(found.architecture), tuple(named)


def _renamed(name: str, layer: int | None = None) -> str:
    short = name.removesuffix(".weight").rpartition(".")[2]
    known = _NAMES.get(short, f"{short}_norm")
    return f"model.{known}.weight" if layer is None else f"model.layers.{layer}.x.{known}.weight"


@dataclass(frozen=True, slots=True)
class Team:
    """A size of team with a model on machines, and the results. Speeds in tokens a second:
    of one answer while ``busy`` are written, and of all together."""

    people: int
    name: str
    machine: str
    memory: ClusterMemory
    busy: int
    one: float

    @property
    def fits(self) -> bool:
        """Whether all that wait have room with a full context."""
        return self.memory.sequences(CONTEXT) >= self.busy


def team(people: int, name: str, machine: str) -> Team:
    """What a team of so many gets."""
    architecture, tensors = model(name)
    cluster, _ = cluster_of(WantedCluster(), described_machine(machine))
    run = ServerRun(batched=BATCHED, sequences=256)
    memory = cluster_memory(architecture, tensors, cluster, run)
    busy = -(-people // ACTIVE)
    return Team(people, name, machine, memory, busy, 1 / _step(memory, architecture, machine, busy))


def _step(
    memory: ClusterMemory, architecture: MemoryArchitecture, machine: str, busy: int
) -> float:
    """Seconds of a step in which ``busy`` answers each get a token: every stage reads its weights
    and the caches, one after the other."""
    first = hosts_of(machine)[0].machine().devices[0].bandwidth.value or 0
    rate = first * PLACES["cuda"].share
    cache = memory.cache
    seconds = OVERHEAD["dense"] + (len(memory.stages) - 1) * HOP
    tp = len(memory.gpus) // len(memory.stages)
    for number in range(len(memory.stages)):
        gpu = memory.gpus[number * tp]
        read = sum(
            gpu.bytes_per_block * min(FILLED, kind.window or FILLED) / kind.block
            for kind, _ in cache.groups
        )
        seconds += (gpu.weights.bytes + busy * read) / rate
    if tp > 1:
        seconds += 2 * len(architecture.layers) * REDUCE
    return seconds


def section() -> Iterator[str]:
    """The lines of the section."""
    yield BEGIN
    yield ""
    yield (
        "| people | at once | model, 16 bits | machine | weights a GPU | cache a GPU | "
        f"conversations of {CONTEXT:,} | largest context | tokens/s, one of them | all of them |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in ROWS:
        found = team(*row)
        gpu = min(found.memory.gpus, key=lambda each: each.blocks)
        low, high = (found.one * factor for factor in BAND)
        trained = model(found.name)[0].context_length
        yield (
            f"| {found.people} | {found.busy} | {found.name} | {found.machine} | "
            f"{gpu.weights.bytes / GIB:.1f} GiB | {gpu.pool / GIB:.1f} GiB | "
            f"{found.memory.sequences(CONTEXT):.1f}{'' if found.fits else ' (too few)'} | "
            f"{found.memory.longest(trained):,} | {low:.0f} to {high:.0f} | "
            f"{low * found.busy:,.0f} to {high * found.busy:,.0f} |"
        )
    yield ""
    yield END


def written(document: str) -> str:
    """The document with this section in place of the one that it has."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + "\n".join(section()) + after


def main() -> int:
    """Write the document."""
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
