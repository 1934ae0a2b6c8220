"""Bars of memory: in proportion, of the width that is there, and legible without colour."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.cli.memory_bars import BarPart, Line, bar, place_lines
from gemmahub.memory import DevicePlan

if TYPE_CHECKING:
    from collections.abc import Sequence

GIB = 1 << 30


def text_of(line: Line) -> str:
    return "".join(piece.text for piece in line)


def plain_lines(one: DevicePlan, width: int) -> list[str]:
    return [text_of(line) for line in place_lines(one, width)]


def place(free: int = 24 * GIB, **parts: int) -> DevicePlan:
    names = ("weights", "kv_cache", "compute", "output", "projector", "overhead", "saved")
    sizes = {f"{name}_bytes": parts.get(name, 0) for name in names}
    return DevicePlan(device="gpu:0", capacity_bytes=24 * GIB, free_bytes=free, **sizes)


def test_a_place_as_people_see_it() -> None:
    found = plain_lines(
        place(weights=12 * GIB, kv_cache=6 * GIB, overhead=GIB // 2, compute=GIB // 4), 48
    )
    assert found == [
        "gpu:0 18.75 GiB of 24.00 GiB free",
        "(24.00 GiB total): fits",
        "W" * 24 + "K" * 12 + "C" + "D" + "." * 10,
        "W weights 12.00 GiB  K KV cache 6.00 GiB",
        "C compute 256 MiB  D driver overhead 0.50 GiB",
        ". free 5.25 GiB",
    ]


def test_what_does_not_fit_has_no_free_part() -> None:
    found = plain_lines(place(weights=24 * GIB, projector=8 * GIB, output=1, free=20 * GIB), 80)
    assert found[0].endswith(": 12.00 GiB SHORT")
    assert found[1] == "W" * 54 + "P" * 18
    assert "free 0" not in "".join(found[2:])


def test_an_empty_place_is_all_free() -> None:
    assert plain_lines(place(), 40)[2] == "." * 40
    assert plain_lines(place(free=0), 40)[2] == "." * 40


sizes = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=7)


@given(sizes=sizes, width=st.integers(1, 120))
def test_bars_are_as_wide_as_asked_and_in_proportion(sizes: Sequence[int], width: int) -> None:
    parts = [BarPart("ABCDEFG"[i], "", size, "31") for i, size in enumerate(sizes) if size]
    found = text_of(bar(parts, width))
    assert len(found) == width
    whole = sum(part.bytes for part in parts)
    for part in parts:
        assert abs(found.count(part.letter) - part.bytes * width / whole) < 1


@given(width=st.integers(1, 100), weights=st.integers(0, 1 << 45), cache=st.integers(0, 1 << 45))
def test_no_line_is_wider_than_the_terminal(width: int, weights: int, cache: int) -> None:
    for line in plain_lines(place(weights=weights, kv_cache=cache), width):
        assert len(line) <= width


def test_each_part_has_its_own_colour() -> None:
    found = place_lines(place(weights=9 * GIB, kv_cache=3 * GIB), 60)
    colours = [(piece.text[0], piece.code) for piece in found[1]]
    assert colours == [("W", "34"), ("K", "32"), (".", "")]


# --- on a terminal --------------------------------------------------------------------------------


def on_a_terminal(columns: int, *arguments: str, **environment: str) -> str:
    """What the command writes to a terminal of so many columns, without carriage returns."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "gemmahub", "plan", *arguments],
        env=kept | {"TERM": "xterm-256color"} | environment,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        found = b""
        try:
            while piece := os.read(ours, 65536):
                found += piece
        except OSError:
            pass  # Linux says so at the end
    os.close(ours)
    assert process.returncode == 0
    return found.decode().replace("\r", "")


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_bars_and_tables_fit_the_terminal(columns: int) -> None:
    text = on_a_terminal(
        columns, "gemma-3-27b-it:q4_0-qat", "--memory", "24GiB", "--cache-type-k", "q8_0"
    )
    assert "\x1b[34mW" in text
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in text.split("\n")]
    start = next(number for number, line in enumerate(lines) if line.startswith("gpu:0"))
    assert all(len(line) <= columns for line in lines[start:])
    assert any(re.search(r"131,072\s.*\d\d\.\d\d ok", line) for line in lines)


def test_no_color_is_obeyed() -> None:
    text = on_a_terminal(80, "gemma-3-270m", NO_COLOR="1")
    assert "WWW" in text or "\nW" in text
    assert not re.search(r"\x1b\[3\dm", text)
