"""One sentence under the header, where there is something to say: what is wrong, and what to do."""

import time
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tuimon.numbers import count, duration, span
from tuimon.runs import end_reasons, facts_in_words, liveness
from tuimon.runs.state import OVER
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells, cell_width, wrap
from tuimon.ui.viewer.alerts import helping_key, pressing_alert, sign
from tuimon.ui.viewer.key import ScreenName
from tuimon.ui.viewer.keys import WHY_KEY, keys_of
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment, Notice

ANSWER_SECONDS = 10.0
"""After this long without an answer to a request, the banner says so."""
STALL_SECONDS = 30.0
"""After this long without a step that should have come, the banner says what it may be."""
_LEAST_WORDS = 20
"""So many cells are the sentence's, before a second key has any."""
_MOST_LINES = 3
"""A sentence that is shown whole takes so many lines at most."""
_LOW = 20
"""On a screen of fewer lines, an empty banner takes no line."""


class Sentence(Struct, frozen=True):
    """What matters most now."""

    words: str
    """The sentence, in one line."""
    meaning: Meaning
    """Its colour."""
    keys: tuple[tuple[str, str], ...] = ()
    """Keys with what they do."""
    is_whole: bool = False
    """Whether it takes several lines rather than being cut: its end may be the remedy."""


class Banner(CellView):
    """Shows the most important sentence. Its line stays when there is none, so that nothing below it moves.

    What went wrong is shown in several lines where one is too short.

    Args:
        screen_name: The screen whose keys may be named.
    """

    def __init__(self, screen_name: ScreenName) -> None:
        super().__init__()
        self._app_keys = {key.shown for key in keys_of(screen_name) if not key.action.startswith("screen.")}

    def show(self, moment: Moment) -> None:
        """Show another moment."""
        found = self._sentence(moment)
        self.display = self.screen.size.height >= _LOW or found is not None
        rows = len(self._lines(found, self.screen.size.width)) if found is not None else 1
        if self.styles.height is None or self.styles.height.value != rows:
            self.styles.height = rows
        super().show(moment)

    def _sentence(self, moment: Moment) -> Sentence | None:
        """Return the sentence with the keys that do on this screen what they promise."""
        found = sentence(moment)
        if found is None:
            return None
        return replace(found, keys=tuple(key for key in found.keys if key[0] in self._app_keys))

    @staticmethod
    def _lines(found: Sentence, width: int) -> list[str]:
        """Return the lines of a sentence; what is left of one that is too long stands in the last one."""
        lines = wrap(found.words, max(1, width - 2)) if found.is_whole else []
        if len(lines) <= 1:
            return [found.words]
        return [*lines[: _MOST_LINES - 1], " ".join(lines[_MOST_LINES - 1 :])][: len(lines)]

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the sentence, and its keys at the right."""
        found = self._sentence(moment)
        if found is None:
            return
        keys = list(found.keys)
        while len(keys) > 1 and cells.width - 2 - _width_of(keys) < _LEAST_WORDS:
            # The first one helps, the others explain.
            keys.pop()
        *above, words = self._lines(found, cells.width)
        for row, line in enumerate(above):
            cells.put(row, 1, line, found.meaning, width=cells.width - 2)
        needed = _width_of(keys)
        end = cells.put(len(above), 1, words, found.meaning, width=cells.width - 2 - needed)
        column = end
        for key, label in keys:
            column = cells.put(len(above), column + 3, key, Meaning.KEY)
            column = cells.put(len(above), column + 1, label, Meaning.DIM)


def _width_of(keys: list[tuple[str, str]]) -> int:
    return sum(cell_width(f"{key} {label}") + 3 for key, label in keys)


def sentence(moment: Moment) -> Sentence | None:
    """Return the sentence that matters most now; None where the screen says it all."""
    alert = pressing_alert(moment)
    notice = moment.notice
    if notice is not None and not notice.is_remark and (notice.bad or alert is None or alert.seq <= notice.seq):
        return _of_notice(notice)
    if moment.blind is not None:
        since = time.strftime("%H:%M:%S", time.localtime(moment.blind.since))
        return Sentence(
            f"No connection to {plain(moment.blind.host, 60)} since {since}: this is what was known then. It is tried "
            f"again by itself ({plain(moment.blind.why, 200)}).",
            Meaning.WARNING,
        )
    if moment.reading is not None:
        return Sentence(f"Reading the log: {int(moment.reading * 100)} %", Meaning.DIM)
    if late := _late_request(moment):
        return Sentence(late, Meaning.WARNING)
    if moment.asked and (alert is None or alert.seq <= moment.asked[-1].seq):
        more = f", and {count(len(moment.asked) - 1)} more" if len(moment.asked) > 1 else ""
        return Sentence(f"Asked: {plain(moment.asked[-1].words, 100)}{more}.", Meaning.COMMAND)
    newer = _newer_run(moment)
    if newer is not None and moment.status in OVER:
        return newer
    if moment.older is not None:
        # Curves would else look as if the run had begun late.
        return Sentence(f"Reading older history: {int(moment.older * 100)} %. Curves lack what is older.", Meaning.DIM)
    if moment.status in ("finished", "stopped") and moment.replay is None and (about := _about_alert(moment)):
        # The header says that the run is over; this says what came of it, until it is read.
        return about
    return _about_status(moment) or _about_alert(moment) or newer or (_of_notice(notice) if notice else None)


def _of_notice(notice: Notice) -> Sentence:
    return Sentence(notice.text, Meaning.ERROR if notice.bad else Meaning.COMMAND, notice.keys, is_whole=notice.bad)


def _newer_run(moment: Moment) -> Sentence | None:
    if not moment.other_is_newer:
        return None
    return Sentence(f"Another run has begun: {plain(moment.other_run, 80)}", Meaning.COMMAND, (("O", "opens it"),))


def _about_alert(moment: Moment) -> Sentence | None:
    alert = pressing_alert(moment)
    if alert is None:
        return None
    shown, meaning = sign(alert)
    wanted = helping_key(alert, moment)
    # The key of a layer is that of the one under the cursor: "why" leads to the right one.
    keys = [(wanted.key, wanted.words)] if wanted is not None and wanted.layer is None else []
    return Sentence(f"{shown} {facts_in_words.of(alert, moment.state)}", meaning, (*keys, (WHY_KEY, "why")))


def _about_status(moment: Moment) -> Sentence | None:
    state = moment.state
    if moment.status == "failed":
        reason = end_reasons.of_ended(state.ended) or "training ended with an exception"
        return Sentence(f"Failed: {reason}. The whole of it: {_where_log_is(moment)}", Meaning.ERROR, _why(moment))
    if moment.status == "crashed":
        # A path would be cut off at 80 columns.
        where = "Key 5 has its output" if moment.trainer_log else f"See {_where_log_is(moment)}"
        return Sentence(f"Crashed: {liveness.KILLED}. {where}.", Meaning.ERROR, _why(moment))
    if moment.replay is None and not state.ended and (trouble := facts_in_words.log_trouble(state)):
        return Sentence(
            f"Log cannot be written: {trouble}. This is of step {count(state.step)}.",
            Meaning.WARNING,
            _why(moment),
        )
    if moment.status == "silent":
        host = f" on {plain(state.run.host, 60)}" if state.run else ""
        return Sentence(
            f"No fact for {duration(moment.silent_seconds)}. The trainer{host} may hang, be suspended, or be cut off "
            f"from the disk; this screen goes on when it does.",
            Meaning.WARNING,
        )
    late = moment.seconds_without_step
    if late is not None and late > STALL_SECONDS:
        where = f" `py-spy dump --pid {state.run.pid}` on {plain(state.run.host, 60)} shows where." if state.run else ""
        return Sentence(
            f"No step for {span(late)}, though the trainer lives: it may wait for data, or in a callback.{where}",
            Meaning.WARNING,
        )
    if moment.status == "paused" and moment.replay is None:
        how = ": tuimon send RUN resume goes on" if moment.refusal else ""
        keys = _why(moment) if moment.refusal else (("space", "goes on"), *_why(moment))
        return Sentence(f"Paused{how}. Requests that need a step wait for it.", Meaning.WARNING, keys)
    if moment.status in ("finished", "stopped") and moment.replay is None:
        reason = end_reasons.of_ended(state.ended)
        how = "Finished" if moment.status == "finished" else f"Stopped by {reason}" if reason else "Stopped as asked"
        lost, where = facts_in_words.lost(state), plain(_run_directory(moment))
        rest = f"{lost}. What was is in {where}" if lost else f"It stays in {where}"
        return Sentence(
            f"{how}{_how_long(moment)}. {rest}  ·  q closes this screen.",
            Meaning.WARNING if lost else Meaning.GOOD,
            _why(moment),
        )
    return None


def _why(moment: Moment) -> tuple[tuple[str, str], ...]:
    """Return the key that opens the alerts, where any of them matters."""
    alerts = moment.state.alerts
    matters = any(alert.severity in ("warning", "error") for alert in alerts)
    return ((WHY_KEY, facts_in_words.counted(len(alerts), "alert")),) if matters else ()


def _late_request(moment: Moment) -> str | None:
    if moment.status in (
        "checkpointing",
        "compiling",
        "crashed",
        "failed",
        "probing",
        "recalibrating",
        "silent",
        "validating",
    ):
        # These states say why there is no answer.
        return None
    late = [asked for asked in moment.asked if moment.now - asked.time > ANSWER_SECONDS]
    if not late:
        return None
    why = (
        "It waits for the next step: resume first."
        if moment.status == "paused"
        else "The trainer takes requests between two steps."
    )
    return f"{plain(late[0].words, 60)}: asked {duration(moment.now - late[0].time)} ago, no answer yet. {why}"


def _how_long(moment: Moment) -> str:
    state = moment.state
    if state.run is None or state.last_time is None:
        return ""
    return f" after {duration(state.last_time - state.run.time)}"


def _where_log_is(moment: Moment) -> str:
    return f"{_run_directory(moment)}/trainer.log" if moment.trainer_log else "the terminal where it was started"


def _run_directory(moment: Moment) -> str:
    """Return the run directory, relative to the working directory where it lies there."""
    if moment.remote:
        return moment.remote
    path, here = moment.run_path, Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
