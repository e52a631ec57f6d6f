"""When a ``fit`` is probed, on which batches, and how sure the result is."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from trainer.keras_models import (
    BATCH,
    SAMPLES,
    STEPS,
    Ask,
    compiled,
    data,
    facts,
    facts_of,
    fit,
    same_weights,
    sequential,
)
from tuimon.protocol import commands, events
from tuimon.protocol.wire import from_wire
from tuimon.trainer.uncertainty import PartsOfBatch, estimate

pytestmark = pytest.mark.examined


def probes(monitor: tuimon.Monitor) -> list[events.Probe]:
    return facts_of(monitor, events.Probe)


# --- When -----------------------------------------------------------------------------------------------------------


def test_a_short_run_is_examined_as_it_ends(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    plain, watched = compiled(sequential()), compiled(sequential())
    history = fit(plain, 3).history
    assert fit(watched, 3, [monitor]).history == history
    assert same_weights(watched, plain)
    (probe,) = probes(monitor)
    assert (probe.reason, probe.step, probe.epoch) == ("end", 3 * STEPS, 2)
    announced = [fact.detail for fact in facts_of(monitor, events.StateChanged) if fact.state == "probing"]
    assert announced[0].startswith("the model as training leaves it, about ")
    overhead = facts_of(monitor, events.Overhead)[-1]
    assert from_wire(overhead.parts["closing examination"]) > 0
    assert from_wire(overhead.parts["probe"]) == 0


@pytest.mark.parametrize("options", [{"examine_at_end": False}, {"probe": False}])
def test_who_wants_no_examination_gets_none(runs: Path, options: dict[str, Any]) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, **options)
    fit(compiled(sequential()), 2, [monitor])
    assert probes(monitor) == []
    assert from_wire(facts_of(monitor, events.Overhead)[-1].parts["traces"]) == 0


def test_a_stop_is_examined_and_a_crash_is_not(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 4, [Ask(monitor, {2: [commands.Stop()]}), monitor])
    assert [(probe.reason, probe.step) for probe in probes(monitor)] == [("end", 2 * STEPS + 1)]

    class Fails(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError("of the user's")

    monitor = tuimon.Monitor(runs_dir=runs)
    with pytest.raises(RuntimeError, match="of the user's"):
        fit(compiled(sequential()), 2, [Fails(), monitor])
    assert probes(monitor) == []


def test_fits_of_one_epoch_are_one_run_that_is_probed_now_and_then(runs: Path) -> None:
    monitor, model = tuimon.Monitor(runs_dir=runs), compiled(sequential())
    for _ in range(6):
        fit(model, 1, [monitor])
    # At the end of the first one, and each time the run has become twice as long.
    assert [probe.step for probe in probes(monitor)] == [STEPS, 3 * STEPS]
    assert [fact.same_model for fact in facts_of(monitor, events.FitStarted)] == [True] * 6
    fit(compiled(sequential()), 1, [monitor])
    assert [fact.same_model for fact in facts_of(monitor, events.FitStarted)][-1] is False
    assert probes(monitor)[-1].step == 7 * STEPS


def test_what_would_take_too_long_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.trainer.probe_costs.CLOSING_LEAST", 0.0)
    monkeypatch.setattr("tuimon.trainer.probe_costs.CLOSING_SHARE", 0.0)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 2, [monitor])
    assert probes(monitor) == []
    planned = facts_of(monitor, events.ProbePlanned)[-1]
    assert planned.seconds is None
    assert "more than a tenth of the run" in planned.reason


@pytest.mark.full
def test_a_probe_that_is_new_needs_no_examination(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 3, [Ask(monitor, {2: [commands.Probe()]}), monitor])
    assert [(probe.reason, probe.step) for probe in probes(monitor)] == [("asked", 10), ("end", 15)]
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 12, [Ask(monitor, {11: [commands.Probe()]}), monitor])
    assert [probe.reason for probe in probes(monitor)] == ["asked"]
    # Recalibrated since, the model is another one.
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 12, [Ask(monitor, {11: [commands.Probe(), commands.Recalibrate(batches=2)]}), monitor])
    assert [probe.reason for probe in probes(monitor)] == ["asked", "end"]


def test_the_first_probe_does_not_wait_for_the_end_of_the_epoch(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.trainer.probe_costs.TRACE_SHARE", 1e9)
    monkeypatch.setattr("tuimon.trainer.probe_costs.FORWARD_SHARE", 0.0)
    monitor = tuimon.Monitor(runs_dir=runs, overhead=0.99)
    fit(compiled(sequential()), 6, [monitor])
    first, *later = probes(monitor)
    assert first.reason == "first"
    assert 0 < first.step < STEPS
    assert {probe.reason for probe in later} <= {"epoch", "end"}
    assert all(probe.step % STEPS == 0 for probe in later)
    assert later[-1].validation is not None


def test_when_the_first_probe_comes_is_said(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, examine_at_end=False)

    class Slow(keras.callbacks.Callback):
        """Trains until the plan is recorded."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = any(isinstance(fact, events.ProbePlanned) for fact in facts(monitor))

    fit(compiled(sequential()), 10_000, [Slow(), monitor])
    planned = facts_of(monitor, events.ProbePlanned)[0]
    assert planned.reason == "a budget of 1 %"
    # Twenty times what the trace took.
    assert 1 < from_wire(planned.seconds) < 1000


# --- On which batches -----------------------------------------------------------------------------------------------


def test_a_probe_of_every_second_step_comes_there_whenever_values_are_read(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the steps' values right before a step does not lose count of it."""
    monkeypatch.setattr("tuimon.trainer.sampling.LOOK_SECONDS", 0.0)
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=0.99)
    monkeypatch.setattr("tuimon.trainer.budget.Budget.allows", lambda *_: True)
    fit(compiled(sequential()), 2, [monitor])
    steps = [probe.step for probe in probes(monitor)]
    assert steps[:4] == [2, 4, 6, 8]


def test_several_batches_are_probed(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 4, [monitor])
    (probe,) = probes(monitor)
    # An epoch has no more.
    assert probe.batches == STEPS
    assert probe.examples == STEPS * BATCH
    assert probe.validation_examples == 24
    assert set(probe.errors) == {"gap", "batch_norm", "stochastic", "other"}
    for layer in probe.layers.values():
        assert from_wire(layer.batches_divergence) > 0
        assert from_wire(layer.variance_ratio) > 0


def test_the_only_batch_is_probed_once(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    x, y = data(1)
    compiled(model := sequential())
    model.fit(x, y, batch_size=1, epochs=12, callbacks=[monitor], verbose=0)
    (probe,) = probes(monitor)
    assert (probe.batches, probe.examples, set(probe.errors.values())) == (1, 1, {0.0})


def test_a_smaller_last_batch_is_left_out(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    x, y = data(SAMPLES - 5)
    compiled(model := sequential())
    model.fit(x, y, batch_size=BATCH, epochs=3, callbacks=[monitor], verbose=0)
    (probe,) = probes(monitor)
    assert probe.examples == probe.batches * BATCH


def test_weights_are_left_out_of_the_comparison_with_validation_data(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    x, y = data(BATCH)
    model = compiled(sequential(dropout=0.0))
    model.fit(
        x,
        y,
        sample_weight=np.linspace(0, 9, BATCH),
        validation_data=(x, y),
        batch_size=BATCH,
        epochs=3,
        callbacks=[monitor],
        verbose=0,
    )
    probe = probes(monitor)[-1]
    expected = model.evaluate(x, y, verbose=0)[0]
    assert from_wire(probe.unweighted) == pytest.approx(expected, rel=1e-5)
    assert from_wire(probe.validation_unweighted) == pytest.approx(expected, rel=1e-5)
    assert from_wire(probe.inference) != pytest.approx(expected, rel=0.1)


def test_data_that_come_out_of_a_generator_are_trained_on_in_their_order(runs: Path) -> None:
    x, y = data()
    drawn: list[int] = []

    def batches() -> Any:
        for number in range(10**6):
            drawn.append(number)
            start = number * BATCH % SAMPLES
            yield x[start : start + BATCH], y[start : start + BATCH]

    def train(callbacks: list[Any]) -> keras.Model:
        drawn.clear()
        set_ = tf.data.Dataset.from_generator(
            batches,
            output_signature=(tf.TensorSpec((None, 6), tf.float32), tf.TensorSpec((None, 1), tf.float32)),
        )
        model = compiled(sequential())
        model.fit(set_, steps_per_epoch=STEPS, epochs=4, callbacks=callbacks, shuffle=False, verbose=0)
        return model

    alone, count = train([]), len(drawn)
    assert same_weights(alone, train([tuimon.Monitor(runs_dir=runs)]))
    assert len(drawn) <= count + 1


# --- How sure -------------------------------------------------------------------------------------------------------


def parts_of(generator: np.random.Generator, size: int) -> PartsOfBatch:
    """Return a batch whose parts depend on the examples: 3 : 1, with noise in common."""
    common = generator.normal(0.0, 1.0, size)
    batch_norm = 0.6 + 0.3 * common + generator.normal(0, 0.2, size)
    stochastic = 0.2 + 0.1 * common + generator.normal(0, 0.2, size)
    gap = batch_norm + stochastic
    examples = {"gap": gap, "batch_norm": batch_norm, "stochastic": stochastic, "other": np.zeros(size)}
    return PartsOfBatch(1.0, float(gap.mean()), float(batch_norm.mean()), 0.0, 0.0, examples)


def test_the_errors_are_the_spread_of_repeated_probes() -> None:
    generator = np.random.default_rng(0)
    found = [estimate([parts_of(generator, 32) for _ in range(4)], [32] * 4, None) for _ in range(400)]
    gaps = [each.gap for each in found]
    shares = [each.batch_norm / each.gap for each in found]
    assert np.mean([each.errors["gap"] for each in found]) == pytest.approx(np.std(gaps), rel=0.25)
    assert np.mean([each.share_errors["batch_norm"] for each in found]) == pytest.approx(np.std(shares), rel=0.25)


def test_what_was_probed_as_a_whole_is_certain_and_what_is_not_known_is_not_told() -> None:
    generator = np.random.default_rng(0)
    whole = estimate([parts_of(generator, 32)], [32], 32)
    assert set(whole.errors.values()) == {0.0}
    half, open_ended = estimate([parts_of(generator, 32)], [32], 64), estimate([parts_of(generator, 32)], [32], None)
    assert 0 < half.errors["gap"] < open_ended.errors["gap"]
    # Batches of different epochs may have the same examples: as many as there are in all are not all of them.
    again = estimate([parts_of(generator, 32) for _ in range(2)], [32, 32], 64)
    assert again.errors["gap"] == pytest.approx(half.errors["gap"] / math.sqrt(2), rel=0.3)
    few = PartsOfBatch(1.0, 0.5, 0.5, 0.0, 0.0, None)
    assert estimate([few, few], [4, 4], None).errors == {}
    assert estimate([few, few, few], [4, 4, 4], None).errors["gap"] == 0.0
