"""How fast the backend llama-server is: against the program by hand, and against the compiled one.

Run: ``python -m benchmarks.server_speed`` (minutes; Gemma 3 270M, all cores). All sides take turns,
a figure is the median of the pairs.

- First token of a new process: ``gemmahub run`` against a ``llama-server`` with the same arguments,
  started by hand, and ``curl``; the model is in the page cache.
- Reading and answering: what arrives here, against the server's own ``timings``.
- Two answers at once against one.
- The prebuilt llama-server against llama-cpp-python, compiled on this machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.engines.contract import Artifact, Sampling, Settings
from gemmahub.service import Library
from gemmahub_llamaserver import arguments
from gemmahub_llamaserver.backend import LlamaServerBackend
from gemmahub_llamaserver.build import own_folder
from gemmahub_llamaserver.programs import find_build
from gemmahub_wheels.store import WheelStore

if TYPE_CHECKING:
    from gemmahub.engines.contract import Session

CONTEXT: Final = 4096
SHORT: Final = "The capital of France is"
LONG: Final = "In the beginning there was a small village near the sea, and people lived there. "
DECODED: Final = 128
FILES: Final = WheelStore().inventory().artifacts


class Speed(NamedTuple):
    """Tokens a second, as they arrive and as the engine says; of reading and of answering."""

    prefill: float
    decode: float
    own_prefill: float
    own_decode: float


# --- the first token of a new process -----------------------------------------------------------


def command_line() -> float:
    """Seconds from the start of ``gemmahub run`` to its first byte of an answer."""
    words = ["run", str(FILES[0].path), SHORT, "-c", str(CONTEXT), "-n", "8", "--temperature", "0"]
    begin = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "gemmahub", *words, "--backend", "llama-server"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = perf_counter() - begin
        process.stdout.read()
    assert first
    assert process.returncode == 0
    return seconds


def by_hand() -> float:
    """The same of a llama-server with the arguments that gemmahub gives it, asked with curl."""
    build, path = find_build(), FILES[0].path
    options = {option.name: option.default for option in LlamaServerBackend.options}
    settings = arguments.filled_in(Settings(context=CONTEXT, options=options), None)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*build.command, *arguments.words(build, path, settings, None, arguments.Beside())]
    body = {"prompt": SHORT, "n_predict": 8, "temperature": 0, "stream": True}
    url = f"http://127.0.0.1:{port}/completion"
    begin = perf_counter()
    server = subprocess.Popen(
        [*words, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=own_folder(build.command[0]),
    )
    try:
        while not healthy(port):
            time.sleep(0.01)
        curl = ["curl", "-sN", url, "-d", json.dumps(body)]
        with subprocess.Popen(curl, stdout=subprocess.PIPE) as asking:
            assert asking.stdout is not None
            line = asking.stdout.readline()
            seconds = perf_counter() - begin
            asking.stdout.read()
    finally:
        server.terminate()
        server.wait()
    assert line.startswith(b"data:")
    return seconds


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


# --- reading and answering ----------------------------------------------------------------------


def ask(session: Session, prompt: str, count: int) -> tuple[list[float], Any]:
    """When each chunk arrived, counted from the question; and the usage."""
    begin, times, usage = perf_counter(), [], None
    for chunk in session.generate(prompt, Sampling(max_tokens=count, temperature=0)):
        if chunk.text:
            times.append(perf_counter() - begin)
        usage = chunk.usage or usage
    return times, usage


def speed(session: Session, number: int) -> Speed:
    """Of a prompt that no cache knows, and its answer."""
    times, usage = ask(session, f"{number} {LONG * 40}", DECODED)
    assert usage.tokens == DECODED, usage
    told = usage.tokens / usage.decode_seconds
    return Speed(
        usage.prefill_tokens / times[0],
        (len(times) - 1) / (times[-1] - times[0]),
        usage.prefill_tokens / usage.prefill_seconds,
        told * (usage.tokens - 1) / usage.tokens,  # the first one's time belongs to the reading
    )


def loaded(backend: str, parallel: int = 1) -> Session:
    artifact: Artifact = FILES[0]
    settings = Settings(context=CONTEXT * parallel, parallel=parallel)
    library = Library()
    offer = library.choose(artifact, backend).offer
    from gemmahub.engines.choice import load_session

    return load_session(offer, artifact, settings)


def at_once(session: Session, count: int) -> float:
    """Tokens a second of so many answers together."""
    begin = perf_counter()
    with ThreadPoolExecutor(count) as pool:
        jobs = [pool.submit(ask, session, f"{SHORT} {n}", DECODED) for n in range(count)]
        answers = [job.result() for job in jobs]
    return sum(len(times) for times, _ in answers) / (perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = range(parser.parse_args().rounds)
    by_hand(), command_line()  # the page cache, and what is remembered of the program
    starts = [(by_hand(), command_line()) for _ in rounds]
    ours, theirs = median(b for _, b in starts), median(a for a, _ in starts)
    ratio = median(b / a for a, b in starts)
    print(f"first token: gemmahub run {ours:.2f} s, by hand {theirs:.2f} s: {ratio:.2f} times")
    with loaded("llama-server") as server, loaded("llama.cpp") as library:
        speed(server, -1), speed(library, -1)
        pairs = [(speed(server, n), speed(library, n)) for n in rounds]
    own = [(s.prefill / s.own_prefill, s.decode / s.own_decode) for s, _ in pairs]
    told = [median(values) for values in zip(*own, strict=True)]
    print(f"against the server's own timings: prefill {told[0]:.3f}, decode {told[1]:.3f}")
    for name, index in (("prefill", 0), ("decode", 1)):
        server_rate, library_rate = (median(pair[side][index] for pair in pairs) for side in (0, 1))
        ratio = median(a[index] / b[index] for a, b in pairs)
        print(
            f"{name}: llama-server (prebuilt) {server_rate:.1f} tokens/s, llama.cpp (compiled "
            f"here) {library_rate:.1f}: {ratio:.3f} times"
        )
    with loaded("llama-server", parallel=2) as server:
        at_once(server, 2)
        answers = [(at_once(server, 1), at_once(server, 2)) for _ in rounds]
    one, two = (median(pair[side] for pair in answers) for side in (0, 1))
    ratio = median(b / a for a, b in answers)
    print(f"answers at once: one {one:.1f} tokens/s, two {two:.1f}: {ratio:.2f} times")


if __name__ == "__main__":
    main()
