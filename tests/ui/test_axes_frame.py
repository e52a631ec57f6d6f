"""The axes of charts, which plotext draws."""

import numpy as np
import plotext
from hypothesis import given
from hypothesis import strategies as st

from tuimon.plot.axes import Axis, log_axis, step_axis, value_axis
from tuimon.ui.charts.axes_frame import plot_frame


def drawn_whole(width: int, height: int) -> str:
    """Return how plotext draws both axes at once, with ticks where they meet and at the top."""
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.theme("clear")
    plotext.xaxes(True, False)
    plotext.yaxes(True, False)
    plotext.xlim(0, width - 8)
    plotext.ylim(0, height - 3)
    plotext.xticks([0], ["0"])
    plotext.yticks([0, height - 3], ["     0", "     1"])
    plotext.scatter([0], [0], marker=" ")
    lines: list[str] = plotext.uncolorize(plotext.build()).split("\n")
    return "\n".join(line.ljust(width)[:width] for line in lines[:height])


@given(st.integers(9, 60), st.integers(4, 20))
def test_two_axes_drawn_apart_meet_as_if_drawn_together(width: int, height: int) -> None:
    steps, values = Axis(0.0, 1.0, ((0.0, "0"),)), Axis(0.0, 1.0, ((0.0, "0"), (1.0, "1")))
    characters, origin = plot_frame(width, height, steps, values)
    assert origin == 7
    assert "\n".join("".join(row) for row in characters) == drawn_whole(width, height)


@given(st.integers(0, 120), st.integers(0, 40), st.floats(1, 1e7), st.floats(1e-9, 1e9))
def test_a_frame_has_the_size_that_was_asked_for(width: int, height: int, last: float, high: float) -> None:
    steps = step_axis(last, None, exact=False, ticks=6)
    for values in (value_axis(-high / 3, high, 4), log_axis(high / 1e5, high, 4)):
        characters, origin = plot_frame(width, height, steps, values)
        assert characters.shape == (height, width)
        if origin:
            # One axis goes down from the top, the other along the row above the labels of the steps.
            assert set(characters[:-2, origin - 1]) <= set("│┤")
            assert characters[-2, origin - 1] == "└"
            assert set(characters[-2, origin:]) <= set("─┬")
            assert (characters[:-2, origin:] == " ").all()
            assert np.flatnonzero(characters[-2] == "┬").size >= 1


def test_a_frame_follows_each_of_its_axes() -> None:
    steps, values = step_axis(100, None, exact=True, ticks=4), value_axis(0.0, 1.0, 4)
    frames = [
        plot_frame(60, 12, *axes)[0].tolist()
        for axes in (
            (steps, values),
            (step_axis(200, None, exact=True, ticks=4), values),
            (steps, value_axis(0.0, 2.0, 4)),
            (steps, value_axis(0.0, 2e-7, 4)),
        )
    ]
    assert all(one != other for index, one in enumerate(frames) for other in frames[:index])
