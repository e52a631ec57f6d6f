"""Captures and restores the full state of a Keras training bit for bit: weights, optimizer, random seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tuimon.trainer.checkpoints import CheckpointError
from tuimon.trainer.engine import Arrays
from tuimon.trainer.keras.internals import optimizers, running_fit
from tuimon.trainer.keras.internals import variables as keras_variables
from tuimon.trainer.keras.internals.layers import seed_states, shared_seed_state
from tuimon.trainer.keras.internals.variables import numpy_dtype, on_replicas
from tuimon.trainer.keras.program_state import callback_state, random_state

_REPLICA = " on replica "
_SHARED_SEED = "seed of keras.random"


class KerasState:
    """Captures and restores the full state of one model.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def capture(self) -> Arrays:
        """Return a copy of every variable of the model, its optimizer and the random seeds, but not of the metrics."""
        return capture(self._model)

    def dtypes(self) -> dict[str, str]:
        """Return the dtype of every variable that `capture` returns."""
        return dtypes(self._model)

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None = None) -> None:
        """Restore variables that `capture` returned, all of them or none.

        Raises:
            CheckpointError: They belong to another model or optimizer; the message names the first difference.
        """
        restore(self._model, arrays, dtypes)

    def begin_epoch_anew(self) -> None:
        """Reset the running means of the epoch, whose steps `restore` undid."""
        self._model.reset_metrics()

    def capture_beside(self) -> tuple[dict[str, Any], Arrays]:
        """Return the state of the fit's callbacks and of random numbers, as JSON, and the arrays within it."""
        arrays: Arrays = {}
        callbacks = running_fit.callbacks_of_fit(self._model)
        states = callback_state.capture(callbacks, arrays)
        return {"callbacks": states, "random": random_state.capture(arrays)}, arrays

    def restore_beside(self, beside: Mapping[str, Any], arrays: Arrays, *, rolls_back: bool = False) -> list[str]:
        """Restore what `capture_beside` returned, as far as it fits; return what does not, in words.

        A rollback leaves random numbers of Python, NumPy and TensorFlow alone, because the data go on where they are.
        """
        callbacks = running_fit.callbacks_of_fit(self._model)
        wrong = callback_state.restore(callbacks, beside.get("callbacks", []), arrays, rolls_back=rolls_back)
        return wrong if rolls_back else wrong + random_state.restore(beside.get("random", {}), arrays)


def capture(model: Any) -> Arrays:
    """Return a copy of every variable of a model, its optimizer and the random seeds, but not of the metrics."""
    arrays: Arrays = {}
    for name, variable in _variables(model).items():
        arrays[name] = _as_numpy(keras_variables.array(variable))
        # Each replica has its own moving statistics of a layer that is not synchronized.
        for number, part in enumerate(on_replicas(variable)[1:], start=1):
            array = _as_numpy(np.array(part))
            if array.tobytes() != arrays[name].tobytes():
                arrays[f"{name}{_REPLICA}{number}"] = array
    return arrays


def restore(model: Any, arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None = None) -> None:
    """Restore variables, all of them or none.

    Args:
        model: The model.
        arrays: As ``capture`` returned them.
        dtypes: As in ``Meta``; None: they are not compared.

    Raises:
        CheckpointError: They belong to another model or optimizer; the message names the first difference.
    """
    variables, values, of_replicas = _fitting(model, arrays, dtypes)
    for name, variable in variables.items():
        variable.assign(values[name])
    for name, (first, _, number) in of_replicas.items():
        parts = on_replicas(variables[first]) if first in variables else []
        if number.isdecimal() and int(number) < len(parts) and arrays[name].shape == tuple(parts[0].shape):
            parts[int(number)].assign(_as_keras(arrays[name], variables[first]))


def require_fitting(
    model: Any, arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None = None
) -> None:
    """Check that ``restore`` will restore these variables.

    Raises:
        CheckpointError: They belong to another model or optimizer; the message names the first difference.
    """
    _fitting(model, arrays, dtypes)


def _fitting(
    model: Any, arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, tuple[str, str, str]]]:
    """Return the variables and their new values, by name, and the names of the parts of replicas."""
    variables = _variables(model)
    # The shared seed exists only once the program has drawn from it.
    variables.pop(_SHARED_SEED, None)
    # A run may continue with fewer replicas, or with one.
    of_replicas = {name: name.rpartition(_REPLICA) for name in arrays if _REPLICA in name}
    values = {}
    for name in [*variables, *(name for name in arrays if name not in of_replicas), _SHARED_SEED]:
        if name == _SHARED_SEED:
            if name not in arrays:
                continue
            # Making it draws from Python's random numbers: only once all else fits.
            variables[name] = shared_seed_state(make=True)
        if name not in arrays or name not in variables:
            whose = "this model" if name in variables else "the checkpoint"
            raise CheckpointError(f"the checkpoint is of another model or optimizer: only {whose} has {name}")
        shape, wanted = arrays[name].shape, tuple(variables[name].shape)
        dtype, has = (dtypes or {}).get(name), str(variables[name].dtype)
        if shape != wanted or dtype not in (None, has):
            there, here = f"{dtype or ''}{list(shape)}", f"{has}{list(wanted)}"
            raise CheckpointError(f"the checkpoint is of another model: {name} is {there} there, {here} here")
        values[name] = _as_keras(arrays[name], variables[name])
        if values[name] is None:
            raise CheckpointError(f"the checkpoint is damaged: {name} is stored as {arrays[name].dtype}, not {has}")
    return variables, values, of_replicas


def dtypes(model: Any) -> dict[str, str]:
    """Return the dtype of every variable that ``capture`` returns."""
    return {name: str(variable.dtype) for name, variable in _variables(model).items()}


def _variables(model: Any) -> dict[str, Any]:
    optimizer = model.optimizer
    if optimizer is not None and not optimizer.built:
        if not model.built:
            # The optimizer would know none of them, and the first step would end the training.
            raise CheckpointError("the model has no variables before its first batch")
        optimizer.build(model.trainable_variables)
    groups = {
        "model": list(model.weights),
        "seed": seed_states(model),
        "optimizer": [variable for one in optimizers.all_optimizers(model) for variable in one.variables],
    }
    # Paths need not be unique; the position in the list makes names unique, and keeps the order.
    named = {
        f"{group}/{number}/{_path(group, variable)}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }
    shared = shared_seed_state()
    return named if shared is None else named | {_SHARED_SEED: shared}


def _path(group: str, variable: Any) -> str:
    # The inner optimizer of a LossScaleOptimizer has a longer path if Keras builds it in the first step than if we do.
    return "/".join(variable.path.split("/")[-2:]) if group == "optimizer" else str(variable.path)


def _as_numpy(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.view(_stored(array.dtype))


def _as_keras(array: npt.NDArray[Any], variable: Any) -> npt.NDArray[Any] | None:
    dtype = np.dtype(numpy_dtype(variable))
    return array.view(dtype) if array.dtype == _stored(dtype) else None


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")
