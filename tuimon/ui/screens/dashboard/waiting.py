"""The panel before the first step: a sentence, and the last lines that the training process printed."""

from tuimon.launch.exit_status import in_words
from tuimon.runs import end_reasons, liveness
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells, wrap
from tuimon.ui.frame.header import status_words
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment


class Waiting(CellView):
    """A panel in the place of the charts."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the sentence, and the last printed lines below it."""
        draw_panel(cells, plain(status_words(moment)))
        row = 2
        words, meaning = _words(moment)
        for text in wrap(words, cells.width - 8):
            if row >= cells.height - 1:
                return
            cells.put(row, 4, text, meaning)
            row += 1
        row += 1
        room = cells.height - 2 - row
        if room < 2 or not moment.trainer_log:
            return
        cells.put(row, 4, "The training process printed:", Meaning.DIM)
        for index, text in enumerate(moment.trainer_log[-room + 1 :]):
            cells.put(row + 1 + index, 4, plain(text), Meaning.TEXT, width=cells.width - 8)


def _words(moment: Moment) -> tuple[str, Meaning]:
    if moment.reading is not None:
        return f"Reading the log: {int(moment.reading * 100)} %", Meaning.TEXT
    return _end(moment) or _progress(moment)


def _end(moment: Moment) -> tuple[str, Meaning] | None:
    """Return how the run ended without a step; None where it goes on."""
    ended, log = moment.state.ended, f"{moment.remote or moment.run_path}/trainer.log"
    if ended is None and moment.exit_code is not None:
        how = in_words(moment.exit_code, output="") if moment.exit_code < 0 else f"exit status {moment.exit_code}"
        return (
            f"The training process ended ({how}) before it wrote a fact. "
            f"The reason is most likely below; the whole output is in {log}. Fix it and start again: tuimon run CONFIG",
            Meaning.ERROR,
        )
    if moment.status == "failed":
        reason = end_reasons.of_ended(ended) or "no traceback was left"
        return f"It failed before the first step: {reason}. Fix it and start again: tuimon run CONFIG", Meaning.ERROR
    if moment.status == "crashed":
        return (
            f"Crashed before its first step: {liveness.KILLED}. Its output is in {log}.",
            Meaning.ERROR,
        )
    if moment.status in ("finished", "stopped"):
        reason = end_reasons.of_ended(ended)
        return f"The run is {moment.status}, without a training step{f': {reason}' if reason else ''}.", Meaning.TEXT
    return None


def _progress(moment: Moment) -> tuple[str, Meaning]:
    """Return how far the run has come before its first step."""
    if moment.status == "compiling":
        return "Keras traces and compiles the training step. This takes from a second to minutes, once.", Meaning.TEXT
    if moment.is_log_removed:
        return (
            "The log of this run was removed before this screen read it: nothing is known of its training. "
            "If the trainer lives it goes on; its next fit or attempt begins a log anew.",
            Meaning.WARNING,
        )
    if moment.status == "silent" and moment.state.last_seq < 0:
        return (
            "There is no line in the log: the training has not begun to write it. "
            "If the trainer is no longer alive, start it again.",
            Meaning.WARNING,
        )
    if moment.status == "silent":
        return "The log has not grown for a while. If the trainer is no longer alive, start it again.", Meaning.WARNING
    if moment.state.run is None:
        return (
            "The training process is starting: loading Keras takes some seconds.",
            Meaning.TEXT,
        )
    return "Models and data are being prepared. The charts appear with the first step.", Meaning.TEXT
