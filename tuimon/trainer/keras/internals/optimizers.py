"""Reads and changes optimizers: inner ones, moving averages of weights, learning rates."""

from collections.abc import Callable
from typing import Any

import keras

from tuimon.trainer.keras.internals.patches import set_untracked


def optimizers(optimizer: Any) -> list[Any]:
    """Return an optimizer and those that it wraps, as LossScaleOptimizer does, outermost first."""
    found = []
    while optimizer is not None:
        found.append(optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return found


def averaging_optimizer(optimizer: Any) -> Any:
    """Return the optimizer that keeps moving averages of the weights (``use_ema``); None if none does."""
    return next((each for each in optimizers(optimizer) if each.use_ema), None)


def average_only(optimizer: Any, variables: list[Any]) -> Callable[[], None]:
    """Restrict ``use_ema`` to these variables; return a function that undoes it.

    Keras averages all variables that the optimizer was built with. With ``ema_overwrite_frequency`` it writes the
    averages into the weights, also into frozen ones.
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
    """Set the moving averages of these variables to their values, because ``fit`` writes the averages at its end."""
    wanted = {id(variable) for variable in variables}
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
    for variable, average in pairs:
        if id(variable) in wanted:
            average.assign(variable)


def all_optimizers(model: Any) -> list[Any]:
    """Return the model's optimizer and further ones among its attributes, as a GAN has."""
    found = [
        model.optimizer,
        *(value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)),
    ]
    return list({id(optimizer): optimizer for optimizer in found if optimizer is not None}.values())


def schedule_owner(optimizer: Any) -> Any:
    """Return the optimizer whose learning rate is a schedule or a function; None if the rate is a variable."""
    owner = optimizers(optimizer)[-1]
    return None if isinstance(owner._learning_rate, keras.Variable) else owner


def learning_rate_variable(strategy: Any) -> Any:
    """Return a new variable for a learning rate, outside of every tracker and name counter."""
    with strategy.scope():
        return keras.Variable(
            0.0, name="tuimon_learning_rate", dtype="float32", trainable=False, aggregation="only_first_replica"
        )


def use_learning_rate(optimizer: Any, variable: Any) -> Callable[[], None]:
    """Replace an optimizer's schedule by a variable; return a function that undoes it."""
    return set_untracked(optimizer, "_learning_rate", variable)
