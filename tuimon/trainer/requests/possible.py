"""Checks, before it is due, whether a request could be carried out: for standing orders."""

import math
from collections.abc import Mapping

from tuimon.numbers import setting
from tuimon.protocol import commands
from tuimon.trainer.engine import Engine, LearningRate
from tuimon.trainer.requests import mode_changes
from tuimon.trainer.requests.rejected import RejectedError


def check(request: commands.AnyRequest, engine: Engine, can: Mapping[str, str]) -> None:
    """Check that a request could be carried out if it were made now.

    Args:
        request: The request.
        engine: The model.
        can: For each request, the reason why it cannot be carried out.

    Raises:
        RejectedError: It could not; the message says why.
    """
    if why_not := why_not_taken(request, engine, can):
        raise RejectedError(why_not)
    if isinstance(request, commands.LearningRate):
        check_rate(request.learning_rate, engine.learning_rate)
    elif isinstance(request, commands.Freeze | commands.Unfreeze | commands.Momentum) and engine.layers.are_complete:
        mode_changes.matched(request, engine.layers)


def why_not_taken(request: commands.AnyRequest, engine: Engine, can: Mapping[str, str]) -> str:
    """Return why a request of this kind cannot be carried out; empty if it can."""
    command = commands.name_of(request)
    # With `weights`, freezing works without BatchNormalization layers.
    return engine.why_not(command) if getattr(request, "weights", False) else can[command]


def check_rate(rate: float | None, learning_rate: LearningRate) -> None:
    """Check that the optimizer can have a learning rate; None: its schedule's.

    Raises:
        RejectedError: It cannot.
    """
    if rate is None:
        if not learning_rate.has_schedule:
            raise RejectedError("this optimizer has no schedule")
    elif not 0 < (stored := learning_rate.stored(rate)) < math.inf:
        raise RejectedError(f"the optimizer keeps it as float32, in which {setting(rate)} is {setting(stored)}")
