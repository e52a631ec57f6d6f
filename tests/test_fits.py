"""The fits of a run: their numbers, their epochs, and how the axis, the doctor and the timeline name them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from helpers import fit_started, fold, make_run, numbered, started
from tuimon.cli.main import main
from tuimon.plot.request_marks import MOST_FITS, marks
from tuimon.plot.x_axis import x_of
from tuimon.protocol import events
from tuimon.runs import facts_in_words
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from ui.sizes import WIDE
from ui.watching import part, press, text, until, watching


def epochs(first_step: int, *numbers: int, steps: int = 10) -> list[events.AnyEvent]:
    """Return the facts of epochs with these numbers, of so many steps each."""
    facts: list[events.AnyEvent] = []
    for count, number in enumerate(numbers):
        first, last = first_step + count * steps, first_step + (count + 1) * steps
        losses: dict[str, list[float | str | None]] = {"loss": [1.0] * steps}
        facts += [
            events.Batches(first_step=first, metrics=losses, batches=steps, step=last, epoch=number),
            events.EpochEnded(
                logs={"loss": 1.0 / (1 + last)}, learning_rate=1e-3, seconds=1.0, step=last, epoch=number
            ),
        ]
    return facts


def two_fits() -> list[events.AnyEvent]:
    """Return the facts of a run with a fit of three epochs and one of two, each from Keras' epoch 0."""
    return [
        started(),
        fit_started(epochs=3, steps_per_epoch=10),
        *epochs(0, 0, 1, 2),
        events.RunEnded(status="finished", step=30, epoch=2),
        fit_started(epochs=2, steps_per_epoch=10, optimizer="SGD", same_model=False, step=30),
        *epochs(30, 0, 1),
        events.RunEnded(status="finished", step=50, epoch=1),
    ]


def ends(state: RunState) -> list[float]:
    return list(x_of(state, "epoch")(state.epoch_numbers.steps))


def test_the_epochs_of_a_further_fit_come_after_those_of_the_first() -> None:
    state = fold(numbered(two_fits()))
    assert ends(state) == [1, 2, 3, 4, 5]
    assert list(x_of(state, "epoch")(np.array([0, 15, 35]))) == [0, 1.5, 3.5]
    assert [fit.number for fit in state.fits.all] == [1, 2]
    assert state.fits.epoch_words(1, 50) == "fit 2, epoch 2"
    assert state.fits.epoch_words(2, 30) == "fit 1, epoch 3"


@pytest.mark.parametrize(
    ("further", "numbers", "expected"),
    [
        ({"initial_epoch": 3}, (3, 4), [1, 2, 3, 4, 5]),
        ({"initial_epoch": 5}, (5, 6), [1, 2, 3, 6, 7]),
        ({"initial_epoch": 0}, (0, 1), [1, 2, 3, 4, 5]),
    ],
    ids=["it goes on", "the first one stopped early", "it begins anew"],
)
def test_a_fit_that_is_told_its_first_epoch_keeps_keras_numbers(
    further: dict[str, int], numbers: tuple[int, ...], expected: list[float]
) -> None:
    fits = [fit_started(epochs=9, steps_per_epoch=10), *epochs(0, 0, 1, 2), fit_started(epochs=9, step=30, **further)]
    assert ends(fold(numbered([*fits, *epochs(30, *numbers)]))) == expected


def test_an_attempt_that_resumes_goes_on_with_its_fit() -> None:
    resumed = events.RunResumed(checkpoint="c", to_step=20, to_epoch=2, repeated_steps=0, lost_steps=10, step=30)
    again = [started(attempt=1, step=30), resumed, fit_started(epochs=5, initial_epoch=2, step=30)]
    facts = [fit_started(epochs=5), *epochs(0, 0, 1, 2), *again, *epochs(30, 2, 3)]
    state = fold(numbered(facts))
    assert not state.fits.are_several
    assert ends(state) == [1, 2, 3, 3, 4]
    assert state.fits.epoch_words(3, 50) == "epoch 4"


def test_each_fit_is_named_in_the_timeline_and_marked_in_the_charts() -> None:
    facts = numbered(two_fits())
    state = fold(facts)
    fits = [fact for fact in facts if isinstance(fact, events.FitStarted)]
    assert facts_in_words.of(fits[1], state).startswith("fit 2: 2 epochs of 10 steps, SGD")
    assert facts_in_words.of(fits[0], state).startswith("fit 1: 3 epochs")
    assert facts_in_words.of(fits[0], fold(facts[:8])).startswith("fit: 3 epochs"), "it is the only one"
    assert [(mark.step, mark.word) for mark in marks(state)] == [(30, "fit 2")]
    many = [fit_started(epochs=1, step=10 * number) for number in range(MOST_FITS + 1)]
    assert marks(fold(numbered(many))) == []


async def test_an_epoch_has_one_name_everywhere(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, two_fits())
    make_run(runs, two_fits()[:9], name="other")
    main(["list", "--runs", str(runs)])
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run")]
    assert row.count("fit 2, epoch 2") == 2, row
    main(["compare", "run", "other", "--runs", str(runs), "--target", "loss=100"])
    page = capsys.readouterr().out
    assert "A  run: finished, fit 2, epoch 2, step 50" in page
    assert "(fit 2, epoch 2)" in page
    assert "step 10, fit 1, epoch 1, " in page
    assert "same epoch, counted through all fits" in page
    assert re.search(r"epochs +5 +3", page), page
    main(["doctor", "run", "--runs", str(runs)])
    assert "in fit 2, epoch 2 (step 50)" in " ".join(capsys.readouterr().out.split())
    async with watching(RunDirectory(runs / "run"), WIDE) as (app, pilot):
        await until(pilot, lambda: "fit 2, epoch 2" in part(app, "Header"))
        await press(pilot, "8")
        await until(pilot, lambda: re.search(r"fit 2, epoch 2 .*\b5\b", part(app, "RunList")) is not None)
        await press(pilot, "7")
        await until(pilot, lambda: "2 in the newest fit, 5 in all" in text(app))
        assert "fit 2, epoch 2, step 50" in text(app)


def test_the_doctor_names_each_fit(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, two_fits())
    main(["doctor", "run"])
    page = capsys.readouterr().out
    assert "2 fits ──" in page
    assert "fit 1  steps 1–30, epochs 1–3 planned, Adam" in page
    assert "fit 2  steps 31–50, epochs 1–2 planned, SGD, another model" in page
    assert "in fit 2, epoch 2 (step 50)" in " ".join(page.split())
    main(["doctor", "run", "--json"])
    fits = json.loads(capsys.readouterr().out)["fits"]
    assert [(fit["number"], fit["first_step"], fit["first_epoch"], fit["epochs"]) for fit in fits] == [
        (1, 0, 0, 3),
        (2, 30, 3, 5),
    ]
