"""A long log opens on its newest part, tells nothing that has to be taken back, and ends as if it was read at once."""

from pathlib import Path

import msgspec
import pytest

from helpers import fit_started, fold, layer, make_run, model_built, read_log, started, statistics, until
from test_fold import digest
from tuimon.protocol import events
from tuimon.runs.log import long_log
from tuimon.runs.log.long_log import LongLog
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.ui import run_reader
from ui.watching import text, watching
from ui.watching import until as until_shown

EPOCHS, STEPS = 30, 40


def long_run(runs: Path) -> RunDirectory:
    """Return a run of two fits, with requests in the part of its log that is not newest."""
    facts: list[events.AnyEvent] = [started(), model_built(layer("bn_1"), layer("bn_2")), fit_started(epochs=9)]
    facts.append(events.StateChanged(state="training"))
    for epoch in range(EPOCHS):
        for first in range(epoch * STEPS, (epoch + 1) * STEPS, 4):
            metrics = {"loss": [1.0 / (1 + first + place) for place in range(4)]}
            facts.append(events.Batches(first_step=first, metrics=metrics, batches=4, step=first + 4, epoch=epoch))
        step = (epoch + 1) * STEPS
        facts.append(events.BatchNorm(layers={"bn_1": statistics(epoch)}, step=step, epoch=epoch))
        logs: dict[str, float | str] = {"loss": 0.1, "val_loss": 0.2 + abs(epoch - 7)}
        facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, step=step, epoch=epoch))
        if epoch == 10:
            facts.append(
                fit_started(epochs=EPOCHS, initial_epoch=11, steps_per_epoch=STEPS, step=step, frozen=["bn_2"])
            )
    facts.append(events.RunEnded(status="finished", step=EPOCHS * STEPS, epoch=EPOCHS - 1))
    return make_run(runs, facts)


@pytest.fixture(autouse=True)
def _short_logs_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reader, "LONG_BYTES", 4000)
    monkeypatch.setattr(long_log, "NEWEST_BYTES", 4000)
    monkeypatch.setattr(long_log, "_OUTLINE_BYTES", 3000)
    monkeypatch.setattr(long_log, "_OLDER_BYTES", 3000)


def opened(run: RunDirectory) -> tuple[LongLog, RunState]:
    """Return a log of which the newest part is read, and what is known then."""
    log, state = LongLog(run.session_log), RunState()
    shares = []
    for new, share in log.outline(run.session_log.stat().st_size):
        state.apply(new)
        shares.append(share)
    assert shares == sorted(shares)
    assert len(shares) > 2
    state.apply(log.tail.read_all())
    return log, state


def test_all_but_older_curves_is_known_at_once(runs: Path) -> None:
    run = long_run(runs)
    _, state = opened(run)
    whole = fold(read_log(run))
    for name in ("run", "fit", "model", "ended", "step", "epoch", "epochs_ended", "timeline", "frozen", "last_seq"):
        assert getattr(state, name) == getattr(whole, name), name
    assert state.best.values == whole.best.values
    assert state.epoch_metrics["val_loss"].values.tolist() == whole.epoch_metrics["val_loss"].values.tolist()
    newest, known = state.batch_metrics["loss"], whole.batch_metrics["loss"]
    assert 0 < len(newest) < len(known)
    assert newest.steps.tolist() == known.steps[-len(newest) :].tolist(), "no hole"
    assert state.layers["bn_1"].latest == whole.layers["bn_1"].latest


def test_in_the_end_it_is_as_if_it_was_read_at_once(runs: Path) -> None:
    run = long_run(runs)
    log, _ = opened(run)
    shares = [log.share]
    while (state := log.read_older()) is None:
        shares.append(log.share)
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert digest(state) == digest(fold(read_log(run)))


def test_what_is_written_meanwhile_is_read(runs: Path) -> None:
    run = long_run(runs)
    log, _ = opened(run)
    assert log.read_older() is None
    note = events.Note(text="meanwhile", seq=10_000, time=5000.0)
    with run.session_log.open("ab") as file:
        file.write(msgspec.json.encode(note) + b"\n" + b'{"type":"note","torn')
    assert log.tail.read() == [note]
    whole = until(log.read_older)
    assert whole.timeline[-1] == note
    assert digest(whole) == digest(fold(read_log(run)))


def test_foreign_lines_do_no_harm(runs: Path) -> None:
    run = long_run(runs)
    before = run.session_log.read_bytes().splitlines(keepends=True)
    foreign = [b"\0\0\n", b"no JSON\n", b'{"type":"of_a_newer_version"}\n', b'\n{"type":"batches","torn\n']
    run.session_log.write_bytes(b"".join(line + foreign[place % 4] for place, line in enumerate(before)))
    log, state = opened(run)
    assert state.step == EPOCHS * STEPS
    assert digest(until(log.read_older)) == digest(fold(read_log(run)))


async def test_the_screen_says_that_older_history_is_read(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = long_run(runs)
    may_read, read_older = [], LongLog.read_older
    monkeypatch.setattr(LongLog, "read_older", lambda log: read_older(log) if may_read else None)
    async with watching(run) as (app, pilot):
        await until_shown(pilot, lambda: "Reading older history: 0 %" in text(app))
        assert "✓ finished" in text(app)
        assert f"epoch {EPOCHS}/{EPOCHS}" in text(app)
        shown = app.viewer.state.batch_metrics["loss"]
        assert 0 < len(shown) < EPOCHS * STEPS
        may_read.append(True)
        await until_shown(pilot, lambda: "Reading" not in text(app))
        assert len(app.viewer.state.batch_metrics["loss"]) == EPOCHS * STEPS
        app.redraw()
        await pilot.pause()
        late = text(app)
    monkeypatch.setattr(run_reader, "LONG_BYTES", 1 << 30)
    async with watching(run) as (app, pilot):
        await until_shown(pilot, lambda: "Finished" in text(app))
        assert text(app).splitlines()[1:] == late.splitlines()[1:]
