"""`tuimon.open_session`: the numbers and events of a run as arrays, for notebooks and scripts."""

import html.parser
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tuimon
from helpers import (
    SENDER,
    a_run,
    encode_log,
    environment,
    fit_started,
    layer,
    make_run,
    model_built,
    numbered,
    probe_fact,
    stand_in,
    started,
)
from tuimon.errors import UsageError
from tuimon.protocol import commands, events
from tuimon.query.session import open_session
from tuimon.runs.log.session_log import LogChangedError
from tuimon.runs.run_directory import RunDirectory


def epoch_ended(step: int, loss: float, *, epoch: int = 0, branch: int = 0) -> events.EpochEnded:
    return events.EpochEnded(
        logs={"loss": loss, "val_loss": loss * 2}, learning_rate=0.1, seconds=1.0, step=step, epoch=epoch, branch=branch
    )


def batches(first: int, *losses: float, epoch: int = 0, branch: int = 0) -> events.Batches:
    count = len(losses)
    return events.Batches(
        first_step=first, metrics={"loss": list(losses)}, batches=count, step=first + count, epoch=epoch, branch=branch
    )


def saved(name: str, step: int, *, branch: int = 0) -> events.CheckpointSaved:
    return events.CheckpointSaved(name=name, reason="asked", size_bytes=1, seconds=0.1, step=step, branch=branch)


def back(name: str, to_step: int, step: int, *, branch: int) -> events.RolledBack:
    return events.RolledBack(checkpoint=name, to_step=to_step, to_epoch=0, step=step, branch=branch)


def rolled_back() -> list[events.AnyEvent]:
    """Return the facts of a run that went back to step 2, twice; the second time from a branch that is left, too."""
    return [
        started(),
        model_built(layer("bn_1")),
        fit_started(epochs=9),
        batches(0, 0.9, 0.8),
        epoch_ended(2, 0.85),
        saved("a.npz", 2),
        batches(2, 0.7, 0.6, epoch=1),
        epoch_ended(4, 0.65, epoch=1),
        back("a.npz", 2, 4, branch=1),
        batches(4, 0.5, 0.4, epoch=2, branch=1),
        epoch_ended(6, 0.45, epoch=2, branch=1),
        saved("b.npz", 6, branch=1),
        back("a.npz", 2, 6, branch=2),
        batches(6, 0.3, 0.2, epoch=3, branch=2),
        epoch_ended(8, 0.25, epoch=3, branch=2),
    ]


# What users of other readers complain of


def test_every_value_is_there_and_twice_asked_is_twice_the_same(runs: Path) -> None:
    """Reported for `wandb.Api` (#1783, #5219, #5994) and `EventAccumulator` (#5488): only a sample is returned."""
    losses = np.random.default_rng(0).random(20_000).tolist()
    log: list[events.AnyEvent] = [started(), fit_started()]
    log += [batches(first, *losses[first : first + 500]) for first in range(0, len(losses), 500)]
    make_run(runs, log)
    found = [open_session("run").metric("batch/loss") for _ in range(2)]
    for metric in found:
        assert metric.values.tolist() == losses
        assert metric.steps.tolist() == list(range(20_000))


def test_metrics_of_other_steps_make_no_holes(runs: Path) -> None:
    """Reported for `wandb.Api` (#5063, #3680, #2266): one wide table, mostly NaN, or rows that have all keys alone."""
    make_run(runs, a_run())
    session = open_session("run")
    assert session.metric("val_loss").steps.tolist() == [2, 4]
    assert session.metric("val_loss").values.tolist() == [np.inf, -0.5]
    assert len(session.metric("batch/loss")) == 4


def test_what_is_asked_for_is_one_line_at_a_prompt(runs: Path) -> None:
    make_run(runs, a_run())
    session = open_session("run")
    assert repr(session.metric("val_loss")) == "<Metric 'val_loss': 2 values, steps 2 to 4, last -0.5>"
    assert repr(session.batch_norm("bn_1")) == "<BatchNormalization 'bn_1': 2 values, steps 2 to 4>"
    assert repr(session.metric("batch/loss", branch=7)) == "<Metric 'batch/loss': 0 values>"


def test_layers_have_their_whole_history(runs: Path) -> None:
    """Reported for `EventAccumulator` (#2361): of histograms, only the last step is returned."""
    make_run(runs, a_run())
    session = open_session("run")
    assert session.layers == ["bn_1", "bn_2"]
    bn_1 = session.batch_norm("bn_1")
    assert bn_1.steps.tolist() == [2, 4]
    assert bn_1.quantiles.tolist() == list(events.QUANTILES)
    for name in ("moving_mean", "moving_variance", "gamma", "beta"):
        assert getattr(bn_1, name).shape == (2, 7)
        assert getattr(bn_1, name).dtype == np.float64
    assert bn_1.moving_mean[0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert np.isnan(session.batch_norm("bn_2").gamma).all()
    assert bn_1.dead.dtype == np.int64


def test_a_run_that_was_rolled_back_is_one_line_not_two_curves_in_a_tangle(runs: Path) -> None:
    """Reported for TensorBoard and its readers: after a restart there are two values of one step."""
    make_run(runs, rolled_back())
    session = open_session("run")
    assert session.branch == 2
    assert session.metric("val_loss").steps.tolist() == [2, 8]
    assert session.metric("batch/loss").values.tolist() == [0.9, 0.8, 0.3, 0.2]
    assert session.metric("batch/loss").branches.tolist() == [0, 0, 2, 2]
    assert session.metric("batch/loss", branch=1).values.tolist() == [0.5, 0.4]
    assert session.metric("batch/loss", branch="all").values.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    assert len(session.metric("batch/loss", branch=7)) == 0
    for wrong in ("newest", True, None, 1.0):
        with pytest.raises(ValueError, match="branch"):
            session.metric("batch/loss", branch=wrong)  # type: ignore[arg-type]


def test_a_rollback_to_a_checkpoint_of_a_branch_that_was_left_takes_that_branch_up(runs: Path) -> None:
    make_run(runs, [*rolled_back(), back("b.npz", 6, 8, branch=3), batches(8, 0.1, branch=3)])
    session = open_session("run")
    assert session.metric("batch/loss").values.tolist() == [0.9, 0.8, 0.5, 0.4, 0.1]
    assert session.metric("val_loss").steps.tolist() == [2, 6]
    assert session.best["val_loss"].value == session.metric("val_loss").values.min()


def test_a_resumption_undoes_what_came_after_its_checkpoint(runs: Path) -> None:
    resumed = events.RunResumed(
        checkpoint="a.npz", to_step=2, to_epoch=1, repeated_steps=0, lost_steps=2, step=4, epoch=1, branch=1
    )
    again = [batches(4, 0.1, 0.05, epoch=1, branch=1), epoch_ended(6, 0.075, epoch=1, branch=1)]
    make_run(runs, [*rolled_back()[:8], started(attempt=1), resumed, fit_started(step=4, branch=1), *again])
    session = open_session("run")
    assert session.fits == 1
    assert session.metric("batch/loss").values.tolist() == [0.9, 0.8, 0.1, 0.05]
    assert session.metric("val_loss").epochs.tolist() == [0, 1]


def test_fits_are_told_apart(runs: Path) -> None:
    log = [*a_run()[:-1], fit_started(optimizer="SGD", step=4), batches(4, 9.0), epoch_ended(5, 8.0)]
    make_run(runs, log)
    session = open_session("run")
    assert session.fits == 2
    assert session.metric("batch/loss", fit=2).values.tolist() == [9.0]
    assert session.metric("val_loss", fit=1).fits.tolist() == [1, 1]
    assert session.metric("val_loss").fits.tolist() == [1, 1, 2]
    assert session.metric("evaluated/before training/loss").fits.tolist() == [0]


# Types, names, units


def test_types_and_shapes_are_as_documented(runs: Path) -> None:
    make_run(runs, a_run())
    session = open_session("run")
    for name in session.metrics:
        metric = session.metric(name)
        for field in ("steps", "epochs", "branches", "fits"):
            assert getattr(metric, field).dtype == np.int64
            assert getattr(metric, field).shape == (len(metric),)
        for field in ("values", "times"):
            assert getattr(metric, field).dtype == np.float64
            assert getattr(metric, field).shape == (len(metric),)


def test_the_names_are_those_of_the_export(runs: Path, tmp_path: Path) -> None:
    from tuimon.cli.main import main

    make_run(runs, [*a_run(), probe_fact(step=4, epoch=1)])
    assert main(["export", "run", "--to", "csv", "--out", "out.csv"]) == 0
    names = {line.split(",")[3] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]}
    assert set(open_session("run").metrics) == {name for name in names if not name.startswith("batch_norm/")}


def test_a_value_that_was_not_logged_is_missing_and_no_nan(runs: Path) -> None:
    gap = events.Batches(first_step=0, metrics={"loss": [0.5, None, "nan"]}, batches=3, step=3)
    make_run(runs, [started(), fit_started(), gap])
    loss = open_session("run").metric("batch/loss")
    assert loss.steps.tolist() == [0, 2]
    assert np.isnan(loss.values).tolist() == [False, True]


def test_an_unknown_name_names_the_nearest(runs: Path) -> None:
    make_run(runs, a_run())
    session = open_session("run")
    with pytest.raises(KeyError) as error:
        session.metric("valloss")
    assert (
        str(error.value)
        == 'run has no metric "valloss"; the nearest: val_loss, loss, best/val_loss, batch/loss, best/loss'
    )
    with pytest.raises(KeyError, match="bn_1"):
        session.batch_norm("bn1")
    make_run(runs, [], "empty")
    with pytest.raises(KeyError, match="there is none yet"):
        open_session("empty").metric("loss")


# Events


def test_requests_have_their_answers(runs: Path) -> None:
    rejected = events.CommandRejected(id="b", request={"command": "odd"}, sender=SENDER, reason="not here", step=4)
    make_run(runs, [*a_run(), rejected, back("a.npz", 1, 4, branch=1)])
    requests = open_session("run").requests()
    assert requests.shape == (2,)
    assert requests["asked"].tolist()[0] == "freeze all"
    assert requests["is_applied"].tolist() == [True, False]
    assert requests["checked"].tolist() == ["held: moving statistics of 2/2 layers unchanged", ""]
    assert requests["detail"].tolist()[1] == "not here"
    assert requests["is_undone"].tolist() == [True, True]
    assert requests["step"].dtype == np.int64
    assert requests["time"].dtype == np.float64
    assert len(open_session("run").requests(branch="now")) == 0


def test_alerts_notes_and_probes(runs: Path) -> None:
    alert = events.Alert(rule="R1", severity="warning", what="stale", evidence={}, advice="wait", layer="bn_1", step=4)
    make_run(runs, [*a_run(), alert, events.Note(text="odd", step=4), probe_fact(gap="nan", errors={"gap": 0.5})])
    session = open_session("run")
    assert session.alerts()["layer"].tolist() == ["bn_1"]
    assert session.notes()["text"].tolist() == ["odd"]
    probes = session.probes()
    assert np.isnan(probes["gap"]).tolist() == [True]
    assert probes["gap_error"].tolist() == [0.5]
    assert probes["reason"].tolist() == ["epoch"]
    assert session.notes(fit=2).shape == (0,)


# Which run


def test_what_names_a_run(runs: Path) -> None:
    run = make_run(runs, a_run())

    class Watched:
        run_dir: Path | None = run.path

    for named in ("run", run.path, str(run.session_log), None, Watched()):
        assert open_session(named).name == "run"
    assert open_session("run", runs_dir=runs).name == "run"
    Watched.run_dir = None
    with pytest.raises(UsageError, match="begins with fit"):
        open_session(Watched())
    with pytest.raises(UsageError, match="no run named"):
        open_session("nope")


def test_opening_loads_neither_tensorflow_nor_textual_nor_pandas(runs: Path) -> None:
    make_run(runs, a_run())
    program = (
        "import sys, tuimon; session = tuimon.open_session('run'); session._repr_html_(); "
        "print(sorted({'tensorflow', 'keras', 'textual', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), cwd=runs.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert "open_session" in tuimon.__all__


# Live


def test_a_live_session_is_followed_to_its_end(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "apply"):
        session = open_session("run")
        assert not session.is_over
        run.put_request(commands.signed(commands.Stop(), attempt=0))
        assert all(count > 0 for count in session.follow(timeout=60))
        assert session.status == "stopped"
    assert session.requests()["asked"].tolist() == ["stop after this batch"]


def test_following_ends_where_the_trainer_is_killed(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "hold") as trainer:
        session = open_session("run")
        trainer.kill()
        trainer.wait()
        list(session.follow(timeout=60))
        assert session.status == "crashed"


def test_following_ends_with_its_timeout(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "hold"):
        session = open_session("run")
        list(session.follow(timeout=0))
        assert list(session.follow(timeout=0)) == []
        assert not session.is_over


def test_what_was_returned_stays_while_the_log_grows(runs: Path) -> None:
    log = numbered(a_run())
    run = make_run(runs, log[:8])
    session = open_session("run")
    before = session.metric("batch/loss")
    kept = before.values.tolist()
    assert session.refresh() == 0
    run.session_log.write_bytes(encode_log(log))
    assert session.refresh() == len(log) - 8
    assert before.values.tolist()[:1] == kept[:1]
    assert len(before) == 2
    assert len(session.metric("batch/loss")) == 4
    assert list(session.follow()) == []


def test_a_log_in_place_of_the_former_one_is_read_anew(runs: Path) -> None:
    run = make_run(runs, a_run())
    session = open_session("run")
    run.session_log.unlink()
    with pytest.raises(LogChangedError):
        session.refresh()
    run.session_log.write_bytes(encode_log([started(name="other"), fit_started(), batches(0, 7.0)]))
    assert session.refresh() == 3
    assert session.metric("batch/loss").values.tolist() == [7.0]


def test_a_run_that_has_lost_its_log_is_not_said_to_train(runs: Path) -> None:
    run = make_run(runs, [started(), fit_started(), events.StateChanged(state="training")])
    session = open_session("run")
    run.session_log.unlink()
    assert session.status == "silent"


def test_a_damaged_line_is_said(runs: Path) -> None:
    run = make_run(runs, a_run())
    with run.session_log.open("ab") as file:
        file.write(b'{"type":"epoch_ended"}\nhalf')
    session = open_session("run")
    assert session.unread
    assert "could not be read" in session._repr_html_()
    assert len(session.metric("batch/loss")) == 4


# In Jupyter


class _Tags(html.parser.HTMLParser):
    """Notes the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style"}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_from_outside_are_shown_in_jupyter_and_never_run(runs: Path) -> None:
    name = '<script>alert("1")</script>\x1b[31m\u202e'
    log = [
        started(),
        model_built(layer("<img src=x onerror=alert(1)>")),
        fit_started(),
        events.EpochEnded(logs={f"{name}_loss": 0.5, "loss": "nan"}, learning_rate=0.1, seconds=1.0, step=1),
    ]
    make_run(runs, log, "run<b>&")
    page = open_session(runs / "run<b>&")._repr_html_()
    parser = _Tags()
    parser.feed(page)
    assert parser.tags <= {"div", "b", "i", "table", "tr", "td", "th", "ul", "li"}
    assert 'alert("1")' in parser.text
    assert "run<b>&" in parser.text
    assert "crashed" in parser.text
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_jupyter_shows_state_best_values_and_findings(runs: Path) -> None:
    log = [started(), fit_started(), batches(0, float("nan")), epoch_ended(1, 0.5), events.RunEnded(status="finished")]
    make_run(runs, log)
    session = open_session("run")
    page = session._repr_html_()
    assert "finished, step 1, epoch 1" in page
    assert "val_loss</td><td>1</td>" in page
    for found in session.findings:
        assert found.rule in page
    make_run(runs, [], "empty")
    assert "<b>empty</b>" in open_session("empty")._repr_html_()


# pandas


def test_without_pandas_one_line_says_what_to_do(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(runs, a_run())
    monkeypatch.setitem(sys.modules, "pandas", None)
    session = open_session("run")
    for ask in (session.to_pandas, session.metric("loss").to_pandas):
        with pytest.raises(ImportError, match=r"^to_pandas needs pandas, .*: pip install pandas$"):
            ask()


def test_a_frame_is_tidy(runs: Path) -> None:
    pandas = pytest.importorskip("pandas")
    make_run(runs, rolled_back())
    session = open_session("run")
    frame = session.to_pandas("val_loss", "batch/loss", branch="all")
    assert list(frame.columns) == ["step", "epoch", "time", "branch", "fit", "metric", "value"]
    assert len(frame) == 4 + 8
    assert not frame.isna().any().any()
    wide = session.to_pandas("loss", "val_loss").pivot(index="step", columns="metric", values="value")
    assert wide.loc[8].to_dict() == {"loss": 0.25, "val_loss": 0.5}
    assert frame["time"].iloc[0] == pandas.Timestamp(1004, unit="s", tz="UTC")
    assert set(session.to_pandas()["metric"]) == set(session.metrics) - {"batch/loss"}
    assert len(pandas.DataFrame(session.requests())) == 0
    assert len(session.metric("val_loss", branch=9).to_pandas()) == 0
