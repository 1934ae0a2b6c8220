"""Lines of braille dots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gemmahub.text.plot import Line, Plot

NUMBERS = st.lists(st.floats(0, 1e12), min_size=2, max_size=2)


def text(plot: Plot, width: int, height: int) -> list[str]:
    return ["".join(part for part, _ in row) for row in plot.rows(width, height)]


def test_a_rising_line_against_its_limit() -> None:
    """From the lower left to the upper right, its name at its end, the limit where it belongs."""
    plot = Plot([Line("f16", (0.0, 4.0, 8.0), "a")], limit=6.0, at=1)
    rows = text(plot, 20, 4)
    assert [len(row) for row in rows] == [20] * 4
    assert rows[0].endswith(" f16")
    assert "┄" in rows[1]
    assert rows[3][0] not in " ┄"
    assert sum(row.count("●") for row in rows) == 1
    place = next(row.index("●") for row in rows if "●" in row)
    assert place in (7, 8)  # the middle of 16 cells
    styles = {style for row in plot.rows(20, 4) for part, style in row if part.strip()}
    assert styles == {"a", "limit", "point"}


def test_what_is_far_above_the_limit_is_left_out() -> None:
    plot = Plot([Line("x", (1.0, 1000.0)), Line("y", (1.0, 2.0))], limit=2.0)
    assert plot.top == 4.0
    rows = text(plot, 30, 8)
    assert rows[0].endswith(" x")  # it left through the upper edge
    assert any(row.endswith(" y") for row in rows)


@given(st.lists(NUMBERS, max_size=4), st.floats(0, 1e12), st.integers(1, 90), st.integers(1, 20))
def test_every_plot_has_its_size(
    values: list[list[float]], limit: float, width: int, height: int
) -> None:
    lines = [Line(f"l{n}", tuple(each)) for n, each in enumerate(values)]
    rows = text(Plot(lines, limit, at=1), width, height)
    assert len(rows) == height
    assert len({len(row) for row in rows}) == 1
    names = max((len(line.name) for line in lines), default=0) + 1
    assert len(rows[0]) == max(width, 2 + names)
