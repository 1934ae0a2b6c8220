"""What drawing a growing answer costs: one Markdown widget of Textual's, and the chat's own turn.

The same 4,000 tokens (prose, lists, tables, code) arrive in pieces. Processor seconds of the whole
application, as a ratio to Textual's ``Markdown.get_stream``, taking turns; and whether code and
tables come out as many, and as long, as when the whole text is parsed at once. The stream puts
pieces together that it cannot draw fast enough; for a turn the transcript does that before.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
from time import process_time
from typing import TYPE_CHECKING, Final

from textual.app import App
from textual.containers import VerticalScroll
from textual.widgets import Markdown
from textual.widgets._markdown import MarkdownFence, MarkdownTable

from gemmahub.tui.widgets.turns import Answer

if TYPE_CHECKING:
    from textual.app import ComposeResult

PROSE: Final = (
    "## Part {n}\n\nThe **window** of layer {n} keeps `1,024` cells, what falls out of it is gone: "
    "a model that needs it must ask again, which costs a little time and no memory at all.\n\n"
    "- first, a point with *emphasis*\n- then another one\n- and a last one\n\n"
)
TABLE: Final = "| layer | cells | MiB |\n|---|---|---|\n"
ROW: Final = "| layer {n} of the model | {n} cells of the window | {n} MiB of the cache |\n"
CODE: Final = "```python\n{lines}```\n\n"
LINE: Final = "    total_{n} = first_value + second_value * {n}  # a comment on it\n"


def text_of(parts: int, rows: int, lines: int) -> str:
    """An answer with a table of ``rows`` and code of ``lines`` lines in each part."""
    pieces = []
    for part in range(parts):
        pieces.append(PROSE.format(n=part))
        pieces.append(TABLE + "".join(ROW.format(n=row) for row in range(rows)) + "\n")
        pieces.append(CODE.format(lines="".join(LINE.format(n=line) for line in range(lines))))
    return "".join(pieces)


def blocks(app: App[None]) -> tuple[list[str], int, int]:
    """The code of each fence, the number of tables, and of the rows in them."""
    code = [fence.code for fence in app.query(MarkdownFence)]
    tables = list(app.query(MarkdownTable))
    return code, len(tables), sum(len(table._rows) for table in tables)


class Page(App[None]):
    """A place to scroll in, with nothing in it."""

    def compose(self) -> ComposeResult:
        yield VerticalScroll()


async def drawn(text: str, how: str, words: int) -> tuple[float, tuple[list[str], int, int]]:
    """Processor seconds, and what stands on the page at the end."""
    tokens = re.findall(r"\s*\S+|\s+$", text)
    pieces = ["".join(tokens[at : at + words]) for at in range(0, len(tokens), words)]
    app = Page()
    async with app.run_test(size=(120, 40)) as pilot:
        place = app.query_one(VerticalScroll)
        place.anchor()
        if how == "whole":
            await place.mount(Markdown(text))
            await pilot.pause()
            return 0.0, blocks(app)
        started = process_time()
        if how == "stream":
            widget = Markdown()
            await place.mount(widget)
            stream = Markdown.get_stream(widget)
            for piece in pieces:
                await stream.write(piece)
                await asyncio.sleep(0.002)
            await stream.stop()
        else:
            turn = Answer(1, "")
            await place.mount(turn)
            for piece in pieces:
                await turn.append(piece)
                await asyncio.sleep(0.002)
        await pilot.pause()
        return process_time() - started, blocks(app)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=40)
    options = parser.parse_args()
    for name, text in (
        ("short blocks", text_of(20, 4, 6)),
        ("long blocks", text_of(3, 40, 60)),
        ("one long block", text_of(1, 0, 300)),
    ):
        _, wanted = asyncio.run(drawn(text, "whole", options.words))
        print(
            f"{name}: {len(text):,} characters, {len(wanted[0])} fences, {wanted[1:]} tables, rows"
        )
        seconds: dict[str, list[float]] = {"stream": [], "turn": []}
        for _ in range(options.rounds):
            for how, times in seconds.items():
                cost, found = asyncio.run(drawn(text, how, options.words))
                times.append(cost)
                same = "as wanted" if found == wanted else f"{len(found[0])} fences, {found[1:]}"
                print(f"    {how:8} {cost:6.2f} s   {same}")
        base = statistics.median(seconds["stream"])
        for how, times in seconds.items():
            print(f"    {how:8} {statistics.median(times) / base:5.2f} of get_stream")


if __name__ == "__main__":
    main()
