"""The inventory of 1,000 models in four stores: first time, and with their headers remembered.

250 models each in a Hugging Face cache, an Ollama folder, LM Studio's folder and a folder of the
settings, every file with the header of Gemma 3 1B (340 tensors) and no weights. 25 of them lie in
all four stores, so 925 different models are listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.registry.artifacts import Inspector
from gemmahub.registry.registry import Registry
from gemmahub.stores.folder import FolderStore
from gemmahub.stores.hf_cache import HuggingFaceStore
from gemmahub.stores.identity import ContentSums
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub_lmstudio.store import LMStudioStore
from gemmahub_ollama.store import OllamaStore

if TYPE_CHECKING:
    from gemmahub.engines.contract import Store
    from gemmahub.registry.variants import Models

MODELS: Final = 250
SHARED: Final = 25
ROUNDS: Final = 9


def header(path: Path, seed: str) -> None:
    """A file with the tensors of a real variant, different for each ``seed``."""
    catalog = load_catalog()
    variant, model = catalog.variant("gemma-3-1b-it", "q4_0-qat"), catalog.model("gemma-3-1b-it")
    assert variant is not None
    assert variant.types is not None
    assert model is not None
    tensors = variant_tensors(model.architecture, variant.types)
    metadata = {
        "general.architecture": "gemma3",
        "general.name": f"Gemma 3 1B {seed}",
        "general.file_type": 2,
        "gemma3.block_count": model.architecture.layers,
        "gemma3.context_length": model.architecture.context_length,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [f"word{n}" for n in range(1000)],
    }
    write_gguf(path, metadata, [(t.name, t.shape, t.type) for t in tensors])


def digest_of(name: str) -> str:
    """A stand-in for the sha256: the files are sparse and long, and nobody reads them whole."""
    return hashlib.sha256(name.encode()).hexdigest()


def write_stores(root: Path) -> tuple[Store, ...]:
    """The four stores, as the tools lay them out."""
    hub, ollama = root / "hub", root / "ollama"
    studio, mine = root / "studio", root / "mine"
    mine.mkdir(parents=True)
    (ollama / "blobs").mkdir(parents=True)
    for number in range(MODELS):
        names = {s: f"{'all' if number < SHARED else s}-{number}" for s in ("h", "o", "l", "m")}
        first = names["h"]
        sha256 = digest_of(first)
        repository = hub / f"models--user--gemma-{number}"
        snapshot = repository / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (repository / "blobs").mkdir()
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("a" * 40)
        header(repository / "blobs" / sha256, first)
        (snapshot / "gemma-q4_0.gguf").symlink_to(f"../../blobs/{sha256}")
        for name in ("README.md", "config.json", ".gitattributes"):
            (repository / "blobs" / f"{number:040}{name[0]}").touch()
            (snapshot / name).symlink_to(f"../../blobs/{number:040}{name[0]}")
        tag = ollama / "manifests" / "registry.ollama.ai" / "library" / f"gemma{number}" / "1b"
        tag.parent.mkdir(parents=True)
        blob = ollama / "blobs" / f"sha256-{digest_of(names['o'])}"
        header(blob, names["o"])
        layer = {
            "mediaType": "application/vnd.ollama.image.model",
            "digest": f"sha256:{digest_of(names['o'])}",
            "size": blob.stat().st_size,
        }
        tag.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
        place = studio / "user" / f"gemma-{number}" / "gemma-q4_0.gguf"
        place.parent.mkdir(parents=True)
        for path, name in ((place, names["l"]), (mine / f"gemma-{number}.gguf", names["m"])):
            if number < SHARED:
                os.link(repository / "blobs" / sha256, path)
            else:
                header(path, name)
    return HuggingFaceStore(hub), OllamaStore(ollama), LMStudioStore(studio), FolderStore(mine)


def installed(stores: tuple[Store, ...], cache: Path) -> tuple[float, Models]:
    """Seconds that an inventory takes, with what it found; a new registry each time."""
    started = perf_counter()
    database = cache / "summaries.sqlite"
    registry = Registry(
        CATALOG,
        lambda: [store.inventory() for store in stores],
        Inspector(database),
        ContentSums(database),
    )
    found = registry.installed()
    return perf_counter() - started, found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        root, cache = Path(name), Path(name, "cache")
        stores = write_stores(root)
        scans = []
        for _ in range(ROUNDS):
            started = perf_counter()
            for store in stores:
                store.inventory()
            scans.append(perf_counter() - started)
        firsts, again = [], []
        for _ in range(ROUNDS):
            shutil.rmtree(cache, ignore_errors=True)
            seconds, found = installed(stores, cache)
            firsts.append(seconds)
            seconds, found = installed(stores, cache)
            again.append(seconds)
    places = sum(len(variant.artifacts) for variant in found.variants)
    print(f"stores alone       {statistics.median(scans):.3f} s")
    print(f"first inventory    {statistics.median(firsts):.3f} s   ({max(firsts):.3f} at most)")
    print(f"remembered         {statistics.median(again):.3f} s   ({max(again):.3f} at most)")
    print(f"found              {len(found.variants)} models in {places} places")


CATALOG: Final = load_catalog()

if __name__ == "__main__":
    main()
