"""The best value of each metric, and the epoch that it came in."""

import re
from pathlib import Path

import pytest

from helpers import SENDER, a_run, encode_log, fit_started, fold, make_run, numbered, started
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs import glance
from tuimon.runs.best import Best, Bests, is_lower_better
from tuimon.runs.glance import Glance
from tuimon.runs.run_directory import RunDirectory
from ui.sizes import WIDE
from ui.watching import press, text, until, watching


def epoch(number: int, *, step: int | None = None, **logs: Number) -> events.EpochEnded:
    return events.EpochEnded(
        logs=logs, learning_rate=0.1, seconds=1.0, epoch=number, step=10 * (number + 1) if step is None else step
    )


def saved(name: str, **fields: int) -> events.CheckpointSaved:
    return events.CheckpointSaved(name=name, reason="asked", size_bytes=1, seconds=0.1, **fields)


def bests(*facts: events.AnyEvent) -> dict[str, Best]:
    found = Bests()
    for fact in facts:
        found.add(fact)
    return found.values


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("loss", True),
        ("val_loss", True),
        ("head_loss", True),
        ("val_head_loss", True),
        ("mae", True),
        ("val_mean_squared_error", True),
        ("sparse_categorical_crossentropy", True),
        ("accuracy", False),
        ("val_head_accuracy", False),
        ("AUC", False),
        ("val_auc_2", False),
        ("mean_io_u", False),
        ("learning_rate", None),
        ("false_negatives", None),
        ("neg_mean_squared_error", None),
        ("dice", None),
        ("lossy", None),
        ("val_loss_scale", None),
        ("", None),
    ],
)
def test_the_name_says_which_direction_is_better(name: str, lower: bool | None) -> None:
    assert is_lower_better(name) is lower


def test_the_best_epoch_of_each_metric() -> None:
    found = bests(
        epoch(0, val_loss=0.5, accuracy=0.5, learning_rate=0.1, temperature=3.0),
        epoch(1, val_loss=0.25, accuracy=0.75, learning_rate=0.01, temperature=2.0),
        epoch(2, val_loss=0.375, accuracy=0.75, learning_rate=0.01, temperature=1.0),
    )
    assert found == {"val_loss": Best(0.25, 1, 20), "accuracy": Best(0.75, 1, 20)}


def test_what_is_not_finite_is_never_best() -> None:
    assert bests(epoch(0, loss="nan", accuracy="inf"), epoch(1, loss="-inf", accuracy="nan")) == {}
    assert bests(epoch(0, loss="nan"), epoch(1, loss=2.0), epoch(2, loss="nan")) == {"loss": Best(2.0, 1, 20)}


def test_another_model_begins_anew_and_the_same_goes_on() -> None:
    first = [fit_started(), epoch(0, loss=0.25)]
    assert bests(*first, fit_started(same_model=False)) == {}
    assert bests(*first, fit_started(same_model=False), epoch(0, step=20, loss=0.5)) == {"loss": Best(0.5, 0, 20)}
    assert bests(*first, fit_started(), epoch(0, step=20, loss=0.5)) == {"loss": Best(0.25, 0, 10)}


@pytest.mark.parametrize("kind", [events.RolledBack, events.RunResumed])
def test_a_rollback_undoes_the_epochs_after_its_checkpoint(kind: type) -> None:
    more = {"repeated_steps": 0, "lost_steps": 20} if kind is events.RunResumed else {}
    back = kind(checkpoint="a", to_step=20, to_epoch=2, step=40, **more)
    way = [
        epoch(0, loss=0.5),
        epoch(1, loss=0.375),
        # Its file took longer to write than the next epoch: its fact comes late.
        epoch(2, loss=0.25),
        saved("a", step=30),
        epoch(3, loss=0.125, accuracy=0.5),
    ]
    assert bests(*way, back) == {"loss": Best(0.375, 1, 20)}
    assert bests(*way, back, epoch(2, step=50, loss=0.4375)) == {"loss": Best(0.375, 1, 20)}
    assert bests(*way, back, epoch(2, step=50, loss=0.3125)) == {"loss": Best(0.3125, 2, 50)}


def test_a_rollback_to_a_checkpoint_of_a_branch_that_was_left_takes_its_epochs_back() -> None:
    way = [
        epoch(0, loss=0.5),
        saved("early", step=10),
        epoch(1, loss=0.25),
        saved("late", step=20),
        epoch(2, loss=0.125),
        events.RolledBack(checkpoint="early", to_step=10, to_epoch=0, step=30),
        epoch(3, loss=0.375),
    ]
    assert bests(*way) == {"loss": Best(0.375, 3, 40)}
    assert bests(*way, events.RolledBack(checkpoint="late", to_step=20, to_epoch=1, step=40)) == {
        "loss": Best(0.25, 1, 20)
    }


def test_a_checkpoint_that_no_fact_tells_of_is_of_the_last_way() -> None:
    back = events.RunResumed(checkpoint="a", to_step=10, to_epoch=1, repeated_steps=0, lost_steps=10, step=20)
    assert bests(epoch(0, loss=0.5), epoch(1, loss=0.25), back) == {"loss": Best(0.5, 0, 10)}


def test_one_best_is_shown_that_of_validation_if_it_has_one() -> None:
    found = Bests()
    assert found.shown is None
    found.add(epoch(0, loss=0.5, val_loss="nan", accuracy=0.5))
    assert found.shown == ("loss", Best(0.5, 0, 10))
    found.add(epoch(1, loss=0.25, val_loss=2.0))
    assert found.shown == ("val_loss", Best(2.0, 1, 20))


def test_the_best_outlives_the_rows() -> None:
    state = fold(numbered(epoch(number, val_loss=abs(number - 3)) for number in range(100)))
    state.forget_before(10)
    assert len(state.epoch_metrics["val_loss"]) < 20
    assert state.best.values == {"val_loss": Best(0.0, 3, 40)}


def long_run() -> list[events.AnyEvent]:
    """Return a run whose best epoch is in the middle of its log."""
    return [
        started(),
        fit_started(epochs=400),
        *(epoch(number, val_loss=1 + abs(number - 200)) for number in range(400)),
    ]


@pytest.fixture
def short_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_BEGIN_BYTES", 1000)
    monkeypatch.setattr(glance, "_END_BYTES", 1000)


@pytest.mark.usefixtures("short_ends")
def test_a_glance_finds_the_best_between_the_two_ends_of_a_log(runs: Path) -> None:
    look = Glance(make_run(runs, long_run()), skimmed_bytes=1_000_000)
    look.look()
    assert len(look.state.epoch_metrics["val_loss"]) < 20
    assert look.state.best.values == {"val_loss": Best(1.0, 200, 2010)}


@pytest.mark.usefixtures("short_ends")
def test_a_glance_at_a_huge_log_says_nothing_of_the_best(runs: Path) -> None:
    look = Glance(make_run(runs, long_run()), skimmed_bytes=1000)
    look.look()
    assert look.state.best.values == {}
    assert look.state.best.shown is None
    anew = [fit_started(same_model=False), epoch(0, step=9000, val_loss=5.0)]
    with look.run.session_log.open("ab") as file:
        file.write(encode_log(anew))
    look.look()
    assert look.state.best.values == {"val_loss": Best(5.0, 0, 9000)}


def test_a_whole_run_has_its_best() -> None:
    assert fold(numbered(a_run())).best.values == {"loss": Best(-0.375, 1, 4), "val_loss": Best(-0.5, 1, 4)}


def in_phase(phase: str) -> events.CommandApplied:
    return events.CommandApplied(
        id=f"1-{phase}", request={"command": "phase", "phase": phase}, sender=SENDER, first_step=0, phase=phase
    )


def test_an_epoch_of_another_phase_is_never_the_best() -> None:
    """With `phase inference` the training loss is that of inference mode, with `phase train` the validation loss is."""
    found = bests(
        fit_started(),
        epoch(0, loss=0.5, val_loss=0.6),
        in_phase("inference"),
        epoch(1, loss=-6.0, val_loss=0.5),
        in_phase("auto"),
        epoch(2, loss=-5.0, val_loss=0.55),  # It began in the other phase.
        in_phase("train"),
        epoch(3, loss=0.4, val_loss=-3.0),
        in_phase("auto"),
        epoch(4, loss=0.45, val_loss=0.52),
    )
    assert (found["loss"].value, found["loss"].epoch) == (0.4, 3)
    assert (found["val_loss"].value, found["val_loss"].epoch) == (0.5, 1)


async def test_it_is_said_that_epochs_are_left_out(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = [
        started(),
        fit_started(),
        epoch(0, loss=0.5, val_loss=0.6),
        saved("a", step=10),
        in_phase("train"),
        epoch(1, loss=0.4, val_loss=-3.0),
        epoch(2, loss=0.4, val_loss=-3.5),
    ]
    state = fold(numbered(facts))
    words = "2 epochs with learning phase train are left out: batch statistics made their val_loss"
    assert (state.best.left_out("val_loss"), state.best.left_out("loss")) == (words, "")
    make_run(runs, facts)
    main(["doctor", "run", "--runs", str(runs)])
    page = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"The best val_loss was 0.6, in epoch 1 \(step \d+\); {words}\.", page), page
    main(["export", "run", "--runs", str(runs), "--to", "html", "--out", "-"])
    assert words in capsys.readouterr().out
    async with watching(RunDirectory(runs / "run"), WIDE) as (app, pilot):
        await press(pilot, "7")
        await until(pilot, lambda: words in text(app))
    state.apply([events.RolledBack(checkpoint="a", to_step=10, to_epoch=1, branch=1, step=30)])
    assert state.best.left_out("val_loss") == ""


async def test_where_no_epoch_counts_it_is_said_too(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "1 epoch with learning phase train is left out: batch statistics made its val_loss"
    make_run(runs, [started(), fit_started(phase="train"), epoch(0, loss=0.5, val_loss=0.6)])
    main(["doctor", "run", "--runs", str(runs)])
    assert words in " ".join(capsys.readouterr().out.split())
    async with watching(RunDirectory(runs / "run"), WIDE) as (app, pilot):
        await press(pilot, "7")
        await until(pilot, lambda: words in text(app))
