"""What is joined in the curves of a run."""

import numpy as np

from tuimon.plot.joins import Joins
from tuimon.plot.metric_names import is_learning_rate
from tuimon.protocol.wire import from_wire
from tuimon.runs.series import Series
from tuimon.runs.state import RunState


def joins_of(state: RunState, metric: str = "", *, of_batches: bool = False) -> Joins:
    """Return what is joined of a metric.

    Args:
        state: The run.
        metric: Its name; empty for what is no learning rate.
        of_batches: True for values of single batches, the first of which has the number 0.
    """
    if not of_batches and is_learning_rate(metric):
        return Joins(is_held=True)
    return Joins(tuple(step - of_batches for step in state.fits.breaks))


def known_rates(state: RunState) -> Series:
    """Return the learning rates that the log tells: at the ends of epochs, by requests, and of each fit's first step.

    None before an epoch has ended or a request was applied.
    """
    known = state.learning_rates
    begun = [fit.started for fit in state.fits.all if fit.started.learning_rate is not None] if len(known) else []
    if not begun:
        return known
    steps = np.concatenate((known.steps, [started.step for started in begun]))
    values = np.concatenate((known.values, [from_wire(started.learning_rate) for started in begun]))
    # The end of an epoch comes before the fit that begins there.
    order = np.argsort(steps, kind="stable")
    found = Series()
    found.extend_rows(steps[order], values[order])
    return found
