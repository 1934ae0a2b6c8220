"""Lines of braille dots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gemmahub.text.dots import Dot, DotPlot
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


def dots(plot: DotPlot, width: int, height: int) -> list[str]:
    return ["".join(part for part, _ in row) for row in plot.rows(width, height)]


def test_dots_lie_where_their_figures_are() -> None:
    """The larger further right, the better further up; the chosen one is told by its shape."""
    plot = DotPlot(
        [Dot("small", 1.0, 10.0), Dot("large", 100.0, 90.0, filled=False), Dot("mid", 10.0, 50.0)],
        x_text=lambda x: f"{x:g}",
        y_text=lambda y: f"{y:.0f}",
        chosen=2,
    )
    rows = dots(plot, 40, 11)
    assert rows[0].startswith("90│")
    assert rows[0].rstrip().endswith("large ○")
    assert rows[9].startswith("10│")
    assert "● small" in rows[9]
    assert "◆ mid" in next(row for row in rows if "mid" in row)
    columns = [row.index(mark) for row in rows for mark in "●◆○" if mark in row]
    assert columns == sorted(columns, reverse=True)
    assert "10" in rows[10]
    x, y = plot.place(2, 40, 11)
    assert rows[y][x] == "◆"
    assert plot.nearest(x + 1, y, 40, 11) == 2
    assert plot.nearest(20, 0, 40, 11) is None


def test_small_values_are_above_where_they_are_better() -> None:
    both = [Dot("a", 1.0, 0.1), Dot("b", 2.0, 0.3)]
    rows = dots(DotPlot(both, str, lambda y: f"{y:.1f}", down=True), 30, 6)
    assert rows[0].startswith("0.1│")
    assert "● a" in rows[0]


def test_names_cover_no_dot() -> None:
    """A name that has no room is left out, and every dot is drawn."""
    many = [Dot(f"a long name {n}", 1.0 + n / 50, 1.0 + n % 3) for n in range(12)]
    rows = dots(DotPlot(many, str, str), 40, 8)
    places = {DotPlot(many, str, str).place(n, 40, 8) for n in range(12)}
    assert all(rows[y][x] == "●" for x, y in places)


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e15), st.floats(-1e9, 1e9)), max_size=9),
    st.integers(1, 90),
    st.integers(1, 20),
)
def test_every_plot_of_dots_has_its_size(
    figures: list[tuple[float, float]], width: int, height: int
) -> None:
    plot = DotPlot(
        [Dot(f"n{n}", x, y) for n, (x, y) in enumerate(figures)], "{:.3g}".format, "{:.3g}".format
    )
    rows = dots(plot, width, height)
    assert len(rows) == max(2, height)
    assert len({len(row) for row in rows}) == 1
    assert sum(row.count("●") for row in rows) == len(
        {plot.place(n, width, height) for n in range(len(figures))}
    )
