"""Validates in the middle of a ``fit``, on its data, and restores everything afterwards."""

from collections.abc import Callable
from typing import Any

import keras

from tuimon.trainer.keras.internals import patches, running_fit, variables
from tuimon.trainer.keras.internals.layers import moving_state


def evaluate(model: Any, before_step: Callable[[], None]) -> dict[str, float] | None:
    """Return the values of ``model.evaluate`` on the validation data of the running ``fit``; None if it has none.

    Call it between two steps, in the training thread. It restores the metrics' variables (the epoch's running means),
    the random seeds (a recurrent layer draws its dropout in validation, too) and the data that ``fit`` has prepared for
    its own validation. It calls none of the user's callbacks.

    Args:
        model: The model.
        before_step: Called before each step of the validation.
    """
    cached = getattr(model, "_eval_epoch_iterator", None)
    arguments: dict[str, Any] | None = {"_use_cached_eval_dataset": True}
    if cached is None:
        arguments = running_fit.validation_arguments(model)
    if arguments is None:
        return None
    put_state_back = variables.keep(moving_state(model))
    put_back = patches.set_untracked(model, "stop_evaluating", False)
    try:
        callback = keras.callbacks.LambdaCallback(on_test_batch_begin=lambda *_, **__: before_step())
        logs: dict[str, float] = model.evaluate(**arguments, callbacks=[callback], verbose=0, return_dict=True)
        return logs
    finally:
        put_back()
        # Metrics that this validation created begin as at the start of an epoch.
        model.reset_metrics()
        put_state_back()
