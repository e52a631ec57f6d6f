"""Every control on every kind of model; with all tests, docs/controls.md is made of it."""

import inspect
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from helpers import script, until
from trainer.keras_models import Ask, batch_norms, facts, facts_of, send
from trainer.kinds import KINDS, Kind, every_kind, state_of
from tuimon.protocol import commands, events

COVERING = ("nested",)

NO_BATCH_NORM = "this model has no BatchNormalization layers"
NO_PHASE = "no layer of this model depends on the learning phase"
NOT_TWICE = "Keras alone, stopped and compiled anew, does not train it twice to the same bits"
NO_AVERAGES = "Keras itself fails when a model with `use_ema` is compiled anew with other layers frozen"
REASONS = dict(zip("abcd", (NO_BATCH_NORM, NO_PHASE, NO_AVERAGES, NOT_TWICE), strict=True))
NOT_REPRODUCIBLE = {"use_ema": NO_AVERAGES}


make_controls = script("docs/make_controls.py")
YES = make_controls.YES

Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    """Collect the table; where all of it was measured, the page is written."""
    collected: Rows = {}
    yield collected
    if list(collected) == list(KINDS):
        make_controls.OUTPUT.write_text(make_controls.document(collected, REASONS), encoding="utf-8")


class Watching(keras.callbacks.Callback):
    """Asks for all that is to change no number, from the second epoch on; goes before the Monitor."""

    def __init__(self, monitor: tuimon.Monitor) -> None:
        super().__init__()
        self.requests = Ask(
            monitor,
            {
                1: [commands.Evaluate(), commands.Note(text="here"), commands.Snapshot()],
                2: [commands.Recalibrate(dry_run=True, batches=3), commands.Checkpoint()],
                3: [commands.Pause()],
            },
        )
        self.resumer = threading.Thread(target=self._resume)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.requests.on_epoch_begin(epoch)
        if epoch == 3:
            self.resumer.start()

    def on_train_end(self, logs: Any = None) -> None:
        self.resumer.join()

    def _resume(self) -> None:
        monitor = self.requests.monitor
        until(lambda: any(isinstance(f, events.StateChanged) and f.state == "paused" for f in facts(monitor)))
        send(monitor, commands.Resume())


def watch(runs: Path, kind: Kind) -> dict[str, str]:
    """Train a kind alone, and watched with all that is to change no number; return the cells."""

    def train(callbacks: list[Any]) -> tuple[Any, dict[str, Any]]:
        model = kind.model()
        history = kind.fit(model, 4, callbacks).history
        return state_of(model), history

    alone = train([])
    monitor = tuimon.Monitor(runs_dir=runs)
    watched = train([Watching(monitor), monitor])
    different = [left[0] for left, right in zip(alone[0], watched[0], strict=True) if left != right]
    if different or alone[1] != watched[1]:
        assert train([]) == alone, "Keras alone does not train it twice to the same bits"
    assert different == []
    assert watched[1] == alone[1]
    assert facts_of(monitor, events.RunEnded)[-1].status == "finished"
    answers = answers_of(monitor)
    assert answers["resume"] == YES
    return {"watch": YES, **{name: answers[name] for name in ("evaluate", "pause", "checkpoint")}}


def freeze_exactly(runs: Path, kind: Kind) -> str:
    """Freeze and unfreeze; return the cell."""
    if not kind.has_batch_norm:
        return NO_BATCH_NORM
    if kind.name in NOT_REPRODUCIBLE:
        return NOT_REPRODUCIBLE[kind.name]

    def train(reference: keras.Model) -> Any:
        data = kind.data()
        # Shuffling goes on where it is; of a generator, what TensorFlow has read ahead would be lost.
        again = kind.data if inspect.isgenerator(data["x"]) else lambda: data
        kind.fit(reference, 1, **data)
        norms = batch_norms(reference)
        for frozen, epoch in ((True, 1), (False, 2)):
            for layer in norms:
                layer.trainable = not frozen
            options = {"jit_compile": False, **kind.options()}
            reference.compile(reference.optimizer, **options)
            kind.fit(reference, epoch + 1, initial_epoch=epoch, **again())
        return reference.get_weights()

    expected = train(kind.model())
    if not same(train(kind.model()), expected):
        return NOT_TWICE
    model, monitor = kind.model(), tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze()], 2: [commands.Unfreeze()]}
    kind.fit(model, 3, [Ask(monitor, plan), monitor])
    assert answers_of(monitor)["freeze"] == YES
    assert same(model.get_weights(), expected)
    return YES


def is_batch_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(left, right, strict=True))


class Restored(keras.callbacks.Callback):
    """Looks at the variables where a checkpoint is made and where the run went back to it; goes behind the Monitor."""

    def __init__(self, saved_at: int, restored_at: int) -> None:
        super().__init__()
        self.epochs = (saved_at, restored_at)
        self.epoch = 0
        self.seen: list[dict[str, bytes]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 0 and self.epoch in self.epochs:
            metrics = {variable.path for variable in self.model.metrics_variables}
            self.seen.append({path: data for path, _, data in state_of(self.model) if path not in metrics})


def steer(runs: Path, kind: Kind) -> dict[str, str]:
    """Ask for every change, an epoch each; return the cells."""
    model = kind.model()
    kind.fit(model, 1)  # What is made late is there.
    layers = [layer for layer in model._flatten_layers() if layer.trainable_weights and not is_batch_norm(layer)]
    glob = layers[-1].path
    steps: list[list[commands.AnyRequest]] = [
        [],
        [commands.Freeze()],
        [commands.Unfreeze()],
        [commands.Freeze(statistics=True)],
        [commands.Unfreeze(statistics=True)],
        [commands.Freeze(layers=[glob], weights=True)],
        [commands.Unfreeze(layers=[glob], weights=True)],
        [commands.Phase(phase="train")],
        [commands.Phase(phase="inference")],
        [commands.Phase(phase="auto")],
        [commands.Momentum(momentum=0.5)],
        [commands.LearningRate(learning_rate=0.0005)],
        [commands.Recalibrate(batches=3)],
        [commands.Checkpoint()],
        [commands.Rollback()],
        [commands.Stop(after="epoch")],
        [],
    ]
    monitor = tuimon.Monitor(runs_dir=runs)
    restored = Restored(13, 14)
    kind.fit(model, len(steps), [Ask(monitor, dict(enumerate(steps))), monitor, restored])
    answers = answers_of(monitor)

    ended = facts_of(monitor, events.EpochEnded)
    assert len(ended) == len(steps) - 1, "it was stopped"
    assert facts_of(monitor, events.RunEnded)[-1].status == "stopped"
    assert ended[11].learning_rate == pytest.approx(0.0005)
    assert restored.seen[0] == restored.seen[1]
    if kind.has_batch_norm:
        (recalibrated,) = facts_of(monitor, events.Recalibrated)
        assert (recalibrated.batches, recalibrated.skipped) == (3, [])
        assert recalibrated.examples > kind.batch
    names = ("freeze", "statistics", "weights", "phase", "momentum", "lr", "recalibrate", "rollback", "stop")
    return {name: answers[name] for name in names}


def answers_of(monitor: tuimon.Monitor) -> dict[str, str]:
    """Return, per control, `YES` or why not; what was applied and not seen to be in force fails."""
    found = facts(monitor)
    assert [fact.text for fact in found if isinstance(fact, events.Note) and fact.text != "here"] == []
    verified = {fact.id: fact for fact in found if isinstance(fact, events.CommandVerified)}
    answers: dict[str, str] = {}
    for fact in found:
        if isinstance(fact, events.CommandRejected):
            answers.setdefault(control(fact.request), fact.reason)
        elif isinstance(fact, events.CommandApplied):
            if fact.request["command"] in ("freeze", "momentum") or fact.id in verified:
                assert verified[fact.id].held, verified[fact.id]
            answers.setdefault(control(fact.request), YES)
    return answers


def control(request: dict[str, Any]) -> str:
    """Return the column that a request belongs to."""
    of = next((name for name in ("statistics", "weights") if request.get(name)), "")
    return of or str({"unfreeze": "freeze"}.get(request["command"], request["command"]))


COLUMNS = (
    "watch",
    "freeze, exact",
    "freeze",
    "statistics",
    "weights",
    "phase",
    "momentum",
    "lr",
    "recalibrate",
    "checkpoint",
    "rollback",
    "pause",
    "evaluate",
    "stop",
)


@pytest.mark.parametrize("kind", every_kind(*COVERING))
def test_every_control_works_on_every_kind_or_says_why_not(runs: Path, kind: Kind, rows: Rows) -> None:
    cells = {**watch(runs, kind), "freeze, exact": freeze_exactly(runs, kind), **steer(runs, kind)}
    rows[kind.name] = {column: cells[column] for column in COLUMNS}
    refused = {column: cell for column, cell in rows[kind.name].items() if cell != YES}
    assert set(refused.values()) <= set(REASONS.values())
    if kind.has_batch_norm:
        assert set(refused) <= {"freeze, exact"}, refused
    letters = {reason: letter for letter, reason in REASONS.items()}
    row = make_controls.row(kind.name, rows[kind.name], letters)
    assert row in make_controls.OUTPUT.read_text(encoding="utf-8"), "docs/controls.md says otherwise: make test-all"


def test_the_table_has_no_hole() -> None:
    text = make_controls.OUTPUT.read_text(encoding="utf-8")
    assert text.startswith(make_controls.HEAD)
    assert text.endswith(make_controls.TAIL)
    lines = text.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    head, _, *body = table
    assert head == ["kind of model", *COLUMNS]
    assert [row[0] for row in body] == list(KINDS)
    reasons = {line[4] for line in lines if line.startswith("- **") and line[5] == "*"}
    assert {cell for row in body for cell in row[1:]} <= {YES, *reasons}
