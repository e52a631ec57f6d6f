"""The load of the machine that trains: processors, memory, GPUs, disk. The trainer reads it, the log holds it.

For a log without it, this machine is sampled while the screen is open, if the run is live on it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget

from tuimon.protocol.events import RunStarted, System
from tuimon.runs import liveness
from tuimon.runs.state import OVER
from tuimon.text import plain
from tuimon.ui.charts.canvas import draw_empty
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.frame.base_screen import BaseScreen, bindings_of
from tuimon.ui.screens.system.load_charts import CpuChart, GpuView, MemoryChart
from tuimon.ui.screens.system.sampler import Sampled, Sampler
from tuimon.ui.screens.system.source_line import SourceLine, read_by_trainer, read_here
from tuimon.ui.viewer.moment import Moment

MOST_SAMPLES = 300
"""Samples of this screen's own that are kept: five minutes."""
PATIENCE_SECONDS = 15.0
"""So long after its beginning, a run whose trainer has not yet read its machine is waited for."""


class NothingToShow(CellView):
    """A sentence in the place of the charts."""

    words = ""
    """The sentence to show."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the sentence."""
        del moment
        draw_empty(cells, "system", self.words)


class SystemScreen(BaseScreen):
    """Processors and memory above the GPUs."""

    screen_name = "system"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("system")

    def __init__(self) -> None:
        super().__init__()
        self._nothing = NothingToShow()
        self._source = SourceLine()
        self._charts = (CpuChart(), MemoryChart())
        self._gpus = GpuView()
        self._samples: deque[System] = deque(maxlen=MOST_SAMPLES)
        self._sampler: Sampler | None = None
        self._sampled: RunStarted | None = None
        self._missing = ""
        self._shown: tuple[object, ...] = ()

    def panels(self) -> Iterable[Widget]:
        """Yield the sentence, the line above the charts, the charts and the GPUs; only some of them are shown."""
        yield self._nothing
        yield self._source
        yield Container(*self._charts, id="machine-charts")
        yield self._gpus

    def show(self, moment: Moment) -> None:
        """Show a moment: the samples of its log, or else those of this screen."""
        samples, run = moment.state.system.samples, moment.state.run
        words = "" if samples else self._missing or ("" if self._samples else _why_not(moment))
        self._nothing.words = words
        self.set_class(bool(words), "-nothing")
        super().show(moment)
        if samples:
            self._stop()
            self._samples.clear()
            is_over = moment.replay is None and moment.status in OVER
            host = run.host if run is not None else ""
            self._take(samples, read_by_trainer(host, samples, is_over=is_over or moment.replay is not None), is_over)
        elif not words and run is not None and run is not self._sampled:
            # A further attempt is another process.
            self._stop()
            self._sampled = run
            pid = run.pid if liveness.trainer_lives(run) else None
            self._sampler = Sampler(pid, moment.run_path, self.post_message)
            self.run_worker(self._sampler.run, name="sampler", thread=True)

    def on_sampled(self, message: Sampled) -> None:
        """Draw the newest sample of this screen's own."""
        if self._sampler is None:
            return  # The log has samples by now.
        if message.sample is None:
            self._missing = message.missing
            self.set_class(True, "-nothing")
            self._nothing.words = message.missing
            self._nothing.redraw()
            return
        self._samples.append(message.sample)
        host = self._sampled.host if self._sampled is not None else ""
        self._take(self._samples, read_here(host, self._samples), False)

    def on_unmount(self) -> None:
        """Stop the sampling thread."""
        self._stop()

    def _take(self, samples: Sequence[System], words: str, is_over: bool) -> None:
        shown = (words, is_over, len(samples), samples[0].time, samples[-1].time)
        if shown == self._shown:
            return
        self._shown = shown
        self.set_class(not samples[-1].gpus, "-no-gpu")
        # The log's own list grows.
        samples = list(samples)
        self._source.take(words, samples)
        for chart in (*self._charts, self._gpus):
            chart.take(samples, is_over=is_over)

    def _stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None


def _why_not(moment: Moment) -> str:
    """Return why no load can be shown of a log without samples; empty where this machine can be sampled."""
    run = moment.state.run
    if run is None:
        return "The training process has not yet said which machine it runs on."
    host = plain(run.host, 80) or "another machine"
    older = "" if run.console else " It was written by an older tuimon."
    if moment.replay is not None:
        return f"The log does not hold the load of {host}{' so far' if run.console else ''}.{older}"
    over = moment.status in OVER
    if not liveness.is_of_this_machine(run):
        if over:
            return f"This run was on {host}, and it is over. Its log does not hold the load of that machine.{older}"
        return (
            f"This run trains on {host}, and its log does not hold the load of that machine.{older} "
            f"Open it there: tuimon watch"
        )
    if over and not liveness.trainer_lives(run):
        gone = f"The run is over, and its process (pid {run.pid}) is gone."
        return f"{gone} Its log does not hold the load of {host}.{older}"
    if run.console and not over and moment.now - run.time < PATIENCE_SECONDS:
        return f"The trainer is about to read the load of {host}."
    return ""
