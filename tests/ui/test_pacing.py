"""On a slow line frames are dropped, not queued."""

import math
import os
import re
import select
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuimon.protocol import events
from tuimon.ui.terminal.pacing import (
    FIRST_BYTES,
    FIRST_SECONDS,
    LATE_SECONDS,
    LEAST_BYTES,
    LOST_SECONDS,
    MOST_BYTES,
    OPENING_BYTES,
    PATIENT_SECONDS,
    Pacing,
)
from tuimon.ui.terminal.turns import Turns
from ui.facts import training
from ui.terminals import COLUMNS, ROWS, terminal
from ui.watching import LiveRun


class Line:
    """The pacing of a line, and the answers that are on their way back."""

    def __init__(self) -> None:
        self.pacing = Pacing()
        self.answers: list[tuple[int, int]] = []

    def send(self, now: float, size: float, *, is_part: bool = False) -> None:
        self.answers.append(asked(self.pacing.question(now, int(size), COLUMNS, ROWS, is_part=is_part)))

    def answer(self, now: float) -> None:
        self.pacing.answered(now, *self.answers.pop(0))

    def room(self, now: float) -> float:
        return self.pacing.room(now)


def asked(question: str) -> tuple[int, int]:
    """Return the column and the row where a terminal's cursor is when it is asked."""
    screen = pyte.Screen(COLUMNS, ROWS)
    answers: list[str] = []
    screen.write_process_input = answers.append
    pyte.Stream(screen).feed(question)
    assert (screen.cursor.y, screen.cursor.x) == (0, 0)  # As it was.
    row, column = re.findall(r"\d+", "".join(answers))
    return int(column), int(row)


def answering() -> Line:
    """Return a line that has answered once, after a tenth of a second."""
    line = Line()
    assert line.room(0.0) == math.inf  # It is not known yet whether it answers at all.
    line.send(0.0, 0)
    line.answer(0.1)
    return line


def test_no_more_is_sent_than_the_line_takes_in_soon() -> None:
    line = answering()
    assert line.room(1.0) == FIRST_BYTES
    line.send(1.0, FIRST_BYTES, is_part=True)
    assert line.room(1.0) == 0
    assert not line.pacing.may_draw(1.0)
    # Four seconds for 4 KiB: half a second's worth at a time from now on.
    line.answer(1.1 + 4.0)
    assert line.room(6.0) == pytest.approx(FIRST_BYTES / 8)
    assert line.pacing.may_draw(6.0)


def test_a_quick_first_answer_tells_a_quick_line() -> None:
    line = Line()
    line.send(0.0, OPENING_BYTES)
    line.answer(0.01)
    assert line.room(0.1) == pytest.approx(OPENING_BYTES * LATE_SECONDS / 0.01)


def test_a_slow_answer_alone_is_no_slow_line() -> None:
    line = Line()
    line.send(0.0, OPENING_BYTES)
    line.answer(2.0)
    for number in range(6):
        line.send(10.0 * number, int(line.room(10.0 * number)), is_part=True)
        line.answer(10.0 * number + 2.1)
    assert line.room(100.0) == FIRST_BYTES * 2**6


def test_what_is_not_made_use_of_is_given_back() -> None:
    line = Line()
    line.send(0.0, OPENING_BYTES)
    line.answer(0.5)
    for _ in range(4):
        line.send(1.0, int(line.room(1.0)), is_part=True)
        line.answer(1.5)
    assert line.room(2.0) == 16 * FIRST_BYTES
    for _ in range(40):
        line.send(3.0, 1000)
        line.answer(3.5)
    assert line.room(4.0) == FIRST_BYTES


def test_what_was_on_its_way_already_counts() -> None:
    line = answering()
    line.send(1.0, 3000)
    line.send(1.0, 1000, is_part=True)
    line.answer(1.1 + 1.5)
    line.answer(1.1 + 2.0)
    assert line.room(4.0) == pytest.approx(4000 / 4)


@given(st.floats(500, 10_000_000), st.floats(0.0, 1.0))
def test_what_is_on_its_way_settles_at_what_the_line_takes(bytes_a_second: float, round_trip: float) -> None:
    line, now = Line(), 0.0
    line.send(now, OPENING_BYTES)
    line.answer(now + round_trip)
    for _ in range(20):
        now += 10.0
        if line.pacing.doubts:
            line.send(now, 0)
            line.answer(now + round_trip)
        room = int(line.room(now))
        line.send(now, room, is_part=True)
        now += round_trip + room / bytes_a_second
        line.answer(now)
    room = line.room(now)
    assert LEAST_BYTES <= room <= MOST_BYTES
    assert room == LEAST_BYTES or room / bytes_a_second <= 4 * LATE_SECONDS
    assert room == MOST_BYTES or room / bytes_a_second >= LATE_SECONDS / 4


def test_a_terminal_that_never_answers_is_drawn_to() -> None:
    line = Line()
    line.send(0.0, OPENING_BYTES)
    assert line.room(FIRST_SECONDS + 1) == math.inf
    assert line.pacing.may_draw(FIRST_SECONDS + 1)
    assert not line.pacing.asks
    assert not line.pacing.is_waiting


def test_an_answer_that_is_lost_is_not_waited_for_for_ever() -> None:
    line = answering()
    line.send(1.0, FIRST_BYTES)
    assert line.room(LOST_SECONDS) == 0
    assert line.room(LOST_SECONDS + 2) == FIRST_BYTES / 2
    assert line.pacing.asks


def test_before_the_first_answer_no_more_is_sent_than_after_it() -> None:
    line = Line()
    line.send(0.0, OPENING_BYTES)
    assert line.room(0.1) == FIRST_BYTES - OPENING_BYTES
    assert line.room(PATIENT_SECONDS) == 2 * FIRST_BYTES - OPENING_BYTES
    assert line.room(FIRST_SECONDS + 1) == math.inf


def test_a_line_that_takes_longer_than_is_waited_for_settles_all_the_same() -> None:
    line, now, free = Line(), 0.0, 0.0
    sent = list[tuple[float, tuple[int, int]]]()
    behind = []
    line.send(now, OPENING_BYTES)
    sent.append((OPENING_BYTES / 300, line.answers.pop()))
    while now < 400.0:
        now += 0.25
        while sent and sent[0][0] <= now:
            line.pacing.answered(*(sent[0][0], *sent.pop(0)[1]))
        size = min(30_000.0, line.room(now))
        if size > 0 and line.pacing.asks:
            line.send(now, size, is_part=True)
            free = max(free, now) + size / 300
            sent.append((free, line.answers.pop()))
        behind.append(free - now)
    assert max(behind[-400:]) < 5.0


def test_a_terminal_that_answers_late_is_one_that_answers() -> None:
    line = Line()
    line.send(0.0, OPENING_BYTES)
    assert line.room(FIRST_SECONDS + 1) == math.inf
    assert not line.pacing.asks
    line.answer(FIRST_SECONDS + 2)
    assert line.pacing.asks


def test_an_answer_that_is_lost_leaves_the_others_their_questions() -> None:
    line = answering()
    for _ in range(2):
        line.send(1.0, 1000)
        line.send(1.0, 1000)
        line.answers.pop(0)
        line.answer(1.2)
        assert not line.pacing.is_waiting


def test_an_answer_to_no_question_counts_for_nothing() -> None:
    shift_f3 = (2, 1)  # Some terminals write that key as CSI 1;2R.
    line = Line()
    line.send(0.0, OPENING_BYTES)
    line.pacing.answered(0.1, *shift_f3)
    assert line.room(FIRST_SECONDS + 1) == math.inf
    assert not line.pacing.asks

    line = answering()
    line.send(1.0, FIRST_BYTES)
    late = line.answers.pop()
    line.pacing.answered(1.1, *shift_f3)
    assert line.room(1.1) == 0
    line.pacing.forget()
    line.send(2.0, FIRST_BYTES)
    line.pacing.answered(2.1, *late)
    assert line.room(2.1) == 0


def test_no_two_of_many_questions_are_answered_alike() -> None:
    line = Line()
    for _ in range(100):
        line.send(0.0, 0)
    assert len(set(line.answers)) == 100
    assert all(row > 1 for _, row in line.answers)


def test_a_terminal_that_is_further_away_than_it_was_is_no_slow_line() -> None:
    line, now = answering(), 0.0
    for _ in range(40):
        now += 10.0
        if line.pacing.doubts:
            line.send(now, 0)
            line.answer(now + 0.8)
        line.send(now, (room := line.room(now)), is_part=True)
        line.answer(now + 0.8 + room / 1e6)
    assert line.room(now + 10.0) > FIRST_BYTES


def test_what_goes_on_waits_for_its_turn_and_what_happens_does_not() -> None:
    turns = Turns(refresh=1)
    turns.drew(10.0, version=0, happened=0)
    assert not turns.is_due(15.0, version=0, happened=0)
    assert not turns.is_due(10.5, version=1, happened=0)
    assert turns.is_due(11.0, version=1, happened=0)
    assert turns.is_due(10.1, version=2, happened=1)
    turns.drew(10.1, version=2, happened=1)
    assert not turns.is_due(15.0, version=2, happened=1)


def test_a_terminal_that_is_behind_gets_no_more_until_it_answers_and_then_the_newest(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        # It answers once, and then no more: what is on its way then is a whole screen.
        there.answers_at_once = False
        there.read_until(lambda: "quit" in there.shown)
        there.answer(1)
        begun = len(there.written)
        for number in range(200):
            run.write(events.Note(text=f"note {number}", step=3))
        # A key is heard, whatever waits.
        os.write(there.ours, b" ")
        there.read_until(lambda: bool(run.requests()))
        assert len(there.written) < begun + 2 * FIRST_BYTES
        there.answers_at_once = True
        there.read_until(lambda: "note 199" in there.shown and "pause, asked" in there.shown)
        assert len(there.written) < begun + 4 * FIRST_BYTES


def test_an_answer_on_its_way_is_waited_for_when_the_screen_is_closed(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "quit" in there.shown)
        os.write(there.ours, b"q")
        there.read_until(lambda: "leave" in there.shown)
        there.answers_at_once = False
        run.write(events.Note(text="one more", step=3))
        there.read_until(lambda: bool(there.answers))
        os.write(there.ours, b"l")
        # The key is heard a moment later, and what is drawn meanwhile asks once more.
        there.answers_at_once = True
        there.answer()
        there.read_until(lambda: there.process.poll() is not None)
        # What is left in the line would be typed into the shell.
        assert not there.answers
        assert not select.select([there.theirs], [], [], 0)[0]
        assert there.process.returncode == 0
