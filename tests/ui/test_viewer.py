"""The viewer alone, without a screen: what it hears, what it shows, what it asks for."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import SENDER, environment, fold, requests_in
from tuimon.protocol import commands, events
from tuimon.runs.liveness import SILENT_SECONDS
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.viewer.moment import READING, Moment, Notice
from tuimon.ui.viewer.news import CaughtUp, Facts, LogUnreadable, TrainerExited, TrainerGone, TrainerPrinted
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.viewer import NOTICE_SECONDS, Viewer
from ui.facts import alert, training

START = 1_000_000.0
"""When the runs of these tests start, Unix seconds."""


class FakeClock:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self) -> float:
        return START + self.seconds

    def monotonic(self) -> float:
        return self.seconds


class Watched:
    """A run without a trainer, and a viewer of it: facts are told as the reading thread tells them."""

    def __init__(self, runs: Path, *, readonly: bool = False, replay: ReplayClock | None = None) -> None:
        self.directory = RunDirectory.at(runs / "run")
        self.clock = FakeClock()
        self.viewer = Viewer(self.directory, readonly=readonly, replay=replay, clock=self.clock)
        self._seq = 0

    def tell(self, *facts: events.AnyEvent, reading: float | None = None) -> None:
        """Tell further facts; in the log they are a second apart."""
        for fact in facts:
            fact.seq, fact.time, self._seq = self._seq, START + self._seq, self._seq + 1
        self.viewer.hear(Facts(facts, reading))

    def apply(self, request: commands.AnyRequest, **mode: object) -> None:
        """Answer a request as a trainer does that applies it."""
        fields = commands.as_fields(request)
        self.tell(events.CommandApplied(id=request.id, request=fields, sender=SENDER, first_step=4, **mode))  # type: ignore[arg-type]

    def requests(self) -> list[commands.AnyRequest]:
        """Return the requests that lie in the run directory, in the order in which they were asked."""
        return requests_in(self.directory)


@pytest.fixture
def watched(runs: Path) -> Watched:
    return Watched(runs)


def test_the_viewer_needs_neither_textual_nor_rich() -> None:
    statement = "import sys, tuimon.ui.viewer.viewer as viewer, tuimon.ui.viewer.keys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", statement], env=environment(), capture_output=True, text=True, check=True
    )
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {"textual", "rich"}


# What is heard


def test_batches_of_events_fold_as_the_whole_log_does(watched: Watched) -> None:
    facts = training("bn_1", "bn_2")
    for first in range(0, len(facts), 2):
        watched.tell(*facts[first : first + 2])
    whole = fold(facts)
    state = watched.viewer.state
    assert (state.step, state.epochs_ended, state.last_seq) == (3, whole.epochs_ended, len(facts) - 1)
    assert list(state.layers) == ["bn_1", "bn_2"]
    assert list(state.batch_metrics["loss"].values) == list(whole.batch_metrics["loss"].values)


def test_a_moment_of_a_live_run_has_the_time_of_now(watched: Watched) -> None:
    moment = watched.viewer.moment()
    assert (moment.status, moment.now, moment.refusal) == ("starting", START, "training has not begun")
    watched.tell(*training("bn_1"))
    watched.clock.seconds = 7.5
    moment = watched.viewer.moment()
    assert (moment.status, moment.now, moment.refusal) == ("training", START + 7.5, "")
    assert (moment.replay, moment.whole, moment.run_path) == (None, None, watched.directory.path)
    assert not moment.is_line_slow
    assert watched.viewer.moment(is_line_slow=True).is_line_slow


def test_a_log_that_does_not_grow_makes_a_run_silent(watched: Watched) -> None:
    watched.tell(*training("bn_1"))
    watched.clock.seconds = SILENT_SECONDS
    assert watched.viewer.moment().status == "training"
    watched.clock.seconds += 1.0
    moment = watched.viewer.moment()
    assert (moment.status, moment.silent_seconds) == ("silent", SILENT_SECONDS + 1.0)
    watched.tell(events.Heartbeat())
    assert watched.viewer.moment().status == "training"


def test_a_log_that_had_not_grown_for_long_is_silent_once_it_is_read(watched: Watched) -> None:
    watched.tell(*training("bn_1"), reading=0.5)
    assert (watched.viewer.moment().reading, watched.viewer.moment().status) == (0.5, READING)
    watched.viewer.hear(CaughtUp(silent_seconds=3600.0))
    moment = watched.viewer.moment()
    assert (moment.reading, moment.status, moment.silent_seconds) == (None, "silent", 3600.0)


def test_a_trainer_that_is_gone_has_crashed_until_it_writes_its_end(watched: Watched) -> None:
    watched.tell(*training("bn_1"))
    watched.viewer.hear(TrainerGone(gone=True))
    moment = watched.viewer.moment()
    assert (moment.status, moment.refusal) == ("crashed", "the run is over")
    watched.tell(events.RunEnded(status="finished", step=3))
    assert watched.viewer.moment().status == "finished"


def test_of_a_trainer_that_is_gone_no_answer_is_waited_for(watched: Watched) -> None:
    watched.tell(*training("bn_1"))
    for request in (commands.Freeze(), commands.Pause()):
        watched.viewer.ask(request)
    assert len(watched.viewer.moment().asked) == 2
    watched.viewer.hear(TrainerGone(gone=True))
    moment = watched.viewer.moment()
    assert moment.asked == ()
    assert said(moment) == "No answer will come to “freeze all” and 1 more: the trainer is gone."
    # A further attempt may answer all the same: that is in the log.
    watched.viewer.hear(TrainerGone(gone=False))
    assert watched.viewer.moment().asked == ()


def test_a_trainer_that_cannot_be_started_has_failed(watched: Watched) -> None:
    watched.viewer.hear(TrainerPrinted(("first", "last")))
    watched.viewer.hear(TrainerExited(None, "The training process cannot be started: no such file"))
    moment = watched.viewer.moment()
    assert (moment.status, moment.exit_code, moment.trainer_log) == ("failed", None, ("first", "last"))
    assert moment.notice == Notice("The training process cannot be started: no such file", bad=True)


def test_what_hinders_the_viewer_is_said_while_nothing_else_is(watched: Watched) -> None:
    viewer, clock = watched.viewer, watched.clock
    viewer.hear(LogUnreadable("it cannot be read"))
    viewer.say("something else")
    assert viewer.notice == Notice("something else")
    clock.seconds += NOTICE_SECONDS
    assert viewer.notice == Notice("something else")
    clock.seconds += 0.1
    assert viewer.notice == Notice("it cannot be read", bad=True)
    viewer.hear(LogUnreadable(""))
    assert viewer.notice is None


def test_what_happens_is_told_from_training_that_goes_on(watched: Watched) -> None:
    viewer, clock = watched.viewer, watched.clock
    watched.tell(*training("bn_1"))
    seen = [viewer.happened]

    def is_news() -> bool:
        seen.append(viewer.happened)
        return seen[-1] != seen[-2]

    watched.tell(events.Batches(first_step=3, metrics={"loss": [0.5]}, batches=1, step=4))
    watched.tell(events.Heartbeat(step=4))
    clock.seconds += 1.0
    assert not is_news()
    # One that happened among many measurements is news.
    watched.tell(events.Batches(first_step=4, metrics={}, batches=1, step=5), events.Note(text="here", step=5))
    assert is_news()
    viewer.say("a sentence")
    assert is_news()
    viewer.hear(TrainerGone(True))
    assert is_news()
    # A log that is being read is a past that grows.
    viewer.hear(Facts((), reading=0.5))
    assert not is_news()
    viewer.hear(CaughtUp(0.0))
    assert is_news()


def test_there_is_another_version_when_there_is_something_new_to_show(watched: Watched) -> None:
    viewer, clock = watched.viewer, watched.clock
    seen = [viewer.version]

    def is_new() -> bool:
        seen.append(viewer.version)
        return seen[-1] != seen[-2]

    assert not is_new()
    watched.tell(*training("bn_1"))
    assert is_new()
    viewer.say("a sentence")
    assert is_new()
    clock.seconds += 1.0
    assert is_new()  # Of a run that goes on, seconds are shown.
    watched.tell(events.RunEnded(status="finished", step=3))
    assert is_new()
    clock.seconds += 1.0
    assert not is_new()
    clock.seconds += NOTICE_SECONDS
    assert is_new()  # The sentence is over.
    assert not is_new()


def test_an_alert_that_was_read_presses_no_more(watched: Watched) -> None:
    watched.tell(*training("bn_1"), alert())
    (found,) = watched.viewer.moment().state.alerts
    assert found.seq not in watched.viewer.moment().read
    watched.viewer.read_alerts.add(found.seq)
    assert watched.viewer.moment().read == {found.seq}


# What is asked


def test_a_request_is_asked_then_applied_then_can_be_undone(watched: Watched) -> None:
    viewer = watched.viewer
    watched.tell(*training("bn_1", "bn_2"))
    viewer.ask(commands.Freeze())
    (asked,) = viewer.moment().asked
    assert (asked.words, asked.time) == ("freeze all", START)
    assert viewer.moment().is_frozen("bn_1")
    assert viewer.state.frozen == set()
    viewer.undo()
    assert "has no answer yet" in said(viewer.moment())

    (request,) = watched.requests()
    watched.apply(request, frozen=["bn_1", "bn_2"])
    assert viewer.moment().asked == ()
    assert said(viewer.moment()) == "freeze all: applied at step 4."
    assert viewer.state.frozen == {"bn_1", "bn_2"}

    viewer.undo()
    (undo,) = viewer.moment().asked
    assert undo.words == "undo freeze all"
    assert undo.undoes == viewer.state.commands[request.id].seq
    assert not viewer.moment().is_frozen("bn_1")
    watched.apply(watched.requests()[-1], frozen=[])
    assert viewer.state.frozen == set()
    viewer.undo()
    assert "no request has changed anything that is still so" in said(viewer.moment())


def test_what_the_run_does_not_take_is_said_and_not_asked(watched: Watched) -> None:
    watched.tell(*training("bn_1", can={"freeze": "the step is compiled by its own tf.function"}))
    watched.viewer.ask(commands.Freeze())
    assert said(watched.viewer.moment()) == (
        "This run does not take freeze: the step is compiled by its own tf.function"
    )
    watched.viewer.ask(commands.Pause())
    assert said(watched.viewer.moment()) == "This run does not take pause: its trainer is of an older version"
    assert watched.requests() == []


def test_a_viewer_that_only_reads_asks_for_nothing(runs: Path) -> None:
    watched = Watched(runs, readonly=True)
    watched.tell(*training("bn_1"))
    watched.viewer.ask(commands.Freeze())
    assert said(watched.viewer.moment()) == "Nothing was asked: read-only."
    assert not watched.viewer.may_stop
    assert watched.requests() == []


def test_a_request_that_cannot_be_written_is_said(watched: Watched) -> None:
    watched.tell(*training("bn_1"))
    watched.directory.commands.rmdir()
    watched.viewer.ask(commands.Pause())
    moment = watched.viewer.moment()
    assert said(moment).startswith("The request cannot be written: ")
    assert moment.asked == ()
    assert not watched.viewer.stop()
    assert said(watched.viewer.moment()).startswith("The request to stop cannot be written: ")


def test_a_run_is_stopped_before_it_trains_but_not_once_it_is_over(watched: Watched) -> None:
    watched.tell(*training("bn_1")[:2])
    assert watched.viewer.may_stop
    assert watched.viewer.stop()
    assert [type(request) for request in watched.requests()] == [commands.Stop]
    watched.tell(events.RunEnded(status="stopped", step=0))
    assert not watched.viewer.may_stop
    assert watched.viewer.moment().asked == ()


# A replay


def test_a_replay_shows_what_is_due_by_its_own_clock(runs: Path) -> None:
    watched = Watched(runs, replay=ReplayClock(speed=2.0))
    viewer, clock = watched.viewer, watched.clock
    facts = training("bn_1")
    watched.tell(*facts)
    assert viewer.state.last_seq == -1
    clock.seconds = 1.0
    viewer.tick()
    moment = viewer.moment()
    assert (viewer.state.last_seq, moment.now) == (2, START + 2.0)
    assert moment.refusal == "a replay cannot be steered"
    assert moment.replay is not None
    assert (moment.replay.elapsed_seconds, moment.replay.total_seconds) == (2.0, len(facts) - 1.0)

    viewer.toggle_playing()
    clock.seconds = 1000.0
    viewer.tick()
    assert viewer.state.last_seq == 2
    viewer.toggle_playing()
    # The time that it waited is not made up for, and nobody calls it silent.
    viewer.tick()
    assert (viewer.state.last_seq, viewer.moment().status) == (2, "starting")


def test_a_replay_knows_the_whole_timeline_and_goes_to_a_time_and_back(runs: Path) -> None:
    replay = ReplayClock()
    watched = Watched(runs, replay=replay)
    viewer = watched.viewer
    facts = training("bn_1")
    watched.tell(*facts, alert("R1"))
    moment = viewer.moment()
    assert moment.whole is not None
    assert [entry.seq for entry in moment.whole.alerts] == [len(facts)]
    assert (moment.state.alerts, replay.event_before()) == ([], None)

    to = replay.next_event()
    assert to == START + len(facts)
    viewer.go_to(to)
    assert [entry.rule for entry in viewer.state.alerts] == ["R1"]
    assert (viewer.state.step, replay.next_event(), replay.playing) == (3, None, False)

    viewer.say("a sentence")
    viewer.go_to(START + 1.0)
    assert (viewer.state.last_seq, viewer.state.step, viewer.state.alerts) == (1, 0, [])
    assert viewer.notice is None


def said(moment: Moment) -> str:
    return moment.notice.text if moment.notice else ""
