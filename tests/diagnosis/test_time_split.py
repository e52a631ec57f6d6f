"""What is said about where the time went, and when R19 reports that the steps wait for their data."""

import pytest

from tuimon.diagnosis.rules import findings
from tuimon.diagnosis.time_split import line, sentence
from tuimon.protocol import events
from tuimon.runs.state import RunState


def split(*, steps: int = 100, kind: str = "", returns_early: bool = False, **seconds: float) -> events.TimeSplit:
    return events.TimeSplit(
        steps=steps, step=steps, seconds=dict(seconds), timed_calls=8, data=kind, returns_early=returns_early
    )


def folded(*splits: events.TimeSplit) -> RunState:
    state = RunState()
    state.apply(splits)
    return state


def test_nothing_is_said_as_long_as_nothing_is_known() -> None:
    assert sentence(RunState()) == ""
    assert sentence(folded(split(steps=0))) == ""
    assert sentence(folded(split(data=0.0, step=0.0))) == ""


def test_the_sentence_adds_up_all_measurements() -> None:
    first = split(data=6.0, step=2.0, validation=1.0, callbacks=0.97, monitoring=0.03)
    second = split(data=2.0, step=6.0, validation=0.0, callbacks=2.0, monitoring=0.0)
    assert sentence(folded(first, second)) == (
        "Where the time of the steps went, without traces and pauses: "
        "40 % waiting for data, 40 % the steps, 5 % validation, 15 % callbacks and Keras' loop, "
        "under 1 % monitoring; 0.10 s a step, over 200 steps."
    )


def test_what_was_not_there_is_left_out() -> None:
    words = sentence(folded(split(steps=1, data=0.0, step=0.0045, validation=0.0)))
    assert (
        words == "Where the time of the steps went, without traces and pauses: "
        "100 % the steps; 4.5 ms a step, over 1 step."
    )


def test_on_a_gpu_the_callbacks_are_part_of_the_steps() -> None:
    words = sentence(folded(split(data=1.0, step=3.0, monitoring=0.0, returns_early=True)))
    assert (
        words == "Where the time of the steps went, without traces and pauses: "
        "25 % waiting for data, 75 % the steps and callbacks; 40 ms a step, over 100 steps."
    )


def test_the_line_has_the_parts_in_their_order() -> None:
    state = folded(split(monitoring=0.1, step=5.2, data=4.1, validation=0.4, callbacks=0.2))
    assert line(state.time_split.shares) == "data 41 % · step 52 % · validation 4 % · callbacks 2 % · monitoring 1 %"


@pytest.mark.parametrize(
    ("share", "severity"), [(0.19, None), (0.21, "info"), (0.49, "info"), (0.51, "warning"), (0.99, "warning")]
)
def test_the_share_decides_how_severe_it_is(share: float, severity: str | None) -> None:
    found = findings(folded(split(data=100 * share, step=100 * (1 - share))))
    assert [(finding.rule, finding.severity) for finding in found] == ([("R19", severity)] if severity else [])


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(folded(split(steps=10_000, data=5.0, step=5.0)), id="half a millisecond a step"),
        pytest.param(folded(split(steps=20, data=1.5, step=0.5)), id="a second and a half in all"),
        pytest.param(folded(split(data=50.0, step=10.0), split(data=0.5, step=10.0)), id="the data are cached now"),
        pytest.param(folded(split(step=10.0)), id="the wait is not known"),
    ],
)
def test_what_is_not_worth_a_word_is_not_reported(state: RunState) -> None:
    assert findings(state) == []


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("arrays", "larger"),
        ("dataset", "prefetch(tf.data.AUTOTUNE)"),
        ("generator", "PyDataset"),
        ("PyDataset", "`workers`"),
        ("DataLoader", "`num_workers`"),
        ("", "several at once"),
        ("of a later version", "several at once"),
    ],
)
def test_the_advice_is_for_the_kind_of_data(kind: str, advice: str) -> None:
    (finding,) = findings(folded(split(data=60.0, step=40.0, kind=kind)))
    assert advice in finding.advice
    assert finding.what == "the steps wait for their data 60 % of the time: 0.60 s of the 1.00 s that a step takes"
