"""The header: which details it shows, and which are left out where they do not fit."""

from pathlib import Path
from typing import Any

import pytest

from helpers import fit_started, fold, layer, model_built, numbered, started
from tuimon.protocol import events
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.frame.header import Header
from tuimon.ui.viewer.moment import Moment


def a_training(**fit: Any) -> list[events.AnyEvent]:
    """Return the facts of a run that is in its fourth epoch; the second was the best."""
    facts: list[events.AnyEvent] = [
        started(),
        model_built(layer("bn_1"), layer("bn_2")),
        fit_started(**{"epochs": 40, "steps_per_epoch": 500, **fit}),
        events.StateChanged(state="training"),
    ]
    for epoch, loss in enumerate((0.5, 0.3125, 0.375)):
        first, last = 500 * epoch, 500 * (epoch + 1)
        facts += [
            events.Batches(first_step=first, metrics={"loss": [loss] * 500}, batches=500, step=last, epoch=epoch),
            events.EpochEnded(
                logs={"loss": loss, "val_loss": loss}, learning_rate=1e-3, seconds=2.0, step=last, epoch=epoch
            ),
        ]
    overhead = events.Overhead(share=0.0042, parts={}, step=1500, epoch=3)
    batches = events.Batches(first_step=1500, metrics={"loss": [0.25] * 123}, batches=123, step=1623, epoch=3)
    return numbered([*facts, overhead, batches])


def header(facts: list[events.AnyEvent], width: int, height: int, status: str = "training") -> list[str]:
    state = fold(facts)
    cells = Cells(width, height)
    Header().draw(cells, Moment(state, status, (state.last_time or 0.0) + 1, Path("run")))
    return [cells.text(row).rstrip() for row in range(height)]


BEST = "best val_loss 0.3125, epoch 2"


def test_where_there_is_room_the_header_names_the_best_epoch() -> None:
    first, second = header(a_training(), 200, 2)
    assert "epoch  4/40" in first
    assert first.endswith(" 8 %")
    assert BEST in second
    assert BEST in header(a_training(), 200, 1)[0]


@pytest.mark.parametrize(("width", "height"), [(80, 2), (139, 2), (140, 1), (160, 1), (200, 1), (200, 2)])
def test_the_best_epoch_drives_nothing_more_important_out(width: int, height: int) -> None:
    shown = "\n".join(header(a_training(), width, height))
    for words in ("sample", "● training", "left", "steps/s", "lr 0.001", "phase auto", "frozen 0/2", "epoch  4/40"):
        assert words in shown, shown
    assert "overhead" in shown or BEST not in shown


def test_of_a_run_that_is_over_the_best_epoch_stays_where_only_one_fits() -> None:
    over = numbered([*a_training(), events.RunEnded(status="finished", step=1623, epoch=3)])
    (_, second) = header(over, 80, 2, "finished")
    assert BEST in second
    (_, second) = header(over, 66, 2, "finished")
    assert BEST in second
    assert "overhead" not in second


@pytest.mark.parametrize(("width", "height"), [(80, 2), (140, 1), (200, 2)])
def test_an_epoch_without_a_known_end_has_steps_and_no_share(width: int, height: int) -> None:
    facts = a_training(steps_per_epoch=None)[:5]
    facts.append(events.Batches(first_step=500, metrics={"loss": [0.5] * 734}, batches=734, step=1234))
    shown = "\n".join(header(numbered(facts), width, height))
    assert "epoch  1/40   step 1,234" in shown
    assert "steps/s" in shown
    assert " %" not in shown
    assert " left" not in shown
    assert ("length of the epoch not known" in shown) == (width > 80)


@pytest.mark.parametrize(
    ("initial_epoch", "epochs", "share"), [(0, 40, " 7 %"), (0, 4, "75 %"), (2, 4, "75 %"), (0, 3, "100 %")]
)
def test_progress_without_the_length_of_epochs_is_that_of_the_epochs(
    initial_epoch: int, epochs: int, share: str
) -> None:
    facts = a_training(steps_per_epoch=None, initial_epoch=initial_epoch, epochs=epochs)
    # Of three epochs, the last one has ended and the run is over; of more, the fourth goes on.
    assert header(facts[:-2] if epochs == 3 else facts, 80, 2)[0].endswith(share)


def test_progress_of_a_resumed_run_is_that_of_the_whole() -> None:
    facts = [
        *a_training(epochs=400, steps_per_epoch=10),
        started(attempt=1, step=1623, epoch=3),
        events.RunResumed(checkpoint="c", to_step=930, to_epoch=93, repeated_steps=0, lost_steps=0, step=1623),
        fit_started(epochs=400, initial_epoch=93, steps_per_epoch=10, step=1623, epoch=93),
        events.Batches(first_step=1623, metrics={"loss": [0.25] * 5}, batches=5, step=1628, epoch=93),
    ]
    shown = header(numbered(facts), 120, 2)[0]
    assert "epoch  94/400" in shown
    assert shown.endswith(" 23 %")
    assert "fit " not in shown, "it is the same fit"


def test_where_there_are_several_fits_the_header_names_the_one_that_goes_on() -> None:
    further = fit_started(epochs=4, steps_per_epoch=10, step=1623)
    shown = header(numbered([*a_training(), further]), 80, 2)[0]
    assert "fit 2  epoch 1/4" in shown
    assert shown.endswith("  0 %")
    narrow = header(numbered([*a_training(), further]), 44, 2)[0]
    assert "epoch 1/4" in narrow
    assert "fit" not in narrow


def test_a_further_fit_begins_without_a_share() -> None:
    further = fit_started(epochs=4, initial_epoch=3, steps_per_epoch=None, step=1623, epoch=3)
    batches = events.Batches(first_step=1623, metrics={"loss": [0.25] * 7}, batches=7, step=1630, epoch=3)
    shown = header(numbered([*a_training(), further, batches]), 200, 2)[0]
    assert "epoch 4/4   step 1,630" in shown
    assert "%" not in shown


def test_where_there_is_room_the_header_says_where_the_time_goes() -> None:
    seconds = {"data": 1.2, "step": 7.1, "validation": 0.9, "callbacks": 0.6, "monitoring": 0.2}
    split = events.TimeSplit(steps=1000, seconds=seconds, timed_calls=8, step=1623, epoch=3)
    facts = numbered([*a_training(), split])
    words = "data 12 % · step 71 % · validation 9 % · callbacks 6 % · monitoring 2 %"
    assert words in header(facts, 200, 2)[1]
    assert BEST in header(facts, 200, 2)[1]
    # Elsewhere nothing else makes room for it.
    for width, height in ((80, 2), (140, 1), (200, 1)):
        assert header(facts, width, height) == header(a_training(), width, height)
    assert words in header(facts, 280, 1)[0]


def test_a_detail_without_room_does_not_press_the_others_together() -> None:
    assert "lr 0.001   phase auto" in header(a_training()[:-2], 80, 2)[1]
    assert "lr 0.001   phase auto" in header(a_training(), 90, 2)[1]


def test_a_part_that_takes_no_time_is_left_out() -> None:
    split = events.TimeSplit(steps=1000, seconds={"data": 3.0, "step": 1.0, "validation": 0.0}, timed_calls=8)
    split.step, split.epoch = 1623, 3
    assert header(numbered([*a_training(), split]), 200, 2)[1].endswith("time data 75 % · step 25 %")


def test_before_the_first_epoch_ends_there_is_no_best() -> None:
    assert "best" not in "".join(header(a_training()[:5], 200, 2))


@pytest.mark.parametrize(("rate", "shown"), [(None, None), (0.02, "lr 0.02"), (1e-3, "lr 0.001")])
def test_the_learning_rate_of_a_fit_that_begins_is_its_own_or_none(rate: float | None, shown: str | None) -> None:
    further = {} if rate is None else {"learning_rate": rate}
    facts = [*a_training(), fit_started(epochs=5, steps_per_epoch=10, optimizer="SGD", **further)]
    second = header(numbered(facts), 200, 2)[1]
    assert "phase auto" in second
    assert (shown in second) if shown else ("lr " not in second)
    ended = events.EpochEnded(logs={"loss": 0.1}, learning_rate=0.5, seconds=2.0, step=1633, epoch=0)
    assert "lr 0.5" in header(numbered([*facts, ended]), 200, 2)[1]


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [(80, 2, " sample  20261201-151318 "), (54, 2, " sample  151318 "), (200, 1, " sample  20261201-151318 ")],
)
def test_runs_of_one_name_are_told_apart_by_their_time(width: int, height: int, shown: str) -> None:
    state = fold(a_training())
    cells = Cells(width, height)
    Header().draw(cells, Moment(state, "training", 1.0, Path("runs/20261201-151318-sample")))
    assert cells.text(0).startswith(shown)
