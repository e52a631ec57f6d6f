"""One sentence under the header, where there is something to say: what is wrong, and what to do."""

from pathlib import Path

from tuimon.text import plain
from tuimon.ui.cell_view import CellView
from tuimon.ui.cells import Cells
from tuimon.ui.moment import Moment
from tuimon.ui.numbers import duration
from tuimon.ui.palette import Meaning

ANSWER_SECONDS = 10.0
"""After this long without an answer to a request, it is said."""


class Banner(CellView):
    """The most important sentence; takes no line where there is none."""

    def show(self, moment: Moment) -> None:
        """Show another moment."""
        self.display = sentence(moment) is not None
        super().show(moment)

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the sentence."""
        found = sentence(moment)
        if found is not None:
            cells.put(0, 1, found[0], found[1], width=cells.width - 2)


def sentence(moment: Moment) -> tuple[str, Meaning] | None:
    """Return what matters most now, with its colour; None where the screen says it all."""
    if moment.notice is not None:
        return moment.notice.text, Meaning.ERROR if moment.notice.bad else Meaning.COMMAND
    if moment.reading is not None:
        return f"Reading the log: {int(moment.reading * 100)} %", Meaning.DIM
    if late := _late_request(moment):
        return late, Meaning.WARNING
    return _about_status(moment)


def _about_status(moment: Moment) -> tuple[str, Meaning] | None:
    state = moment.state
    if moment.status == "failed":
        lines = state.ended.traceback.strip().splitlines() if state.ended else []
        reason = plain(lines[-1], 300) if lines else "training ended with an exception"
        return f"Failed: {reason}. The whole of it: {_log_place(moment)}", Meaning.ERROR
    if moment.status == "crashed":
        where = _log_place(moment)
        return f"Crashed: its process is gone without a last word. See {where}", Meaning.ERROR
    if moment.status == "silent":
        host = f" on {plain(state.run.host, 60)}" if state.run else ""
        return (
            f"No fact for {duration(moment.silent_seconds)}. The trainer{host} may hang, be suspended, or be cut off "
            f"from the disk; this screen goes on when it does.",
            Meaning.WARNING,
        )
    if moment.status == "paused" and moment.replay is None:
        how = "tuimon send RUN resume goes on" if moment.refusal else "space goes on"
        return f"Paused: the next step waits, requests are answered. {how}.", Meaning.WARNING
    if moment.status in ("finished", "stopped") and moment.replay is None:
        how = "Finished" if moment.status == "finished" else "Stopped, as asked"
        return (
            f"{how}{_how_long(moment)}. Everything stays in {plain(_place(moment))}  ·  q closes this screen.",
            Meaning.GOOD,
        )
    return None


def _late_request(moment: Moment) -> str | None:
    if moment.status in ("checkpointing", "compiling", "crashed", "failed", "recalibrating", "silent", "validating"):
        # These say why there is no answer.
        return None
    late = [asked for asked in moment.asked if moment.now - asked.time > ANSWER_SECONDS]
    if not late:
        return None
    return (
        f"{plain(late[0].words, 60)}: asked {duration(moment.now - late[0].time)} ago, no answer yet. "
        "The trainer takes requests between two steps."
    )


def _how_long(moment: Moment) -> str:
    state = moment.state
    if state.run is None or state.last_time is None:
        return ""
    return f" after {duration(state.last_time - state.run.time)}"


def _log_place(moment: Moment) -> str:
    return f"{_place(moment)}/trainer.log" if moment.trainer_log else "the terminal where it was started"


def _place(moment: Moment) -> str:
    """The run directory, as one would type it from here."""
    path, here = moment.run_path, Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
