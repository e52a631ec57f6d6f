"""What is said of the speed, of the time left and of a step that is late, in the awkward trainings."""

import os
import time
from pathlib import Path

import pytest
from msgspec import structs

from helpers import fit_started, fold, make_run, started
from tuimon.cli import list as list_command
from tuimon.cli.common.progress_lines import Progress
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.state import RunState
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.frame.header import Header
from tuimon.ui.viewer.moment import Moment, ReplayPosition

LINE_SECONDS = 0.25
"""A line of `batches` comes this often, or with each step that takes longer."""


class Training:
    """Makes the facts of a training as the trainer writes them, and notes what is said before each of its lines."""

    def __init__(self, *, epochs: int, steps: int, compiling: float = 5.0) -> None:
        self.facts: list[events.AnyEvent] = []
        self.time, self.step, self.epoch = 1000.0, 0, 0
        self.steps = steps
        self.add(started())
        self.add(fit_started(epochs=epochs, steps_per_epoch=steps, can={"evaluate": ""}))
        self.state("compiling")
        self.first_seconds = compiling
        self.late: list[float] = []
        self._unread, self._read_at = 0, self.time
        self._is_compiling = True

    def add(self, event: events.AnyEvent) -> None:
        event.time, event.step, event.epoch = self.time, self.step, self.epoch
        event.seq = len(self.facts)
        self.facts.append(event)

    def state(self, name: str, **fields: str) -> None:
        self.add(events.StateChanged(state=name, **fields))

    def read(self) -> None:
        if self._unread:
            state = self.folded()
            if (late := state.pace.seconds_without_step(self.time)) is not None:
                self.late.append(late)
            first, self.step = self.step, self.step + self._unread
            self.add(events.Batches(first_step=first, metrics={}, batches=self._unread))
        self._unread, self._read_at = 0, self.time

    def make(self, count: int, seconds: float) -> "Training":
        """Make steps; the first one is part of the compilation."""
        for _ in range(count):
            self.time += self.first_seconds if self._is_compiling else seconds
            self._unread += 1
            if self._is_compiling:
                self._is_compiling = False
                self.read()
                self.state("training")
            elif self.time - self._read_at >= LINE_SECONDS:
                self.read()
        return self

    def end_epoch(self, *, validation: float = 0.0, callbacks: float = 0.0, own: float = 0.0) -> "Training":
        """End an epoch.

        Args:
            validation: Seconds of a validation of `fit`, which is a state from half a second on.
            callbacks: Seconds of the user's callbacks after the Monitor's.
            own: Seconds of a validation of a user's loop: the last steps are read after it.
        """
        self.time += own
        self.read()
        if validation > 0.5:
            self.state("validating")
        self.time += validation
        if validation > 0.5:
            self.state("training")
        logs: dict[str, float | str | None] = {"loss": 0.5} | ({"val_loss": 0.5} if validation else {})
        self.add(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0))
        self.time += callbacks
        self.epoch += 1
        self._read_at = self.time
        return self

    def folded(self) -> RunState:
        return fold(self.facts)


def epochs(training: Training, count: int, step_seconds: float, **end: float) -> Training:
    for _ in range(count):
        training.make(training.steps, step_seconds).end_epoch(**end)
    return training


def left(training: Training) -> float:
    seconds = training.folded().seconds_left
    assert seconds is not None
    return seconds


def test_compiling_counts_neither_for_the_speed_nor_for_the_time_left() -> None:
    training = Training(epochs=100, steps=100, compiling=60.0)
    assert training.make(1, 0.0).folded().seconds_left is None
    state = training.make(50, 0.1).folded()
    assert state.pace.speed(training.time) == pytest.approx(10, rel=0.05)
    assert left(training) == pytest.approx(995, rel=0.02)
    assert state.leaves_out_validation


@pytest.mark.parametrize("kind", ["validation", "callbacks", "own"])
@pytest.mark.parametrize("end_seconds", [0.25, 6.0])
def test_the_ends_of_epochs_count_for_the_time_left(kind: str, end_seconds: float) -> None:
    training = epochs(Training(epochs=10, steps=100), 4, 0.05, **{kind: end_seconds})
    training.make(50, 0.05)
    whole = 5 * (100 * 0.05 + end_seconds) + 50 * 0.05 + end_seconds
    assert left(training) == pytest.approx(whole, rel=0.05)
    assert not training.folded().leaves_out_validation


def test_epochs_of_one_step_have_a_time_left_as_well() -> None:
    training = epochs(Training(epochs=1000, steps=1), 50, 0.02, validation=0.08)
    assert left(training) == pytest.approx(950 * 0.1, rel=0.05)


def test_one_stall_does_not_change_the_time_left() -> None:
    training = epochs(Training(epochs=10, steps=200), 3, 0.025).make(100, 0.025)
    before = left(training)
    training.time += 60.0
    training.make(50, 0.025)
    assert left(training) == pytest.approx(before, rel=0.1)


def test_a_training_that_becomes_slower_for_good_has_more_time_left() -> None:
    training = Training(epochs=1, steps=1000).make(100, 1.0)
    training.make(100, 10.0)
    assert left(training) == pytest.approx(8000, rel=0.3)


@pytest.mark.parametrize(
    ("step_seconds", "steps", "end"),
    [
        (0.001, 2000, {"validation": 0.3}),
        (0.02, 100, {"callbacks": 20.0}),
        (0.02, 100, {"own": 25.0}),
        (0.02, 100, {"validation": 40.0}),
        (1.0, 20, {"validation": 0.1}),
        (30.0, 5, {"validation": 10.0}),
        (0.02, 1, {"callbacks": 0.02}),
    ],
)
def test_a_usual_training_is_never_late(step_seconds: float, steps: int, end: dict[str, float]) -> None:
    training = epochs(Training(epochs=10, steps=steps), 4, step_seconds, **end)
    assert training.late == []


def test_states_without_steps_are_never_late() -> None:
    training = Training(epochs=2, steps=1000).make(200, 0.02)
    training.read()
    for state in ("paused", "compiling", "probing", "recalibrating", "checkpointing", "validating"):
        training.state(state)
        assert training.folded().pace.seconds_without_step(training.time + 600) is None
    training.state("training")
    assert training.folded().pace.seconds_without_step(training.time + 600) == 600


def test_a_slow_callback_that_comes_again_is_late_once_or_twice() -> None:
    training = Training(epochs=1, steps=10_000)
    for _ in range(6):
        training.make(100, 0.02)
        training.time += 8.0
    training.make(100, 0.02)
    assert len(training.late) == 2


def shown(training: Training, seconds: float, *, is_replay: bool = False) -> str:
    """Return the header, so long after the newest line."""
    cells = Cells(200, 2)
    # The viewer's clock is an hour ahead of the trainer's: that must not show.
    now = training.time + (seconds if is_replay else 3600)
    replay = ReplayPosition(True, 1.0, 10.0, 100.0) if is_replay else None
    silent = 0.0 if is_replay else seconds
    Header().draw(cells, Moment(training.folded(), "training", now, Path("run"), silent_seconds=silent, replay=replay))
    return "\n".join(cells.text(row) for row in range(2))


@pytest.mark.parametrize("is_replay", [False, True])
def test_a_stall_is_said_in_place_of_the_speed(is_replay: bool) -> None:
    training = epochs(Training(epochs=10, steps=200), 3, 0.025).make(100, 0.025)
    training.read()
    assert "40.0 steps/s" in shown(training, 0.1, is_replay=is_replay)
    assert "left" in shown(training, 0.1, is_replay=is_replay)
    stalled = shown(training, 12.3, is_replay=is_replay)
    assert "last step 12 s ago" in stalled
    assert "– left" in stalled
    assert "steps/s" not in stalled
    assert "last step 1:00 ago" in shown(training, 60.5, is_replay=is_replay)


def test_the_speed_falls_where_the_next_step_does_not_come() -> None:
    training = Training(epochs=1, steps=1000).make(40, 10.0)
    training.read()
    state = training.folded()
    speeds = [state.pace.speed(training.time + seconds) or 0.0 for seconds in (5, 20, 30, 40)]
    assert speeds[0] == pytest.approx(0.1)
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] < 0.06


def test_before_there_is_enough_to_tell_there_is_a_dash() -> None:
    training = Training(epochs=10, steps=200).make(1, 0.02)
    words = shown(training, 0.1)
    assert "– left" in words
    assert "– steps/s" in words
    assert ">" in shown(training.make(150, 0.02), 0.0), "validations are not timed yet"


def test_a_long_validation_says_how_long() -> None:
    training = epochs(Training(epochs=10, steps=200), 1, 0.025)
    training.state("validating")
    cells = Cells(200, 2)
    moment = Moment(training.folded(), "validating", training.time, Path("run"), silent_seconds=45.5)
    Header().draw(cells, moment)
    assert "validating… 45 s" in cells.text(0)


def test_plain_lines_tell_of_a_stall_less_and_less() -> None:
    training = epochs(Training(epochs=10, steps=200), 3, 0.025).make(100, 0.025)
    training.read()
    progress, now = Progress(), 50.0
    list(progress.lines(training.facts, now))
    said = []
    for second in range(120):
        beat = [events.Heartbeat(seq=9999, time=training.time + second + 0.5, step=training.step, epoch=3)]
        said += progress.lines(beat if second % 5 == 0 else [], now + second + 0.5)
    assert said == [
        f"step 700  last step {each} ago; the trainer lives" for each in ("5 s", "11 s", "23 s", "47 s", "1:35")
    ]


def test_an_attempt_that_begins_is_not_late_for_the_one_before() -> None:
    training = epochs(Training(epochs=10, steps=200), 3, 0.025).make(100, 0.025)
    training.read()
    progress = Progress()
    progress.skip(training.facts)
    again = structs.replace(started(attempt=1), seq=9999, time=training.time + 3600)
    assert not [line for line in progress.lines([again], 50.0) if "last step" in line]


def test_list_tells_of_a_stall(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = epochs(Training(epochs=10, steps=200), 3, 0.025).make(100, 0.025)
    training.read()
    shift = time.time() - training.time - 100.0
    mine = started(pid=os.getpid(), process_started=liveness.process_start(os.getpid()))
    facts = [mine, *training.facts[1:]]
    for event in facts:
        event.time += shift
    run = make_run(runs, facts)
    os.utime(run.session_log, (time.time() - 20.0, time.time() - 20.0))
    assert main(["list", str(runs)]) == 0
    assert "training, last step 20 s ago" in capsys.readouterr().out
    assert list_command.VERSION == 1
