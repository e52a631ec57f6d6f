"""A run that went no straight way: two fits, a rollback, a resumption, numbers and names of all kinds."""

from collections.abc import Iterator

from helpers import fit_started, layer, model_built, started, statistics
from hostile import EVIL
from tuimon.protocol import events
from tuimon.protocol.wire import Number

NAMES = ("loss", "../../etc/passwd", "a/b c", "層", "<script>alert(1)</script>", EVIL, "x" * 300, " ", "val")
"""Names that metrics may have: people use slashes, and nothing stops the others."""
NUMBERS: tuple[Number, ...] = (0.1, "nan", "inf", "-inf", -1e-40, 3.5e38, -1e300, 16777217.0, 0.0)
"""Two are too large for single precision."""


def crooked_run() -> Iterator[events.AnyEvent]:
    """Yield the facts of two fits, with a rollback in the first and a resumption in the second."""
    yield started()
    yield model_built(layer("bn_1", channels=20))
    step = branch = 0

    def epoch(number: int) -> Iterator[events.AnyEvent]:
        nonlocal step
        metrics: dict[str, list[Number]] = {
            name: [NUMBERS[(step + place + count) % len(NUMBERS)] for count in range(4)]
            for place, name in enumerate(NAMES)
        }
        metrics["rare"] = [None, 1.5, None, None]
        yield events.Batches(first_step=step, metrics=metrics, batches=4, step=step + 4, epoch=number, branch=branch)
        step += 4
        logs: dict[str, Number] = {"loss": 0.5 + step, "val_loss": NUMBERS[step % len(NUMBERS)], "val_": 1.0}
        yield events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, step=step, epoch=number, branch=branch)
        yield events.BatchNorm(layers={"bn_1": statistics(float(step))}, step=step, epoch=number, branch=branch)

    yield fit_started()
    yield from epoch(0)
    yield from epoch(1)
    branch = 1
    yield events.RolledBack(checkpoint="a.npz", to_step=4, to_epoch=0, step=step, epoch=1, branch=branch)
    yield from epoch(2)
    yield fit_started(step=step, branch=branch)
    yield from epoch(0)
    yield from epoch(1)
    branch = 2
    yield started(attempt=1, step=step, branch=branch)
    yield events.RunResumed(
        checkpoint="b.npz", to_step=12, to_epoch=0, repeated_steps=0, lost_steps=8, step=step, branch=branch
    )
    yield fit_started(step=step, branch=branch)
    yield from epoch(0)
    yield events.RunEnded(status="finished", step=step, branch=branch)
