"""The chat screen while a model streams: how long a key takes, and what the screen costs the model.

Everything runs as a person has it: the real program in a terminal of its own (a pty). A key is a
letter that occurs nowhere else; its latency is the time from writing it into the terminal until the
terminal is told to draw it. Decode is timed from the first to the last token, in the chat by what
it keeps, and for ``gemmahub run`` by what arrives at its terminal; both take turns, and the figure
is the median of the ratios of pairs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.terminal import Terminal

PROMPT: Final = "The capital of France is"
DECODED: Final = 256
CONTEXT: Final = 4096
KEY_SECONDS: Final = 0.04
# Letters of a script that neither model nor screen uses.
KEYS: Final = "ԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖ"
ECHOED: Final = "# A title\n\nSome **bold** words and `code` in a line, over and over again.\n\n"


def chat(model: str, data: Path, size: tuple[int, int], *options: str) -> Terminal:
    """This file again, as the program in the terminal."""
    command = [sys.executable, "-m", "benchmarks.tui_chat", "--child", "--model", model, *options]
    return Terminal(command, {"GEMMAHUB_DATA": str(data)}, size)


def answers(data: Path) -> list[dict[str, Any]]:
    """The lines of the only conversation."""
    files = list((data / "conversations").glob("*.jsonl"))
    if not files:
        return []
    return [json.loads(line) for line in files[0].read_bytes().split(b"\n")[:-1]]


def ended(data: Path) -> bool:
    return any(line["kind"] == "end" for line in answers(data))


def key_latencies(terminal: Terminal, data: Path, count: int, *, endless: bool) -> list[float]:
    """Milliseconds from a key to its letter on the screen, while an answer streams."""
    found: list[float] = []
    while not any(line["kind"] == "part" for line in answers(data)):
        terminal.read(0.05)
    for number in range(count):
        if not endless and ended(data):
            break
        letter = KEYS[number % len(KEYS)].encode()
        started, seen, tail = perf_counter(), False, b""
        terminal.write(letter)
        while not seen and perf_counter() - started < 5:
            tail = tail[-8:] + terminal.read(0.5)
            seen = letter in tail
        found.append((perf_counter() - started) * 1000)
        until = perf_counter() + KEY_SECONDS
        while (left := until - perf_counter()) > 0:
            terminal.read(left)
        if number % 10 == 9:  # a short line, as people type them
            terminal.write(b"\x15")
            terminal.read(KEY_SECONDS)
    return found


def chat_decode(model: str, data: Path, size: tuple[int, int]) -> tuple[float, float]:
    """Tokens a second in the chat, and the processor time of the screen for a second of it."""
    (data / "cpu.json").unlink(missing_ok=True)
    terminal = chat(model, data, size)
    while not (data / "cpu.json").exists():
        terminal.read(0.05)
    lines = {line["kind"]: line for line in answers(data)}
    timings = lines["end"]["timings"]
    seconds = lines["end"]["at"] - lines["answer"]["at"] - timings["first_token_seconds"]
    terminal.write(b"\x04")
    terminal.process.wait()
    usage = json.loads((data / "cpu.json").read_text())
    return (timings["tokens"] - 1) / seconds, usage["cpu"] / usage["wall"]


def run_decode(model: str, data: Path, size: tuple[int, int]) -> float:
    """Tokens a second of ``gemmahub run`` in the same kind of terminal."""
    command = [sys.executable, "-m", "gemmahub", "run", model, PROMPT, "--raw"]
    options = ["--temperature", "0", "-n", str(DECODED), "-c", str(CONTEXT)]
    terminal = Terminal([*command, *options], {"GEMMAHUB_DATA": str(data)}, size)
    times: list[float] = []
    told = False
    while terminal.process.poll() is None:
        if piece := terminal.read(0.05):
            told = told or b"bits/weight \xc2\xb7" in piece  # the headline comes before the text
            times += [perf_counter()] if told else []
    terminal.close()
    return (DECODED - 1) / (times[-1] - times[1])


def report(name: str, found: list[float]) -> None:
    ranked = sorted(found)
    p95 = ranked[int(len(ranked) * 0.95)] if ranked else float("nan")
    print(
        f"{name:<28} {len(ranked)} keys: median {statistics.median(ranked):.1f} ms, "
        f"95th percentile {p95:.1f} ms, longest {ranked[-1]:.1f} ms"
    )


def measure(model: str, rounds: int, size: tuple[int, int]) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        for name, options, count in (
            ("keys, nothing streams", ["--idle"], 100),
            ("keys, echo at full speed", ["--echo"], 300),
            (f"keys, {model}", [], 300),
        ):
            found: list[float] = []
            while len(found) < count:
                shutil.rmtree(data / "conversations", ignore_errors=True)
                terminal = chat(model, data, size, *options)
                try:
                    left = count - len(found)
                    found += key_latencies(terminal, data, left, endless=bool(options))
                finally:
                    terminal.close()
            report(name, found)
        ratios, rates, loads = [], [], []
        for number in range(rounds):
            pair: dict[str, float] = {}
            for side in ("run", "chat") if number % 2 else ("chat", "run"):
                shutil.rmtree(data / "conversations", ignore_errors=True)
                if side == "run":
                    pair[side] = run_decode(model, data, size)
                else:
                    pair[side], load = chat_decode(model, data, size)
                    loads.append(load)
            ratios.append(pair["chat"] / pair["run"])
            rates.append(pair["chat"])
            print(f"  chat {pair['chat']:.1f}, run {pair['run']:.1f} tokens/s", file=sys.stderr)
        print(f"{'decode in the chat':<28} {statistics.median(rates):.1f} tokens/s")
        print(f"{'against gemmahub run':<28} {statistics.median(ratios):.3f}, {rounds} pairs")
        print(f"{'processor of the screen':<28} {statistics.median(loads):.1%} of one core")


def child(model: str, *, echo: bool, idle: bool) -> None:
    """The program in the terminal: the real chat screen, with its question asked."""
    import resource
    from dataclasses import replace

    from textual.app import App

    from gemmahub.config import load_config
    from gemmahub.engines.contract import Sampling, Settings
    from gemmahub.service import Library
    from gemmahub.tui.app import settle_collector
    from gemmahub.tui.screens.chat import ChatScreen
    from gemmahub.tui.widgets.chat_view import ChatView

    config = load_config()
    clock: dict[str, float] = {}

    class Measured(ChatView):
        def ask(self, text: str, images: Any = ()) -> None:
            clock["wall"], clock["cpu"] = perf_counter(), _cpu()
            super().ask(text, images)

        def _finished(self, event: Any) -> None:
            super()._finished(event)
            usage = {"wall": perf_counter() - clock["wall"], "cpu": _cpu() - clock["cpu"]}
            (config.data / "cpu.json").write_text(json.dumps(usage))
            if echo:  # it is soon done with any text
                self.call_later(self._ask_again)

        def _ask_again(self) -> None:
            if self.answering:
                self.call_later(self._ask_again)
            else:
                self.ask(ECHOED * 300)

        def _join(self, running: Any) -> None:
            super()._join(running)
            settle_collector()  # as the application does when its library is read
            self.journal.set(sampling=Sampling(temperature=0))
            if idle:
                self.journal.add("user", "nothing")
                self.journal.part(self.journal.begin_answer("nobody"), "nothing")
            else:
                self.ask(ECHOED * 300 if echo else PROMPT)

    class MeasuredScreen(ChatScreen):
        def __init__(self, hub: Library, reference: str, settings: Settings) -> None:
            super().__init__(hub, reference, settings)
            self.view = Measured(hub, reference, settings, self._figures)

    def _cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    class Alone(App[None]):
        def on_mount(self) -> None:
            hub = Library(config=replace(config, backend="echo" if echo else None))
            settings = Settings(context=1 << 20 if echo else CONTEXT)
            self.push_screen(MeasuredScreen(hub, model, settings), lambda _: self.exit())

    Alone().run()


def main() -> None:
    """Measure, or be what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.model, echo=arguments.echo, idle=arguments.idle)
        return
    columns, _, lines = arguments.size.partition("x")
    measure(arguments.model, arguments.rounds, (int(columns), int(lines)))


if __name__ == "__main__":
    main()
