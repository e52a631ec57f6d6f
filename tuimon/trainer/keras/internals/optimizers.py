"""Reaches into optimizers: inner ones, moving averages of weights, learning rates."""

from collections.abc import Callable
from typing import Any

import keras

from tuimon.trainer.keras.internals.patches import set_untracked


def optimizers(optimizer: Any) -> list[Any]:
    """Return an optimizer and those that it wraps (LossScaleOptimizer), outermost first."""
    found = []
    while optimizer is not None:
        found.append(optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return found


def averaging_optimizer(optimizer: Any) -> Any:
    """Return the optimizer that keeps moving averages of the weights (``use_ema``); None where none does."""
    return next((each for each in optimizers(optimizer) if each.use_ema), None)


def average_only(optimizer: Any, variables: list[Any]) -> Callable[[], None]:
    """Make ``use_ema`` know only these variables; returns the way back.

    Keras averages over all variables that the optimizer was built with and, with ``ema_overwrite_frequency``,
    writes the averages into the weights, into frozen ones too.
    """
    known = {id(variable) for variable in variables}
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
    left = [(variable, average) for variable, average in pairs if id(variable) in known]
    undo_averages = set_untracked(optimizer, "_model_variables_moving_average", [average for _, average in left])
    undo_variables = set_untracked(optimizer, "_trainable_variables", [variable for variable, _ in left])

    def undo() -> None:
        undo_variables()
        undo_averages()

    return undo


def settle_averages(optimizer: Any, variables: list[Any]) -> None:
    """Set the moving averages of these variables to their values: what ``fit`` writes into them at its end."""
    wanted = {id(variable) for variable in variables}
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
    for variable, average in pairs:
        if id(variable) in wanted:
            average.assign(variable)


def all_optimizers(model: Any) -> list[Any]:
    """Return the model's optimizer and those that a step of its own keeps beside it, as a GAN's has."""
    found = [
        model.optimizer,
        *(value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)),
    ]
    return list({id(optimizer): optimizer for optimizer in found if optimizer is not None}.values())


def schedule_owner(optimizer: Any) -> Any:
    """Return the optimizer whose learning rate a schedule or a function gives; None where it is a variable."""
    owner = optimizers(optimizer)[-1]
    return None if isinstance(owner._learning_rate, keras.Variable) else owner


def learning_rate_variable(strategy: Any) -> Any:
    """Return a new variable for a learning rate, outside of every tracker and name counter."""
    with strategy.scope():
        return keras.Variable(
            0.0, name="tuimon_learning_rate", dtype="float32", trainable=False, aggregation="only_first_replica"
        )


def use_learning_rate(optimizer: Any, variable: Any) -> Callable[[], None]:
    """Make an optimizer take its learning rate from a variable instead of its schedule; returns the way back."""
    return set_untracked(optimizer, "_learning_rate", variable)
