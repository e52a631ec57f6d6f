"""The load of the machine that trains: processors, memory, GPUs. It is sampled only while this screen is open."""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget

from tuimon.protocol.events import RunStarted
from tuimon.runs import liveness
from tuimon.text import plain
from tuimon.ui.charts.canvas import draw_empty
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.frame.base_screen import BaseScreen, bindings_of
from tuimon.ui.screens.system.load_charts import MOST_SAMPLES, CpuChart, GpuView, MemoryChart
from tuimon.ui.screens.system.sampler import Sample, Sampled, Sampler
from tuimon.ui.viewer.moment import Moment


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
        self._charts = (CpuChart(), MemoryChart())
        self._gpus = GpuView()
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._sampler: Sampler | None = None
        self._sampled: RunStarted | None = None
        self._missing = ""

    def panels(self) -> Iterable[Widget]:
        """Yield the sentence, the charts and the GPUs; only some of them are shown."""
        yield self._nothing
        yield Container(*self._charts, id="machine-charts")
        yield self._gpus

    def show(self, moment: Moment) -> None:
        """Show a moment. The first one with a trainer on this machine starts the sampling."""
        words = self._missing or ("" if self._samples else _why_not(moment))
        self._nothing.words = words
        self.set_class(bool(words), "-nothing")
        super().show(moment)
        run = moment.state.run
        if not words and run is not None and run is not self._sampled:
            # A further attempt is another process.
            self._stop()
            self._sampled = run
            self._sampler = Sampler(run.pid if liveness.trainer_lives(run) else None, self.post_message)
            self.run_worker(self._sampler.run, name="sampler", thread=True)

    def on_sampled(self, message: Sampled) -> None:
        """Draw the newest sample."""
        if message.sample is None:
            self._missing = message.missing
            self.set_class(True, "-nothing")
            self._nothing.words = message.missing
            self._nothing.redraw()
            return
        self._samples.append(message.sample)
        self._gpus.missing = message.gpus_missing
        self.set_class(not message.sample.gpus, "-no-gpu")
        for chart in (*self._charts, self._gpus):
            chart.take(self._samples)

    def on_unmount(self) -> None:
        """Stop the sampling thread."""
        self._stop()

    def _stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()


def _why_not(moment: Moment) -> str:
    """Return why the machine that trains cannot be sampled; empty where it can."""
    run = moment.state.run
    if moment.replay is not None:
        return "A log does not hold the load of the machine, so a replay has nothing to show here."
    if run is None:
        return "The training process has not yet said which machine it runs on."
    host = plain(run.host, 80) or "another machine"
    over = moment.state.ended is not None or moment.status in ("crashed", "failed")
    if not liveness.is_of_this_machine(run):
        if over:
            return f"This run was on {host}, and it is over. A log does not hold the load of the machine."
        return (
            f"This run trains on {host}, and the load of that machine cannot be seen from this one. "
            f"Open it there: tuimon watch"
        )
    if over and not liveness.trainer_lives(run):
        return f"The run is over, and its process (pid {run.pid}) is gone: there is no load to show."
    return ""
