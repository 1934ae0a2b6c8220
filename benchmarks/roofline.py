"""How well the roofline, fitted to one measured model, predicts the decode speed of others here.

Run: ``python -m benchmarks.roofline [FILE...] [--rounds 9]`` (minutes). The models are loaded
together and answer in turns, so that what else runs on the machine hits all of them; each one's
speed is the median of its ratios to the first one's. Besides the files that are named there are two
of the shapes of Gemma 3 270M and 1B, at several types, whose weights are all zero: a dense model
reads them like any others. Each model then predicts all others.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Settings
from gemmahub.formats.gguf_writer import GgufValue, write_gguf
from gemmahub.planning.predicting import predicted_speed
from gemmahub.recommend.speed import SeenSpeed
from gemmahub.service import Library
from gemmahub.service.benching.timing import timed

if TYPE_CHECKING:
    from gemmahub.registry.variants import Variant

WORDS: Final = 262_144
SHAPES: Final = {"270m": (640, 18, 2048), "1b": (1152, 26, 6912)}
"""Width, layers and width of the feed-forward part."""
MADE: Final = (("270m", "Q4_0"), ("1b", "Q4_0"), ("1b", "Q8_0"))
HEADS, HEAD = 4, 256
TOKENS: Final = 17


def write_zeros(path: Path, shape: str, type_: str) -> None:
    """A model of that shape and type whose weights are all zero; its file has holes for them."""
    width, layers, wide = SHAPES[shape]
    words = [f"<0x{n:02X}>" for n in range(256)]
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *words, *"abcdefghijklmnopqrstuvwxyz "]
    kinds = [3, 3, 3, 2, *[6] * 256, *[1] * 27]
    words += [f"<w{n}>" for n in range(WORDS - len(words))]
    kinds += [4] * (WORDS - len(kinds))
    sizes = {
        "context_length": 32_768,
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": wide,
        "attention.head_count": HEADS,
        "attention.head_count_kv": 1,
        "attention.key_length": HEAD,
        "attention.value_length": HEAD,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window": 512,
        "rope.freq_base": 1e6,
    }
    metadata: dict[str, Any] = {
        "general.architecture": "gemma3",
        "general.name": f"Zeros {shape} {type_}",
        **{f"gemma3.{key}": value for key, value in sizes.items()},
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": GgufValue("f32", [-float(n) for n in range(WORDS)]),
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
    }
    tensors: list[tuple[str, tuple[int, ...], str]] = [
        ("token_embd.weight", (width, WORDS), "Q8_0"),
        ("output_norm.weight", (width,), "F32"),
    ]
    matrices = {
        "attn_q": (width, HEADS * HEAD), "attn_k": (width, HEAD), "attn_v": (width, HEAD),
        "attn_output": (HEADS * HEAD, width), "ffn_gate": (width, wide), "ffn_up": (width, wide),
        "ffn_down": (wide, width),
    }  # fmt: skip
    norms = dict.fromkeys(("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"), width)
    norms |= {"attn_q_norm": HEAD, "attn_k_norm": HEAD}
    for layer in range(layers):
        tensors += [(f"blk.{layer}.{n}.weight", shape_, type_) for n, shape_ in matrices.items()]
        tensors += [(f"blk.{layer}.{n}.weight", (size,), "F32") for n, size in norms.items()]
    write_gguf(path, metadata, tensors)


def measured(library: Library, paths: list[Path], rounds: int) -> dict[str, float]:
    """Tokens a second of each file, in turns."""
    ratios: dict[str, list[float]] = {path.name: [] for path in paths}
    rates: list[float] = []
    with ExitStack() as sessions:
        loaded = [
            (path.name, sessions.enter_context(
                library.load(str(path), Settings(context=512), backend="llama.cpp", alone=False,
                             draft=False).session
            ))
            for path in paths
        ]  # fmt: skip
        for number in range(rounds + 1):
            found = {}
            for turn in range(len(loaded)):
                name, session = loaded[(turn + number) % len(loaded)]
                found[name] = timed(session, "a", TOKENS).decode or 0.0
            if number:  # the first round warms up
                rates.append(found[paths[0].name])
                for name, rate in found.items():
                    ratios[name].append(rate / found[paths[0].name])
    first = statistics.median(rates)
    return {name: first * statistics.median(each) for name, each in ratios.items()}


def main() -> None:
    """Measure, predict and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    library = Library()
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder, f"zeros-{shape}-{type_}.gguf") for shape, type_ in MADE]
        for path, (shape, type_) in zip(made, MADE, strict=True):
            write_zeros(path, shape, type_)
        paths = [path.resolve() for path in (*arguments.files, *made)]
        rates = measured(library, paths, arguments.rounds)
        machine = library.machine_for()
        variants: dict[str, Variant] = {p.name: library.registry.resolve(str(p)) for p in paths}
        catalog = library.registry.catalog
        print(f"{'measured':28} {'size':>8} {'tokens/s':>9}   error of what each other predicts")
        for name, variant in variants.items():
            errors = []
            for other, source in variants.items():
                seen = SeenSpeed(((0, rates[other]),))
                if other == name:
                    errors.append("     .")
                    continue
                found = predicted_speed(variant, catalog, machine, [(source, seen)], 0)
                error = None if found is None else found.likely / rates[name] - 1
                errors.append("  none" if error is None else f"{error:+6.1%}")
            size = (variant.size_bytes or 0) / 1e6
            print(f"{name:28} {size:6.0f}MB {rates[name]:9.1f}   {' '.join(errors)}")


if __name__ == "__main__":
    main()
