"""Momentum: too low, and what is advised where it is low already."""

import pytest

from helpers import fit_started, fold, layer, model_built, numbered, probe_fact, started, statistics
from tuimon.diagnosis.moving_average import momentum_too_low
from tuimon.diagnosis.spike_causes import findings
from tuimon.protocol import events
from tuimon.runs.state import RunState


def run(momentum: float, *, halves: float | None = 1.5, elements: int = 16, spike: bool = False) -> RunState:
    """Return a run with one layer, a probe, and a validation loss that batch statistics bring back."""
    probed = events.ProbeLayer(in_order=-0.1, alone=-0.1, drift=0.2, elements=elements, sampling_divergence=halves)
    facts: list[events.AnyEvent] = [started(), model_built(layer("bn", momentum=momentum)), fit_started(batch_size=16)]
    for epoch in range(20):
        step, loss = 10 * (epoch + 1), 5.0 if spike and epoch == 18 else 1.0
        facts.append(events.BatchNorm(layers={"bn": statistics(0.1 * epoch)}, step=step, epoch=epoch))
        if loss > 1:
            facts.append(
                events.ValidationRepeated(
                    metric="val_loss",
                    value=loss,
                    moving=loss,
                    batch=1.0,
                    examples=8,
                    seconds=1.0,
                    step=step,
                    epoch=epoch,
                )
            )
        logs: dict[str, float | str | None] = {"loss": 1.0, "val_loss": loss}
        facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, step=step, epoch=epoch))
    facts.append(probe_fact(layers={"bn": probed}, step=200))
    return fold(numbered(facts))


def test_a_momentum_of_few_values_is_too_low() -> None:
    (finding,) = momentum_too_low(run(0.01))
    assert (finding.severity, finding.request) == ("warning", "momentum 0.99")
    assert "PyTorch's momentum of 0.01 is 0.99 here" in finding.advice
    (finding,) = momentum_too_low(run(0.3, halves=None))
    assert finding.request == "momentum 0.9"
    assert list(momentum_too_low(run(0.9))) == []
    assert list(momentum_too_low(run(0.0))) == [], "that is out of bounds"


@pytest.mark.parametrize(("halves", "elements"), [(0.01, 1024), (None, 1024), (0.1, 64)])
def test_of_large_batches_a_low_momentum_is_no_fault(halves: float | None, elements: int) -> None:
    assert list(momentum_too_low(run(0.1, halves=halves, elements=elements))) == []
    (finding,) = momentum_too_low(run(0.1, halves=halves, elements=elements, spike=True))
    assert finding.evidence["validation_spikes"] == 1


@pytest.mark.parametrize(
    ("momentum", "cause", "advice", "helps"),
    [
        (0.99, "moving statistics lag", "lower momentum", "momentum 0.9"),
        (0.9, "moving statistics lag", "recalibrate", "recalibrate"),
        (0.4, "noise of the moving statistics", "higher momentum", "momentum 0.99"),
        (0.01, "noise of the moving statistics", "higher momentum", "momentum 0.99"),
    ],
)
def test_a_spike_is_lag_or_noise(momentum: float, cause: str, advice: str, helps: str) -> None:
    (finding,) = findings(run(momentum, spike=True))
    assert f"from {cause}" in finding.what
    assert advice in finding.advice
    assert ("lower momentum" in finding.advice) == (momentum == 0.99)
    assert finding.request == helps
