"""The first lines: which run, what it does now, how far it is, under which settings."""

import math
import re
from collections.abc import Callable

from tuimon.diagnosis import time_split
from tuimon.numbers import count, duration, learning_rate, number, percent, span
from tuimon.protocol.events import FitStarted
from tuimon.protocol.wire import from_wire
from tuimon.runs.state import OVER, RunState
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells, cell_width, fit
from tuimon.ui.viewer.meanings import STATUS_SIGNS, Meaning
from tuimon.ui.viewer.moment import READING, Moment

Part = list[tuple[str, int]]
"""Texts that are drawn together or not at all, each with its colour."""

_GAP = 3
_NARROW_GAP = 2
"""Between the parts of a line that would not fit otherwise."""
ONE_LINE_COLUMNS = 140
"""From this width on, the header has one line, unless the screen is high."""
LONG_SECONDS = 10.0
"""After this long in a state in which no step is made, the header says how long it lasts."""
_NO_STEPS = ("checkpointing", "probing", "recalibrating", "validating")
_PROGRESS_COLUMNS = 40
"""On a single line, details are left out if the progress would have fewer columns than this."""


class Header(CellView):
    """Shows run, state, progress, and details of which the last ones are left out where they do not fit.

    Details: speed, learning rate, phase, held layers, overhead, the best epoch, where the time goes.
    """

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the lines."""
        name = plain(moment.state.run.name if moment.state.run else moment.run_path.name, 80)
        # Runs of one script have one name: the time tells them apart.
        began = _began(moment)
        limit = max(12, cells.width // 4 if cells.width >= ONE_LINE_COLUMNS else cells.width // 3)
        if began and cell_width(name) + 2 + len(began) <= limit:
            name = f"{name}  {began}"
        elif began and cell_width(name) + 2 + len(_time_of(began)) <= limit:
            name = f"{name}  {_time_of(began)}"
        first = [[(fit(name, limit), int(Meaning.STRONG))], _state(moment), _line(moment)]
        best = _best(moment)
        optional = [part for part in (_overhead(moment), best, _time_split(moment)) if part]
        expendable = optional[::-1]
        if moment.status in OVER:
            # What training still costs matters while it trains; what came of it matters afterwards.
            expendable.sort(key=lambda part: part is best)
        second = [
            part
            for part in (
                _time_left(moment),
                _speed(moment),
                _rate(moment),
                _phase(moment),
                _frozen(moment),
                _held(moment),
                _orders(moment),
                *optional,
            )
            if part
        ]
        replay = _replay(moment)
        if replay:
            second.insert(0, replay)
        if cells.height >= 2:
            for part in expendable:
                if 1 + _width(second, _NARROW_GAP) - _NARROW_GAP > cells.width:
                    second.remove(part)
            _draw_line(cells, 0, first, lambda width: _progress(moment, width))
            _draw_line(cells, 1, second, None)
        else:
            for part in expendable:
                if cells.width - _width(first) - _width(second) - 2 < _PROGRESS_COLUMNS:
                    second.remove(part)
            used = _width(first) + _width(second)
            _draw_line(cells, 0, first, lambda width: _progress(moment, min(width, cells.width - used - 2)), second)


def _draw_line(
    cells: Cells, row: int, left: list[Part], stretch: Callable[[int], Part] | None, right: list[Part] | None = None
) -> None:
    gap = _GAP if stretch is not None or 1 + _width(left) - _GAP <= cells.width else _NARROW_GAP
    column = 1
    for part in left:
        column = _draw_part(cells, row, column, part, gap)
    if stretch is not None:
        # The progress takes the room that is left, up to a length that is still read as one bar.
        column = _draw_part(cells, row, column, stretch(min(78, cells.width - column - 1)), gap)
    for part in right or []:
        column = _draw_part(cells, row, column, part, gap)


def _draw_part(cells: Cells, row: int, column: int, part: Part, gap: int) -> int:
    """Draw a part if there is room for all of it: half a number would be another number."""
    if column > 1 and column + cell_width("".join(text for text, _ in part).rstrip()) > cells.width:
        return column
    for text, code in part:
        column = cells.put(row, column, text, code)
    return column + gap if part else column


def _width(parts: list[Part], gap: int = _GAP) -> int:
    return sum(sum(cell_width(text) for text, _ in part) + gap for part in parts)


def _state(moment: Moment) -> Part:
    sign, meaning = STATUS_SIGNS.get(moment.status, ("●", Meaning.TEXT))
    words = status_words(moment)
    if moment.status == "training":
        # It takes turns with "validating": what is beside it keeps its place.
        words = words.ljust(len("validating"))
    if moment.status == "paused":
        # Light on dark among dark on light: nothing is computed, and somebody should know.
        shown: Part = [(f" {sign} {words} ", int(meaning))]
    else:
        shown = [(f"{sign} {words}", int(meaning))]
    if moment.is_paused != (moment.status == "paused"):
        shown.append((f"{'pause' if moment.is_paused else 'resume'}, asked", int(Meaning.DIM)))
    return shown


def _began(moment: Moment) -> str:
    """Return the date and the time in the name of the run directory; empty where the shown name has them."""
    found = re.match(r"\d{8}-\d{6}(?=-|$)", moment.run_path.name)
    return found[0] if found and moment.state.run is not None and found[0] not in moment.state.run.name else ""


def _time_of(began: str) -> str:
    return began.partition("-")[2]


def _line(moment: Moment) -> Part:
    return [("slow line: charts late", int(Meaning.WARNING))] if moment.is_line_slow else []


def status_words(moment: Moment) -> str:
    """Return what the run does now: "training", "compiling freeze… 2 s"."""
    state = moment.state.state
    if moment.status == "silent" and moment.blind is not None:
        return f"no link for {duration(max(0.0, moment.now - moment.blind.since))}"
    if moment.is_log_removed and moment.status == "silent":
        return "log removed"
    if moment.status == "silent":
        return f"silent for {duration(moment.silent_seconds)}"
    if state is not None and moment.status in ("compiling", "preparing"):
        seconds = max(0, int(moment.trainer_time - state.time))
        detail = f" {plain(state.detail, 40)}" if state.detail else ""
        return f"{moment.status}{detail}… {seconds} s"
    if state is not None and moment.status in _NO_STEPS:
        lasts = moment.trainer_time - state.time
        return f"{moment.status}… {span(lasts)}" if lasts > LONG_SECONDS else moment.status
    return plain(moment.status)


def _progress(moment: Moment, width: int) -> Part:
    state = moment.state
    fit_started = state.fit
    if fit_started is None:
        return [(f"step {count(state.step)}", int(Meaning.TEXT))] if state.step else []
    total = fit_started.epochs
    shown = min(state.epoch + 1, total) if total else state.epoch + 1
    digits = len(count(total)) if total else 0
    number = f"fit {count(state.fits.all[-1].number)}  " if state.fits.are_several else ""
    words = f"{number}epoch {count(shown):>{digits}}" + (f"/{count(total)}" if total else "")
    share = _share(moment)
    if share is None:
        words += f"   step {count(state.step)}"
        why = ", length of the epoch not known" if total and moment.status not in OVER else ""
        return [(words, int(Meaning.TEXT)), (why if len(words) + len(why) <= width else "", int(Meaning.DIM))]
    percent = f"{int(share * 100):3d} %"
    if number and width - len(words) - len(percent) - 2 < -1:
        # Which fit it is says less than how far it is.
        words = words.removeprefix(number)
    room = width - len(words) - len(percent) - 2
    if room < -1:
        return [(percent.strip(), int(Meaning.TEXT))]
    part: Part = [(words + " ", int(Meaning.TEXT))]
    if room >= 6:
        filled = int(share * room * 2)
        bar = "━" * (filled // 2) + ("╸" if filled % 2 else "")
        part += [(bar, int(Meaning.TRAINING)), ("─" * (room - len(bar)), int(Meaning.TRACK)), (" ", 0)]
    return [*part, (percent, int(Meaning.TEXT))]


def _share(moment: Moment) -> float | None:
    state = moment.state
    if state.fit is None:
        return None
    first, total = state.fit.step, state.total_steps
    if total is not None and total > first:
        # The epochs before the first one count: those of an earlier attempt, or of an earlier fit.
        first -= state.fit.initial_epoch * (state.fit.steps_per_epoch or 0)
        share = (state.step - first) / (total - first)
    elif state.fit.epochs is not None and (ended := _epochs_ended(state, state.fit)):
        share = (state.fit.initial_epoch + ended) / max(1, state.fit.epochs)
    else:
        # Of an epoch that may be endless, nobody knows how much is done.
        return None
    return max(0.0, min(1.0, share))


def _epochs_ended(state: RunState, fit_started: FitStarted) -> int:
    """Return how many epochs of the newest `fit` are over; the present one counts if its end is in the log."""
    ends = state.epoch_numbers
    is_over = len(ends) > 0 and ends.last == state.epoch and int(ends.steps[-1]) > fit_started.step
    return state.epoch - fit_started.initial_epoch + is_over


def _time_left(moment: Moment) -> Part:
    state = moment.state
    if state.total_steps is None or moment.status in (*OVER, "paused", "silent", READING):
        return []
    seconds = None if moment.seconds_without_step is not None else state.seconds_left
    if seconds is None:
        return [("    – left", int(Meaning.DIM))]
    words = f"{'>' if state.leaves_out_validation else ''}{duration(seconds)}"
    return [(f"{words:>5} left", int(Meaning.TEXT))]


def _speed(moment: Moment) -> Part:
    if moment.state.fit is None or moment.status in (*OVER, "paused", "silent", READING):
        return []
    late = moment.seconds_without_step
    if late is not None:
        return [(f"last step {span(late)} ago", int(Meaning.WARNING))]
    rate = moment.state.pace.speed(moment.trainer_time)
    return [(f"{number(rate, 3):>4} steps/s", int(Meaning.DIM if rate is None else Meaning.TEXT))]


def _rate(moment: Moment) -> Part:
    asked = next((asked.learning_rate for asked in reversed(moment.asked) if asked.learning_rate), None)
    if asked:
        return [("lr ", int(Meaning.DIM)), (f"{asked}, asked", int(Meaning.DIM))]
    if moment.state.learning_rate is None:
        return []
    return [("lr ", int(Meaning.DIM)), (learning_rate(moment.state.learning_rate), int(Meaning.TEXT))]


def _phase(moment: Moment) -> Part:
    if moment.state.fit is None:
        return []
    asked = next((asked.phase for asked in reversed(moment.asked) if asked.phase), None)
    if asked and asked != moment.state.phase:
        return [("phase ", int(Meaning.DIM)), (f"{asked}, asked", int(Meaning.DIM))]
    phase = moment.state.phase
    meaning = {"train": Meaning.TRAINING, "inference": Meaning.INFERENCE}.get(phase, Meaning.TEXT)
    return [("phase ", int(Meaning.DIM)), (plain(phase, 20), int(meaning))]


def _orders(moment: Moment) -> Part:
    standing = len(moment.state.orders.standing)
    return [("orders ", int(Meaning.DIM)), (count(standing), int(Meaning.COMMAND))] if standing else []


def _frozen(moment: Moment) -> Part:
    if not moment.state.layers:
        return []
    frozen = sum(path in moment.state.frozen for path in moment.state.layers)
    meaning = Meaning.FROZEN if frozen else Meaning.TEXT
    return [("frozen ", int(Meaning.DIM)), (f"{frozen}/{len(moment.state.layers)}", int(meaning))]


def _held(moment: Moment) -> Part:
    held = len(moment.state.statistics_held)
    if not held:
        return []
    return [("held ", int(Meaning.DIM)), (f"{held}/{len(moment.state.layers)}", int(Meaning.INFERENCE))]


def _overhead(moment: Moment) -> Part:
    overhead = moment.state.overhead
    share = from_wire(overhead.share) if overhead else math.nan
    if not math.isfinite(share):
        return []
    return [("overhead ", int(Meaning.DIM)), (f"{percent(share):>5}", int(Meaning.TEXT))]


def _best(moment: Moment) -> Part:
    if moment.state.best.shown is None:
        return []
    name, best = moment.state.best.shown
    value = f"{number(best.value)}, {moment.state.fits.epoch_words(best.epoch, best.step)}"
    return [(f"best {plain(name, 40)} ", int(Meaning.DIM)), (value, int(Meaning.TEXT))]


def _time_split(moment: Moment) -> Part:
    shares = {name: share for name, share in moment.state.time_split.shares.items() if share > 0}
    return [("time ", int(Meaning.DIM)), (time_split.line(shares), int(Meaning.TEXT))] if shares else []


def _replay(moment: Moment) -> Part:
    replay = moment.replay
    if replay is None:
        return []
    sign = "▶" if replay.playing else "‖"
    position = f"{duration(replay.elapsed_seconds)}/{duration(replay.total_seconds)}"
    return [(f"{sign} replay ×{replay.speed:g}  {position}", int(Meaning.COMMAND))]
