"""On a slow line frames are dropped, not queued."""

import math
import os
import select
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuimon import events
from tuimon.ui.pacing import (
    FIRST_BYTES,
    FIRST_SECONDS,
    LATE_SECONDS,
    LEAST_BYTES,
    LOST_SECONDS,
    MOST_BYTES,
    OPENING_BYTES,
    QUESTION,
    Pacing,
)
from ui.test_terminal import terminal
from ui.watching import LiveRun, training


def answering() -> Pacing:
    """Return the pacing of a terminal that has answered once, after a tenth of a second."""
    pacing = Pacing()
    assert pacing.room(0.0) == math.inf  # It is not known yet whether it answers at all.
    pacing.asked(0.0, 0)
    pacing.answered(0.1)
    return pacing


def test_no_more_is_sent_than_the_line_takes_in_soon() -> None:
    pacing = answering()
    assert pacing.room(1.0) == FIRST_BYTES
    pacing.asked(1.0, FIRST_BYTES, is_part=True)
    assert pacing.room(1.0) == 0
    assert not pacing.may_draw(1.0)
    # Four seconds for 4 KiB: half a second's worth at a time from now on.
    pacing.answered(1.1 + 4.0)
    assert pacing.room(6.0) == pytest.approx(FIRST_BYTES / 8)
    assert pacing.may_draw(6.0)


def test_a_quick_first_answer_tells_a_quick_line() -> None:
    pacing = Pacing()
    pacing.asked(0.0, OPENING_BYTES)
    pacing.answered(0.01)
    assert pacing.room(0.1) == pytest.approx(OPENING_BYTES * LATE_SECONDS / 0.01)


def test_a_slow_answer_alone_is_no_slow_line() -> None:
    pacing = Pacing()
    pacing.asked(0.0, OPENING_BYTES)
    pacing.answered(2.0)
    for number in range(6):
        pacing.asked(10.0 * number, int(pacing.room(10.0 * number)), is_part=True)
        pacing.answered(10.0 * number + 2.1)
    assert pacing.room(100.0) == FIRST_BYTES * 2**6


def test_what_is_not_made_use_of_is_given_back() -> None:
    pacing = Pacing()
    pacing.asked(0.0, OPENING_BYTES)
    pacing.answered(0.5)
    for _ in range(4):
        pacing.asked(1.0, int(pacing.room(1.0)), is_part=True)
        pacing.answered(1.5)
    assert pacing.room(2.0) == 16 * FIRST_BYTES
    for _ in range(40):
        pacing.asked(3.0, 1000)
        pacing.answered(3.5)
    assert pacing.room(4.0) == FIRST_BYTES


def test_what_was_on_its_way_already_counts() -> None:
    pacing = answering()
    pacing.asked(1.0, 3000)
    pacing.asked(1.0, 1000, is_part=True)
    pacing.answered(1.1 + 1.5)
    pacing.answered(1.1 + 2.0)
    assert pacing.room(4.0) == pytest.approx(4000 / 4)


@given(st.floats(500, 10_000_000), st.floats(0.0, 1.0))
def test_what_is_on_its_way_settles_at_what_the_line_takes(bytes_a_second: float, round_trip: float) -> None:
    pacing, now = Pacing(), 0.0
    pacing.asked(now, OPENING_BYTES)
    pacing.answered(now + round_trip)
    for _ in range(20):
        now += 10.0
        room = int(pacing.room(now))
        pacing.asked(now, room, is_part=True)
        now += round_trip + room / bytes_a_second
        pacing.answered(now)
    room = pacing.room(now)
    assert LEAST_BYTES <= room <= MOST_BYTES
    assert room == LEAST_BYTES or room / bytes_a_second <= 4 * LATE_SECONDS
    assert room == MOST_BYTES or room / bytes_a_second >= LATE_SECONDS / 4


def test_a_terminal_that_never_answers_is_drawn_to() -> None:
    pacing = Pacing()
    pacing.asked(0.0, OPENING_BYTES)
    assert pacing.room(FIRST_SECONDS + 1) == math.inf
    assert pacing.may_draw(FIRST_SECONDS + 1)
    assert not pacing.asks
    assert not pacing.is_waiting


def test_an_answer_that_is_lost_is_not_waited_for_for_ever() -> None:
    pacing = answering()
    pacing.asked(1.0, FIRST_BYTES)
    assert pacing.room(LOST_SECONDS) == 0
    assert pacing.room(LOST_SECONDS + 2) == FIRST_BYTES
    assert pacing.asks


def test_a_terminal_that_is_behind_gets_no_more_until_it_answers_and_then_the_newest(runs: Path) -> None:
    answer = b"\x1b[10;20R"
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:

        def asked() -> int:
            return there.written.count(QUESTION.encode())

        # It answers before anything is drawn, and then no more.
        there.read_until(lambda: asked() == 1)
        os.write(there.ours, answer)
        there.read_until(lambda: asked() == 2)
        begun = len(there.written)
        for number in range(200):
            run.write(events.Note(text=f"note {number}", step=3))
        # A key is heard, whatever waits.
        os.write(there.ours, b" ")
        there.read_until(lambda: bool(run.requests()))
        assert len(there.written) < begun + FIRST_BYTES + 200
        answered = 1

        def shows_the_newest() -> bool:
            nonlocal answered
            os.write(there.ours, answer * (asked() - answered))
            answered = asked()
            return "note 199" in there.shown and "pause, asked" in there.shown

        there.read_until(shows_the_newest)
        assert len(there.written) < begun + 4 * FIRST_BYTES


def test_an_answer_on_its_way_is_waited_for_when_the_screen_is_closed(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "quit" in there.shown and QUESTION.encode() in there.written)
        os.write(there.ours, b"q")
        there.read_until(lambda: "leave" in there.shown)
        os.write(there.ours, b"l\x1b[10;20R")
        there.read_until(lambda: there.process.poll() is not None)
        # What is left in the line would be typed into the shell.
        assert not select.select([there.theirs], [], [], 0)[0]
        assert there.process.returncode == 0
