"""The engines that are here on one model: load, prefill, decode, memory, and what the plan said.

All run the real Gemma 3 270M through gemmahub. llama.cpp and Ollama read the same Q4_K_M file; MLX
reads a bfloat16 copy of its weights (``mlx_copy.py``), because MLX multiplies quantised matrices
slowly on a CPU. Engines take turns; a figure is the median of the rounds. Ollama is run where
``GEMMAHUB_TEST_OLLAMA`` or the PATH has it, as a server with a store of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Sampling, Settings
from gemmahub.engines.resident import resident_memory
from gemmahub.errors import GemmahubError
from gemmahub.service import Library, PlanOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Usage
    from gemmahub.service.running import Running

MODEL: Final = "gemma-3-270m:q4_k_m"
SHORT: Final = "The capital of France is"
LONG: Final = "In the beginning there was a small village near the sea, and people lived there. "
SENTENCES: Final = 12
DECODED: Final = 16
CONTEXT: Final = 2048
MIB: Final = 1 << 20


@dataclass
class Engine:
    """A backend, the reference that it is given, and what was measured of it."""

    backend: str
    reference: str
    server: int | None = None
    name: str = ""
    precision: str = ""
    load: list[float] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    resident: int = 0
    prompt: int = 0

    def measure(self, number: int) -> None:
        """One round: a load, a long prompt, a short one with an answer."""
        started = perf_counter()
        running = Library().load(
            self.reference, Settings(context=CONTEXT, gpu_layers=0), backend=self.backend
        )
        with running.session:
            self.load.append(perf_counter() - started)
            self.name = running.session.info.engine
            self.precision = running.variant.precision.summary
            usage = ask(running, f"{number}. {LONG * SENTENCES}", 1)
            assert usage.prefill_tokens
            assert usage.prefill_seconds
            self.prompt = usage.prefill_tokens
            self.prefill.append(usage.prefill_tokens / usage.prefill_seconds)
            usage = ask(running, f"{number}. {SHORT}", DECODED)
            assert usage.tokens
            assert usage.decode_seconds
            self.decode.append((usage.tokens - 1) / usage.decode_seconds)
            self.resident = max(self.resident, self._resident(running))

    def _resident(self, running: Running) -> int:
        worker = getattr(running.session, "pid", None)
        pids = [worker] if worker else descendants(self.server) if self.server else []
        held = [resident_memory(pid) for pid in pids]
        return sum(found.total_bytes for found in held if found)

    def show(self) -> None:
        """Print a row."""
        try:
            plan = Library().plan(self.reference, PlanOptions(context=CONTEXT, gpu_layers=0))
            shown = plan.as_json()
            planned = f"{plan.memory.total_bytes / MIB:.0f} MiB ({shown['basis']})"
        except GemmahubError as error:
            planned = error.message
        print(f"\n{self.backend:12} {self.name}; {self.precision}")
        print(f"  load         {median(self.load):.2f} s")
        print(f"  prefill      {median(self.prefill):.1f} tokens/s, {self.prompt} tokens")
        print(f"  decode       {median(self.decode):.1f} tokens/s")
        print(f"  resident     {self.resident / MIB:.0f} MiB")
        print(f"  plan         {planned}")


def ask(running: Running, prompt: str, count: int) -> Usage:
    """The usage of one answer."""
    sampling = Sampling(max_tokens=count, temperature=0)
    *_, last = running.session.generate(prompt, sampling)
    assert last.usage is not None
    return last.usage


def descendants(pid: int) -> list[int]:
    """A process and what it started, by Linux' list of processes."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


@contextmanager
def ollama(binary: str, model: Path) -> Iterator[Engine]:
    """A server with the model in a store of its own."""
    from gemmahub_ollama.address import server_address
    from gemmahub_ollama.server import OllamaServer

    with tempfile.TemporaryDirectory(prefix="gemmahub-ollama-") as home, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        own = {"OLLAMA_HOST": host, "OLLAMA_MODELS": f"{home}/models"}
        os.environ |= own
        process = subprocess.Popen(
            [binary, "serve"],
            env=os.environ | {"HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(process, f"http://{host}/api/version")
            with OllamaServer(server_address(f"http://{host}")) as server:
                server.create(MODEL, {"model.gguf": server.upload(model)})
            yield Engine("ollama", f"ollama://{MODEL}", process.pid)
        finally:
            process.terminate()  # it ends its runners, too
            process.wait()


def wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    """Until the server answers."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            continue
    raise SystemExit("ollama serve ended")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copy", type=Path, help="Where the copy for MLX is, or is to be.")
    arguments = parser.parse_args()
    model = Library().inspect(MODEL).artifacts[0].path
    with ExitStack() as stack:
        engines = [Engine("llama.cpp", str(model))]
        if Library().plugins_manager.backend("mlx").backend.availability().ok:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="gemmahub-mlx-"))
            write_copy = import_module("mlx_copy").write_copy  # the module beside this one
            copy = write_copy(model, arguments.copy or Path(scratch) / "gemma-3-270m-bf16")
            engines.append(Engine("mlx", str(copy)))
        binary = os.environ.get("GEMMAHUB_TEST_OLLAMA") or shutil.which("ollama")
        if binary:
            engines.append(stack.enter_context(ollama(binary, model)))
        for number in range(arguments.rounds):
            for engine in engines:
                engine.measure(number)
        print(f"context {CONTEXT:,}, {arguments.rounds} rounds")
        for engine in engines:
            engine.show()


if __name__ == "__main__":
    main()
