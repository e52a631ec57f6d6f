"""A run that is exported to TensorBoard and imported again has every step and value, in single precision."""

import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crooked import NUMBERS, crooked_run
from foreign import event_files
from foreign.event_files import event, simple
from helpers import a_run, fit_started, fold, make_run, model_built, numbered, read_log, started
from hostile import hostile_run
from tuimon.cli.main import main
from tuimon.errors import UsageError
from tuimon.export.rows import of_all
from tuimon.foreign.sources import find, find_one
from tuimon.foreign.translated import Followed, import_run
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs import facts_in_words
from tuimon.runs.listing.parameters import parameters_of
from tuimon.runs.run_directory import RunDirectory

Measured = Counter[tuple[object, ...]]
BETWEEN = ("batch/BatchNormalization/", "batch/evaluated/")
"""How measurements between the batches begin, which are curves by steps in what is imported."""


def export(run: RunDirectory, out: Path) -> Path:
    assert main(["export", str(run.path), "--to", "tensorboard", "--out", str(out)]) == 0
    return out


def imported(path: Path, runs: Path, name: str = "again") -> RunDirectory:
    return import_run(find_one(path, "tuimon import"), runs, name)


def single(value: Number) -> str:
    with np.errstate(over="ignore"):
        return repr(float(np.float32(from_wire(value))))


def measured(facts: Iterable[events.AnyEvent]) -> Measured:
    """Return all values of batches and epochs, with metric, step, branch and fit, and of epochs the epoch."""
    kinds = (events.RunStarted, events.FitStarted, events.RunResumed, events.Batches, events.EpochEnded)
    found = Measured()
    for row in of_all(fact for fact in facts if isinstance(fact, kinds)):
        if row.value is not None and not row.metric.startswith(("best/", *BETWEEN)):
            of_epoch = None if row.metric.startswith(("batch/", "running/")) else row.epoch
            found[row.metric, row.step, of_epoch, single(row.value), row.branch, row.fit] += 1
    return found


def test_fits_branches_steps_epochs_and_values_come_back(runs: Path, tmp_path: Path) -> None:
    run = make_run(runs, crooked_run())
    again = imported(export(run, tmp_path / "logs"), runs)
    facts = read_log(again)
    assert measured(facts) == measured(read_log(run))
    state = fold(facts)
    assert not state.untaken
    assert (state.step, state.epoch, state.branch) == (24, 0, 2)
    assert [fit.started.step for fit in state.fits.all] == [0, 12]
    assert [fact.seq for fact in facts] == list(range(len(facts)))
    epochs_of_batches = [
        {fact.first_step: fact.epoch for fact in log if isinstance(fact, events.Batches) and "loss" in fact.metrics}
        for log in (facts, read_log(run))
    ]
    assert epochs_of_batches[0] == epochs_of_batches[1]
    # What is said of the run at every place is there as well, and not taken for a batch's value.
    assert not [name for name in state.batch_metrics if "evaluation_" in name or name.startswith(("batch_", "epoch"))]


def test_nothing_is_said_of_a_fit_that_the_export_does_not_tell(runs: Path, tmp_path: Path) -> None:
    state = fold(read_log(imported(export(make_run(runs, crooked_run()), tmp_path / "logs"), runs)))
    assert state.fits.described(state.step) == [("fit 1", "steps 1–12"), ("fit 2", "steps 13–24")]
    assert [facts_in_words.of(fit.started, state) for fit in state.fits.all] == ["fit 1: training", "fit 2: training"]
    assert not {"optimizer", "XLA", "epochs"} & parameters_of(state).keys()


def test_running_values_stay_running(runs: Path, tmp_path: Path) -> None:
    run = make_run(runs, a_run())
    again = imported(export(run, tmp_path / "logs"), runs)
    state = fold(read_log(again))
    assert state.running_metrics["auc"].steps.tolist() == [2]
    assert "auc" not in state.batch_metrics
    assert measured(read_log(again)) == measured(read_log(run))


def test_epochs_without_validation_and_without_batches_have_their_steps(runs: Path, tmp_path: Path) -> None:
    facts = [
        started(),
        fit_started(epochs=20),
        *(
            events.EpochEnded(logs={"loss": 1.0}, learning_rate=0.1, seconds=1.0, step=7 * (epoch + 1), epoch=epoch)
            for epoch in range(20)
        ),
    ]
    run = make_run(runs, facts)
    again = imported(export(run, tmp_path / "logs"), runs)
    assert measured(read_log(again)) == measured(facts)


def test_an_export_of_a_hostile_log_harms_nothing(runs: Path, tmp_path: Path) -> None:
    out = export(hostile_run(runs), tmp_path / "logs")
    for found in find(out):
        assert not fold(read_log(import_run(found, runs, "again"))).untaken


def test_numbers_that_no_trainer_writes_come_back(runs: Path, tmp_path: Path) -> None:
    facts = [
        *a_run()[:-1],
        events.Batches(first_step=2**52, metrics={"loss": [1.0]}, batches=1, step=2**52, branch=2**49),
        events.EpochEnded(logs={"loss": 1.0}, learning_rate="nan", seconds=1.0, step=2**52, epoch=2**52, branch=2**49),
    ]
    run = make_run(runs, facts)
    again = imported(export(run, tmp_path / "logs"), runs)
    assert measured(read_log(again)) == measured(read_log(run))


def test_a_second_import_has_the_same_values(runs: Path, tmp_path: Path) -> None:
    first = imported(export(make_run(runs, crooked_run()), tmp_path / "logs"), runs, "first")
    second = imported(export(first, tmp_path / "logs2"), runs, "second")
    assert measured(read_log(second)) == measured(read_log(first))


def test_names_are_not_made_those_of_keras(runs: Path, tmp_path: Path) -> None:
    facts = [
        started(),
        fit_started(),
        events.Batches(first_step=0, metrics={"Loss/train": [1.0], "train/accuracy": [0.5]}, batches=1, step=1),
        events.Batches(first_step=1, metrics={"probe/gap": [1.0]}, batches=1, step=2),
        events.EpochEnded(logs={"Loss/train": 1.0, "lr": 2.0}, learning_rate=None, seconds=1.0, step=2),
    ]
    run = make_run(runs, facts)
    again = imported(export(run, tmp_path / "logs"), runs)
    assert measured(read_log(again)) == measured(facts)


def test_histograms_are_by_completed_steps(runs: Path, tmp_path: Path) -> None:
    state = fold(read_log(imported(export(make_run(runs, crooked_run()), tmp_path / "logs"), runs)))
    least = state.batch_metrics["BatchNormalization/bn_1/moving_mean/min"]
    assert least.steps.tolist() == [4, 8, 12, 16, 20, 24]
    assert least.values.tolist() == [4, 8, 12, 16, 20, 24]
    assert not state.layers


def test_what_happened_is_told_in_notes_of_its_branch(runs: Path, tmp_path: Path) -> None:
    facts = read_log(imported(export(make_run(runs, crooked_run()), tmp_path / "logs"), runs))
    notes = {fact.text: (fact.step, fact.branch) for fact in facts if isinstance(fact, events.Note)}
    assert [place for text, place in notes.items() if "a.npz" in text] == [(8, 1)]
    assert [place for text, place in notes.items() if "b.npz" in text] == [(20, 2)]


def test_a_part_of_an_export_is_read_as_such(runs: Path, tmp_path: Path) -> None:
    out = export(make_run(runs, a_run()), tmp_path / "logs")
    (file,) = (out / "train").iterdir()
    for path in (out / "train", file):
        state = fold(read_log(imported(path, runs, path.name)))
        assert state.batch_metrics["loss"].steps.tolist() == [0, 1, 2, 3]
        assert state.epoch_metrics["loss"].steps.tolist() == [2, 4]
    (fit,) = find(export(make_run(runs, crooked_run(), "crooked"), tmp_path / "crooked") / "fit_2")
    assert fit.name == "fit_2"
    assert fold(read_log(import_run(fit, runs, "fit"))).batch_metrics["loss"].steps.tolist() == [*range(12, 24)]


def test_exports_beside_each_other_are_runs_of_their_own(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    # People number their trainings: these two are no fits of one.
    export(make_run(runs, a_run(), "first"), tmp_path / "logs" / "fit_1")
    export(make_run(runs, numbered(a_run(), 5000.0), "second"), tmp_path / "logs" / "fit_2")
    event_files.write(tmp_path / "logs" / "other", [event(0, simple("loss", 1.0))])
    assert [found.name for found in find(tmp_path / "logs")] == ["logs-fit_1", "logs-fit_2", "logs-other"]


def test_values_of_another_program_beside_an_export_are_read_as_its_own(runs: Path, tmp_path: Path) -> None:
    out = export(make_run(runs, a_run()), tmp_path / "logs")
    event_files.write(out / "train", [event(1, simple("epoch_mae", 1.0))])
    state = fold(read_log(imported(out, runs)))
    assert "mae" in state.epoch_metrics


def test_an_export_that_is_replaced_while_it_is_watched_is_read_anew(runs: Path, tmp_path: Path) -> None:
    facts = list(crooked_run())
    out = export(make_run(runs, facts[:5]), tmp_path / "logs")
    with closing(Followed(find_one(out, "tuimon watch"))) as followed:
        before = read_log(followed.run)
        followed.look()
        assert read_log(followed.run) == before
        run = make_run(runs, facts)
        export(run, out)
        followed.look()
        followed.look()
        assert measured(read_log(followed.run)) == measured(read_log(run))
        shutil.rmtree(out)
        followed.look()
        assert measured(read_log(followed.run)) == measured(read_log(run))


def test_an_export_without_a_number_is_said_to_be_empty(runs: Path, tmp_path: Path) -> None:
    run = make_run(runs, [started(), model_built(), events.Note(text="nothing yet")])
    with pytest.raises(UsageError, match="holds no number"):
        imported(export(run, tmp_path / "logs"), runs)


NAMES = st.text(max_size=6)
VALUES = st.one_of(st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False), st.none())


@st.composite
def logs(draw: st.DrawFn) -> list[events.AnyEvent]:
    """Return the facts of a small run: fits, epochs, rollbacks and resumptions in any order."""
    own = draw(st.lists(NAMES, max_size=3, unique=True))
    running = draw(st.lists(NAMES.filter(lambda name: name not in own), max_size=1))
    of_epochs = draw(st.lists(st.text(max_size=6), max_size=3, unique=True))
    facts: list[events.AnyEvent] = [started(), fit_started()]
    step, epoch, branch = draw(st.sampled_from([0, 0, 2**24])), draw(st.sampled_from([0, 0, 5])), 0

    def length() -> int:
        return draw(st.integers(1, 12))

    for what in draw(st.lists(st.sampled_from(["batches", "epoch", "fit", "rollback", "resumption"]), max_size=12)):
        if what == "batches":
            count = length()
            metrics = {name: draw(st.lists(VALUES, min_size=count, max_size=count)) for name in own}
            shown = {name: draw(VALUES) for name in running}
            facts.append(
                events.Batches(
                    first_step=step, metrics=metrics, running=shown, batches=count, step=step + count, branch=branch
                )
            )
            step += count
        elif what == "epoch":
            step += draw(st.integers(0, 3))
            values = {name: draw(VALUES) for name in of_epochs}
            facts.append(
                events.EpochEnded(
                    logs=values, learning_rate=draw(VALUES), seconds=1.0, step=step, epoch=epoch, branch=branch
                )
            )
            epoch += 1
        elif what == "fit":
            epoch = 0
            facts.append(fit_started(step=step, branch=branch))
        elif what == "rollback":
            branch += 1
            epoch = draw(st.integers(0, epoch))
            facts.append(events.RolledBack(checkpoint="a", to_step=0, to_epoch=0, step=step, branch=branch))
        else:
            branch += 1
            epoch = draw(st.integers(0, epoch))
            facts.append(started(attempt=1, step=step, branch=branch))
            facts.append(
                events.RunResumed(
                    checkpoint="a", to_step=0, to_epoch=0, repeated_steps=0, lost_steps=0, step=step, branch=branch
                )
            )
            facts.append(fit_started(step=step, branch=branch))
    return facts


@given(logs())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_small_log_comes_back(tmp_path: Path, facts: list[events.AnyEvent]) -> None:
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    runs = tmp_path / "runs"
    runs.mkdir()
    run = make_run(runs, facts)
    out, wanted = export(run, tmp_path / "logs"), measured(facts)
    if not wanted:
        return
    again = imported(out, runs)
    state = fold(read_log(again))
    assert not state.untaken
    assert measured(read_log(again)) == wanted
