"""A learning rate of 0: a schedule that is over, or what somebody wanted."""

from helpers import fit_started, fold, layer, model_built, numbered, started, statistics
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.frozen import findings
from tuimon.protocol import events


def found(rates: list[float], *, gamma: float = 1.0, epochs: int = 20) -> list[Finding]:
    """Return what is found in a run with these learning rates at the ends of its epochs of ten steps."""
    facts: list[events.AnyEvent] = [
        started(),
        model_built(layer("bn")),
        fit_started(epochs=epochs, steps_per_epoch=10, can={"lr": "", "freeze": ""}),
        events.BatchNorm(
            layers={
                "bn": events.BatchNormStatistics(
                    moving_mean=[0.0] * 7,
                    moving_variance=[1.0] * 7,
                    gamma=[1.0] * 7,
                    beta=[0.0] * 7,
                    dead=0,
                    non_finite=0,
                    mode="training",
                )
            }
        ),
    ]
    for epoch, rate in enumerate(rates):
        step = 10 * (epoch + 1)
        facts.append(events.EpochEnded(logs={"loss": 1.0}, learning_rate=rate, seconds=1.0, step=step, epoch=epoch))
        moved = statistics(float(epoch + 1))
        moved.gamma = [gamma] * 7
        facts.append(events.BatchNorm(layers={"bn": moved}, step=step, epoch=epoch))
    return list(findings(fold(numbered(facts))))


def test_a_schedule_that_is_over_is_told_with_its_step() -> None:
    (finding,) = found([1e-3, 1e-3, 5e-4, 0, 0, 0])
    assert "the learning rate has been 0 since step 40 of 200" in finding.what
    assert (finding.rule, finding.severity, finding.request) == ("R6", "warning", "lr 0.001")
    assert "freeze" not in finding.advice
    (finding,) = found([0, 0, 0], gamma=1.01)
    assert "since step 10 of 200" in finding.what
    assert finding.request == ""


def test_a_schedule_that_ends_with_the_run_is_a_note() -> None:
    (finding,) = found([1e-3] * 38 + [0, 0], epochs=40)
    assert finding.severity == "info"
    assert found([1e-3] * 39 + [0], epochs=40) == []


def test_a_rate_that_was_set_to_0_is_no_schedule() -> None:
    (finding,) = found([0, 0, 0])
    assert finding.what.startswith("the learning rate is 0, and yet the moving statistics of bn change")
