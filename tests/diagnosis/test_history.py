"""Where the training of the present model began, and which epoch a value belongs to."""

from collections.abc import Iterable, Mapping

import numpy as np

from helpers import SENDER, fit_started, fold, numbered, probe_fact, started
from tuimon.diagnosis.generalization import overfitting
from tuimon.diagnosis.history import beginning, epochs_since, finite_since
from tuimon.diagnosis.progress import findings
from tuimon.diagnosis.spike_causes import spikes
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs.state import RunState

STEPS = 4
"""Of an epoch."""


def run(*fits: Iterable[Mapping[str, Number]], first_epoch: int = 0) -> RunState:
    """Return what a run adds up to whose `fit`s have epochs with these logs."""
    facts: list[events.AnyEvent] = [started()]
    step = 0
    for fit in fits:
        facts.append(fit_started(step=step, epochs=None, initial_epoch=first_epoch))
        for epoch, logs in enumerate(fit, first_epoch):
            losses: list[Number] = [logs["loss"]] * STEPS
            facts.append(events.Batches(first_step=step, metrics={"loss": losses}, batches=STEPS, step=step + STEPS))
            step += STEPS
            facts.append(events.EpochEnded(logs={**logs}, learning_rate=1e-3, seconds=1.0, step=step, epoch=epoch))
    return fold(numbered(facts))


def falling(epochs: int = 15, *, first: float = 1.0, last: float = 0.3) -> list[dict[str, Number]]:
    losses = last + (first - last) * 0.7 ** np.arange(epochs)
    return [{"loss": float(loss), "val_loss": float(loss) + 0.05} for loss in losses]


def every_tenth(epochs: int, *, falls: bool) -> list[dict[str, Number]]:
    """Return epochs whose training loss is done at once, with a validation in each tenth one."""
    logs: list[dict[str, Number]] = [{"loss": 1.0 + (epoch < 3)} for epoch in range(epochs)]
    for epoch in range(9, epochs, 10):
        logs[epoch]["val_loss"] = 9.0 * 0.99**epoch if falls else 2.0 + (epoch < 10)
    return logs


def test_a_fit_that_is_back_at_the_start_begins_anew() -> None:
    assert beginning(RunState()) == 0
    assert beginning(run(falling())) == 0
    assert beginning(run(falling(), falling())) == 15 * STEPS
    assert beginning(run(falling(), falling(), falling())) == 30 * STEPS
    assert beginning(run(falling(), [])) == 0, "its first epoch goes on"


def test_a_fit_that_goes_on_does_not_begin_anew() -> None:
    assert beginning(run(falling(), falling(first=0.4, last=0.2))) == 0
    assert beginning(run(falling(last=0.999), falling())) == 0, "nothing to tell it by"
    assert beginning(run(falling(), falling(), falling(first=0.4, last=0.2))) == 15 * STEPS


def test_a_model_that_broke_is_another_one_where_its_loss_is_finite_again() -> None:
    assert beginning(run([*falling(5), {"loss": "nan"}], falling())) == 6 * STEPS
    assert beginning(run(falling(), [{"loss": "nan"}])) == 0


def test_the_first_epochs_of_other_models_are_no_spikes() -> None:
    state = run(*(falling() for _ in range(4)))
    assert spikes(state) == []
    assert list(findings(state)) == []
    steps, _ = epochs_since(state, beginning(state))
    assert len(steps) == 15
    assert [len(part) for part in finite_since(state, "val_loss", beginning(state))] == [15, 15]
    assert [len(part) for part in finite_since(state, "val_auc", 0)] == [0, 0]


def test_a_model_that_does_not_learn_is_told_of_the_present_model() -> None:
    flat: list[dict[str, Number]] = [{"loss": 1.0}] * 60
    (finding,) = findings(run(falling(60), flat))
    assert finding.what.startswith("the loss has not fallen since the start")
    assert (finding.step, finding.evidence["steps"], finding.evidence["epochs"]) == (240, 240, 60)


def test_a_validation_belongs_to_the_epoch_it_was_made_in() -> None:
    for epochs in (100, 300, 499, 600):
        assert list(findings(run(every_tenth(epochs, falls=True)))) == []
    (finding,) = findings(run(every_tenth(200, falls=False), first_epoch=5))
    assert "since epoch 25; 200 have ended" in finding.what
    assert (finding.step, finding.evidence["epochs_without_improvement"]) == (20 * STEPS, 180)


def test_a_spike_is_told_with_the_epoch_of_its_validation() -> None:
    logs = every_tenth(300, falls=False)
    logs[259]["val_loss"] = 9.0
    (spike,) = spikes(run(logs))
    assert (spike.epoch, spike.step) == (259, 260 * STEPS)


def test_validations_of_another_fit_with_the_same_number_say_nothing() -> None:
    logs = falling(25, last=0.9)
    logs[20]["val_loss"] = 9.0
    state = run(logs, falling(25, first=0.9, last=0.8))
    of_the_second = events.ValidationBatches(
        metrics={"loss": [0.9, 99.0] * 8}, batches=16, step=46 * STEPS, epoch=20, seq=10_000
    )
    state.apply([of_the_second])
    (spike,) = spikes(state)
    assert (spike.epoch, spike.cause) == (20, "unexplained")


def test_the_best_epoch_is_one_of_the_present_model() -> None:
    """The first fold did better; that of the second is in its fifth epoch, and its loss began at 1."""
    folds = [falling(20, last=0.1), [{"loss": 0.9 - 0.06 * n, "val_loss": 0.6 + 0.05 * abs(n - 4)} for n in range(12)]]
    state = run(*folds)
    values = {"unweighted": 0.2, "unweighted_error": 0.01, "validation_unweighted": 0.9, "validation_error": 0.01}
    loss = {"train": 0.2, "inference": 0.2, "examples": 256, "validation_examples": 256}
    probe = probe_fact(step=state.step, time=1e9, **loss, **values)
    state.apply([probe])
    (found,) = overfitting(state)
    assert (found.evidence["best_epoch"], found.evidence["best_validation_loss"]) == (5, 0.6)
    assert found.step == (20 + 5) * STEPS


def with_inference(epochs: int, first: int, after: int) -> RunState:
    """Return a run whose loss stands still at 1, but for epochs with `phase inference`, in which it is far lower."""
    facts: list[events.AnyEvent] = [started(), fit_started(epochs=None)]
    for epoch in range(epochs):
        step = epoch * STEPS
        for at, phase in ((first, "inference"), (after, "auto")):
            if epoch == at:
                request: dict[str, object] = {"command": "phase", "phase": phase}
                facts.append(
                    events.CommandApplied(
                        id=f"1-{at}", request=request, sender=SENDER, first_step=step, phase=phase, step=step
                    )
                )
        loss = -6.0 if first <= epoch < after else 2.0 if epoch < 3 else 1.0
        facts += [
            events.Batches(first_step=step, metrics={"loss": [loss] * STEPS}, batches=STEPS, step=step + STEPS),
            events.EpochEnded(logs={"loss": loss}, learning_rate=1e-3, seconds=1.0, step=step + STEPS, epoch=epoch),
        ]
    return fold(numbered(facts))


def test_the_loss_of_phase_inference_is_no_progress() -> None:
    state = with_inference(120, 80, 90)
    assert finite_since(state, "loss", 0)[1].min() == 1.0
    assert len(finite_since(state, "loss", 0)[1]) == 110
    (found,) = findings(state)
    assert found.evidence["best_loss"] == 1.0
    assert found.step == 4 * STEPS, "in the fourth epoch it was as good as it is now"
    assert beginning(state) == 0
    assert finite_since(with_inference(20, 5, 5), "loss", 0)[1].min() == 1.0
