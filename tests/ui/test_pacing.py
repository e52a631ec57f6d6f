"""On a slow line frames are dropped, not queued."""

import os
import select
from pathlib import Path

from tuimon import events
from tuimon.ui.pacing import FIRST_SECONDS, LOST_SECONDS, QUESTION, Pacing
from ui.test_terminal import terminal
from ui.watching import LiveRun, training


def test_nothing_is_drawn_until_the_terminal_has_answered() -> None:
    pacing = Pacing()
    assert pacing.may_draw(0.0)
    assert pacing.should_ask()
    pacing.asked(0.0)
    assert not pacing.should_ask()
    assert pacing.may_draw(1.0)  # It is not known yet whether it answers at all.
    pacing.answered()
    pacing.asked(2.0)
    assert not pacing.may_draw(2.0 + FIRST_SECONDS + 1)
    pacing.answered()
    assert pacing.may_draw(20.0)


def test_a_terminal_that_never_answers_is_drawn_to() -> None:
    pacing = Pacing()
    pacing.asked(0.0)
    assert pacing.may_draw(FIRST_SECONDS + 1)
    assert pacing.may_draw(FIRST_SECONDS + 2)
    assert not pacing.should_ask()


def test_an_answer_that_is_lost_is_not_waited_for_for_ever() -> None:
    pacing = Pacing()
    pacing.asked(0.0)
    pacing.answered()
    pacing.asked(1.0)
    assert not pacing.may_draw(LOST_SECONDS)
    assert pacing.may_draw(LOST_SECONDS + 2)
    assert pacing.should_ask()


def test_a_terminal_that_is_behind_gets_the_newest_frame_and_none_between(runs: Path) -> None:
    answer = b"\x1b[10;20R"
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "quit" in there.shown and QUESTION.encode() in there.written)
        os.write(there.ours, answer)

        def asked() -> int:
            return there.written.count(QUESTION.encode())

        # A frame more, and it is asked again; that question stays open.
        before = asked()
        run.write(events.Note(text="the first", step=3))
        there.read_until(lambda: asked() > before)
        for number in range(200):
            run.write(events.Note(text=f"note {number}", step=3))
        # A key is answered at once, whatever waits.
        os.write(there.ours, b"?")
        there.read_until(lambda: "esc closes" in there.shown)
        os.write(there.ours, b"\x1b")
        there.read_until(lambda: "esc closes" not in there.shown)
        shown = there.written.count(b"note 1")
        os.write(there.ours, answer)
        there.read_until(lambda: "note 199" in there.shown)
        assert there.written.count(b"note 1") - shown < 20


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
