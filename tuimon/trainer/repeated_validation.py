"""Repeats a validation whose loss stood out, with moving and with batch statistics, to find the cause."""

import time

import numpy as np

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, to_wire
from tuimon.trainer.engine import Batch, Engine
from tuimon.trainer.modes import Mode

HIGHEST = 0.01
"""Share of the examples with the highest losses. The mean without them shows whether a few carry the loss."""


def repeat(engine: Engine, mode: Mode, metric: str, value: float) -> events.ValidationRepeated | None:
    """Repeat the validation of the running ``fit``, without changes to it.

    Returns None if the ``fit`` has no validation, or no probe was made under ``mode``.

    Args:
        engine: The model.
        mode: The mode in force.
        metric: Name of the metric that stood out, in the epoch's logs.
        value: Its value there.
    """
    passes = engine.passes
    if not passes.has_begun(mode):
        return None
    started = time.monotonic()
    with passes.begin(mode) as of_probe:
        switched = [path for path, used in of_probe.calls.items() if any(used)]
    moving, batch_statistics, examples = _Mean(), _Mean(), _Examples()

    def look(batch: Batch) -> None:
        size = passes.examples(batch)
        with passes.begin(mode) as those:
            one = those.inference(batch)
        moving.add(one.loss, size)
        examples.add(one.losses)
        if switched:
            with passes.begin(mode) as those:
                batch_statistics.add(those.inference(batch, batch_statistics=switched).loss, size)

    if not engine.validation.each_batch(look) or not moving.count:
        return None
    examples.forget_unless(moving.value)
    highest, without = examples.without_highest()
    return events.ValidationRepeated(
        metric=metric,
        value=to_wire(value),
        moving=to_wire(moving.value),
        batch=to_wire(batch_statistics.value) if switched else None,
        examples=examples.count,
        highest=highest,
        without_highest=to_wire(without),
        seconds=time.monotonic() - started,
    )


class _Mean:
    """A mean over examples."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0

    def add(self, loss: float, size: int) -> None:
        self._sum += loss * size
        self.count += size

    @property
    def value(self) -> float:
        return self._sum / self.count


class _Examples:
    """The losses of single examples; unknown once a batch does not tell them."""

    def __init__(self) -> None:
        self._losses: list[FloatArray] | None = []

    @property
    def count(self) -> int | None:
        return None if self._losses is None else sum(map(len, self._losses))

    def add(self, losses: FloatArray | None) -> None:
        if losses is None or self._losses is None:
            self._losses = None
        else:
            self._losses.append(losses)

    def forget_unless(self, mean: float) -> None:
        """Keep the losses only if their mean is the loss: without weights, regularization or another reduction."""
        if self._losses and not np.isclose(np.mean(np.concatenate(self._losses)), mean, rtol=1e-4, atol=1e-6):
            self._losses = None

    def without_highest(self) -> tuple[int, float | None]:
        """Return the number of the highest losses, and the mean of the others."""
        if not self._losses:
            return 0, None
        ordered = np.sort(np.concatenate(self._losses))
        highest = max(1, round(HIGHEST * len(ordered)))
        return highest, float(np.mean(ordered[:-highest])) if len(ordered) > highest else None
