"""What tests must see of a Monitor at work that nothing shows: they look into its private attributes here alone."""

from typing import Any

import tuimon
from helpers import until
from tuimon.trainer.keras.internals import traces
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.keras.watched_model import WatchedModel
from tuimon.trainer.requests.controller import Controller
from tuimon.trainer.requests.inbox import Inbox


def until_seen(monitor: tuimon.Monitor, *names: str) -> None:
    """Wait until the inbox has seen requests, by their ids or the names of their files.

    A file goes only when a step takes the request. Who calls this holds training before that step, so that nothing
    outside tells that the step will find it.
    """
    assert monitor._fit is not None
    inbox: Inbox = monitor._fit._inbox
    until(
        lambda: {*names} <= {name for received in [*inbox.received] for name in (received.id, received.name)},
        what="the inbox to see it",
    )


def controller_of(monitor: tuimon.Monitor) -> Controller:
    """Return what takes the requests of the ``fit`` that runs.

    The log tells of a pause as well, but later: by then it may be over.
    """
    assert monitor._fit is not None
    return monitor._fit._controller


def train_functions_of(model: Any) -> StepFunctions:
    """Return the train functions of a Monitor: they stand in place of the model's own, or hang on it."""
    if isinstance(model.train_function, StepFunctions):
        return model.train_function
    kept = traces.kept_with_train_function(model)
    assert isinstance(kept, WatchedModel)
    return kept.train


def with_options(monitor: tuimon.Monitor, options: Any) -> tuimon.Monitor:
    """Give a Monitor options that only a config has."""
    monitor._options = options
    return monitor


def inbox_of(monitor: tuimon.Monitor) -> Inbox | None:
    """Return the inbox of the ``fit`` that runs; None if the Monitor watches none."""
    return monitor._fit._inbox if monitor._fit is not None else None
