"""The line above the charts: whose load they show, who read it and when, and the free disk."""

import time
from collections.abc import Sequence

from tuimon.protocol.events import System
from tuimon.runs.facts_in_words import size
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells, cell_width, fit
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_LOAD_OF = "load of "
_WIDE = 90
"""A line this wide has room for the size of the disk."""
_LOW_BYTES = 1_000_000_000
"""With less free disk than this, the next checkpoint may fail."""


class SourceLine(CellView):
    """One line of words."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""
        self._sample: System | None = None

    def take(self, words: str, samples: Sequence[System]) -> None:
        """Show where the samples come from, and the disk in the newest one."""
        self._words, self._sample = words, samples[-1] if samples else None
        self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the words, and the disk at the right."""
        del moment
        disk, end = _disk(self._sample, with_total=cells.width >= _WIDE), cells.width - 2
        if disk:
            is_low = self._sample is not None and (self._sample.disk_free or 0) < _LOW_BYTES
            end -= cell_width(disk)
            if end > 2:
                cells.put(0, end, disk, Meaning.WARNING if is_low else Meaning.TEXT)
            end -= 2
        words = self._words if cell_width(self._words) <= end - 2 else self._words.removeprefix(_LOAD_OF)
        if end > 2:
            cells.put(0, 2, fit(words, end - 2), Meaning.DIM)


def when(first: float, last: float | None) -> str:
    """Return from when, and until when, in the time of the viewer; with a date if it is not today's.

    Args:
        first: Unix seconds.
        last: Unix seconds; None while it goes on.
    """
    begin = _clock(first)
    if last is None:
        return f"since {begin}"
    end = _clock(last)
    day = end[: end.rfind(" ") + 1]
    return f"from {begin} to {end.removeprefix(day) if begin.startswith(day) else end}"


def read_by_trainer(host: str, samples: Sequence[System], *, is_over: bool) -> str:
    """Return whose load it is, read by its trainer."""
    times = when(samples[0].time, samples[-1].time if is_over else None)
    return f"{_LOAD_OF}{plain(host, 40) or 'a host without a name'}, read by the trainer {times}"


def read_here(host: str, samples: Sequence[System]) -> str:
    """Return whose load it is, read by this screen because the log has none."""
    begin = when(samples[0].time, None)
    return f"{_LOAD_OF}{plain(host, 40) or 'this machine'}, read by this screen {begin}; the log has none"


def _disk(sample: System | None, *, with_total: bool) -> str:
    if sample is None or sample.disk_free is None:
        return ""
    of = "" if sample.disk_total is None or not with_total else f" of {size(sample.disk_total)}"
    return f"disk: {size(sample.disk_free)} free{of}"


def _clock(seconds: float) -> str:
    at = time.localtime(seconds)
    now = time.localtime()
    if at[:3] == now[:3]:
        return time.strftime("%H:%M:%S", at)
    return time.strftime("%d %b %H:%M" if at.tm_year == now.tm_year else "%d %b %Y %H:%M", at)
