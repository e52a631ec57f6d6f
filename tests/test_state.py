"""The fold of events that every screen, list and export shares."""

import math
from itertools import pairwise

import pytest

from helpers import a_run, fit_started, fold, numbered, started
from tuimon.protocol import commands, events
from tuimon.runs.state import Command, RunState
from tuimon.runs.system_load import MOST_SAMPLES


def test_a_whole_run() -> None:
    state = fold(numbered(a_run()))
    assert state.ended is not None
    assert state.ended.status == "finished"
    assert (state.step, state.epoch, state.epochs_ended) == (4, 1, 2)
    assert state.batch_metrics["loss"].steps.tolist() == [0, 1, 2, 3]
    assert math.isnan(state.batch_metrics["loss"].values[1])
    assert state.running_metrics["auc"].values.tolist() == [0.75]
    assert state.epoch_metrics["val_loss"].values.tolist() == [math.inf, -0.5]
    assert state.epoch_metrics["loss"].steps.tolist() == [2, 4]
    assert state.frozen == {"bn_1", "bn_2"}
    assert state.layers["bn_1"].moving_mean.rows.shape == (2, 7)
    assert state.layers["bn_2"].mode == "frozen"
    assert state.total_steps == 4
    assert state.seconds_left is None


def test_layers_that_the_user_froze_are_frozen_from_the_start() -> None:
    assert fold(numbered(a_run()[:3])).frozen == {"bn_2"}


def test_a_command_is_in_the_timeline_once_and_knows_what_was_verified() -> None:
    state = fold(numbered(a_run()))
    entries = [entry for entry in state.timeline if isinstance(entry, Command)]
    assert entries == [state.commands["a-0"]]
    command = entries[0]
    assert (command.words, command.applied, command.step, command.traced_seconds) == ("freeze all", True, 2, 0.5)
    assert command.verified is not None
    assert command.verified.held


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "request"),
        ({"command": 7}, "7"),
        ({"command": "melt", "degrees": 3}, "melt"),
        ({"command": "freeze", "layers": [], "channels": [1]}, "freeze"),
        ({"command": "freeze", "layers": "all"}, "freeze"),
        ({"command": "phase", "phase": "monte carlo"}, "phase"),
        ({"command": "rollback", "checkpoint": None}, "rollback"),
    ],
)
def test_a_request_that_this_version_does_not_know_is_shown_by_its_name(body: dict[str, object], words: str) -> None:
    sender = events.Sender(uid=1, user="", host="", pid=0)
    answers = [
        events.CommandApplied(id="a", request=body, sender=sender, first_step=4, step=4),
        events.CommandRejected(id="b", request=body, sender=sender, reason="no", step=4),
    ]
    state = fold(numbered([*a_run()[:-1], *answers]))
    assert [state.commands[identity].words for identity in "ab"] == [words, words]
    assert all(isinstance(state.commands[identity].request, commands.UnknownRequest) for identity in "ab")
    assert not state.commands["a"].is_final
    assert state.timeline[-2:] == [state.commands["a"], state.commands["b"]]


def test_a_request_of_a_fact_is_the_request_that_was_sent() -> None:
    sent = commands.Freeze(layers=["bn_*"], statistics=True)
    assert commands.from_fact(commands.as_fields(commands.signed(sent, attempt=0))) == sent


def test_folding_in_parts_is_folding_at_once() -> None:
    facts = numbered(a_run())
    parts, whole = RunState(), fold(numbered(a_run()))
    for event in facts:
        parts.apply([event])
    assert parts.batch_metrics["loss"].steps.tolist() == whole.batch_metrics["loss"].steps.tolist()
    assert parts.timeline == whole.timeline
    assert (parts.step, parts.frozen, parts.phase) == (whole.step, whole.frozen, whole.phase)


def test_speed_and_time_left() -> None:
    state = fold(
        numbered(
            [
                started(time=100.0),
                fit_started(time=100.0, epochs=10, steps_per_epoch=10),
                events.Batches(time=101.0, first_step=0, metrics={}, batches=20, step=20),
                events.Batches(time=102.0, first_step=20, metrics={}, batches=20, step=40),
            ]
        )
    )
    assert state.steps_per_second == 20
    assert state.seconds_left == 3


def test_what_had_it_wait_says_nothing_of_its_speed() -> None:
    def batches(time: float, first: int) -> events.Batches:
        return events.Batches(time=time, first_step=first, metrics={}, batches=20, step=first + 20)

    state = fold(
        numbered(
            [
                started(time=100.0),
                fit_started(time=100.0, epochs=10, steps_per_epoch=10),
                batches(101.0, 0),
                events.StateChanged(time=101.0, state="paused", step=20),
                events.StateChanged(time=901.0, state="training", step=20),
                batches(902.0, 20),
            ]
        )
    )
    assert state.steps_per_second == 20
    assert state.seconds_left == 3


def test_a_second_fit_goes_on_where_the_first_ended() -> None:
    again = [
        fit_started(epochs=1, step=4),
        events.Batches(first_step=4, metrics={"loss": [0.1]}, batches=1, step=5),
    ]
    state = fold(numbered([*a_run(), *again]))
    assert state.ended is None
    assert state.total_steps == 6
    assert state.batch_metrics["loss"].steps.tolist() == [0, 1, 2, 3, 4]


def test_events_that_were_dropped_add_up() -> None:
    gaps = [events.LogGap(dropped={"batches": 2}, reason="full"), events.LogGap(dropped={"batches": 3}, reason="full")]
    assert fold(numbered(gaps)).dropped == {"batches": 5}


def test_the_load_of_the_machine_is_that_of_the_newest_attempt_and_bounded() -> None:
    first = [started(), *[events.System(cores=4, time=1000.0 + 10 * index) for index in range(20_000)]]
    state = fold(numbered(first))
    samples = state.system.samples
    assert len(samples) <= MOST_SAMPLES
    assert (samples[0].time, samples[-1].time) == (1000.0, 1000.0 + 10 * 19_999)
    assert [sample.time for sample in samples] == sorted(sample.time for sample in samples)
    # The newest hours are there in full.
    assert {later.time - earlier.time for earlier, later in pairwise(samples[-MOST_SAMPLES // 2 :])} == {10.0}
    state.apply([started(attempt=1)])
    assert state.system.samples == []


def test_what_a_new_fit_has_not_taken_over_cannot_be_undone() -> None:
    facts = [fact for fact in a_run() if not isinstance(fact, events.RunEnded)]
    kept = fit_started(frozen=["bn_1", "bn_2"], step=4)
    assert [command.id for command in fold(numbered([*facts, kept])).undoable] == ["a-0"]
    left = fit_started(frozen=["bn_2"], step=4)
    assert fold(numbered([*facts, left])).undoable == []
