"""The forward passes of probes, in functions of their own that write no variable, with random seeds of their own."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import keras
import tensorflow as tf

from tuimon.text import plain
from tuimon.trainer.engine import Calls, Moments, Pass, ProbeError
from tuimon.trainer.keras.internals import layers as keras_layers
from tuimon.trainer.keras.internals import losses, variables
from tuimon.trainer.keras.internals.layers import flatten_layers, has_own_call, has_own_train_step, random_layers
from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.measuring import moments
from tuimon.trainer.keras.probes.forward import Forward, InForce, Kind
from tuimon.trainer.keras.scopes import Scopes
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.modes import AUTO, Mode

KEPT_FUNCTIONS = 4
"""Traced functions that are kept beside the one for all layers; each holds megabytes of a large model."""


class Probed(Protocol):
    """The parts of a watched model that its passes need."""

    model: Any
    layers: KerasLayers
    scopes: Scopes
    train: StepFunctions
    why_not_steerable: str


class KerasPasses:
    """Makes the passes of one model, again and again, with the functions that were traced the first time.

    Args:
        watched: The model.
    """

    def __init__(self, watched: Probed) -> None:
        self.first_seconds = 0.0
        """The seconds that all traces took so far, each with its first pass."""
        self._watched = watched
        self._model = watched.model
        self._kept: OrderedDict[tuple[Kind, InForce], Forward] = OrderedDict()
        self._selected: Forward | None = None
        self._made_for: tuple[Any, Any, Any] = (None, None, None)

    @property
    def why_not(self) -> str:
        """Why this model cannot be probed; empty where it can."""
        if self._watched.why_not_steerable:
            return self._watched.why_not_steerable
        if not self._model.compiled:
            return "the loss of a model that is not compiled is not known"
        if has_own_train_step(self._model):
            return "the model's train_step is its own: which loss it has is not known"
        return ""

    def check(self, batch: Any) -> None:
        """Look at a batch before it is held.

        Raises:
            ProbeError: it has no labels, or holds NaN or infinity.
        """
        x, y, _ = keras.utils.unpack_x_y_sample_weight(variables.without_optionals(batch))
        if y is None and self._model.loss is not None:
            raise ProbeError("the batch has no labels")
        parts = [part for part in tf.nest.flatten(x, expand_composites=True) if tf.is_tensor(part)]
        if any(part.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(part))) for part in parts):
            raise ProbeError("the batch holds NaN or infinity")

    def as_batch(self, given: Any) -> Any:
        """Return a batch of the user's as Keras hands one to its step."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(given))

        def tensor(part: Any) -> Any:
            part = tf.convert_to_tensor(part)
            return tf.cast(part, keras.config.floatx()) if part.dtype.is_floating else part

        return tuple(keras.tree.map_structure(tensor, part) for part in (x, y, sample_weight) if part is not None)

    def examples(self, batch: Any) -> int:
        """Return the number of examples in a batch."""
        return variables.examples(self._model, batch)

    @contextlib.contextmanager
    def begin(self, mode: Mode) -> Iterator["KerasPassSet"]:
        """Open the passes of a probe under ``mode``.

        Python code in a layer's ``call`` that draws from NumPy while it is traced does so for these traces, too.

        Raises:
            ProbeError: this model cannot be probed; within the block: it cannot be called with a batch.
        """
        if self.why_not:
            raise ProbeError(self.why_not)
        if losses.would_make_metrics(self._model):
            raise ProbeError("the loss given to compile has not been used: the loop has one of its own")
        self._forget_outdated()
        passes = KerasPassSet(self, self._model, self._in_force(mode))
        with _translated_errors(), _losses_kept(self._model):
            try:
                yield passes
            finally:
                self.first_seconds += passes.costs()[1]

    def has_begun(self, mode: Mode) -> bool:
        """Return whether a probe was made under ``mode``, so that its functions are there."""
        self._forget_outdated()
        return ("training", self._in_force(mode)) in self._kept

    def moments(self, batches: Sequence[Any], mode: Mode) -> Iterator[Mapping[str, Sequence[Moments]]]:
        """Run the model in training mode over batches; yield what each BatchNormalization layer was given, in parts."""
        scope, layers = self._watched.scopes.of_call(mode), self._watched.layers.batch_norm_by_path
        return moments.of_batches(self._model, layers, batches, scope)

    def function(self, kind: Kind, in_force: InForce, calls: Calls | None = None, off: Sequence[Any] = ()) -> Forward:
        """Return the function of one kind of pass, made anew where it is not kept."""
        key = (kind, in_force)
        if key not in self._kept:
            self._kept[key] = Forward(self._model, self._watched.layers, kind, in_force, calls or {}, off)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_FUNCTIONS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def selecting(self, calls: Calls) -> Forward:
        """Return the function that can switch the layers that use batch statistics in training."""
        kept = self._selected
        if kept is None or any(
            kept.switched.get(path) != switched for path, switched in calls.items() if any(switched)
        ):
            kept = self._selected = Forward(
                self._model, self._watched.layers, "selected", InForce(AUTO, frozenset()), calls
            )
        return kept

    def may_depend_on_training(self) -> bool:
        """Return whether anything but BatchNormalization and randomness may depend on ``training``."""
        layers = without(flatten_layers(self._model), list(self._watched.layers.batch_norm_by_path.values()))
        return has_own_call(self._model) or any(map(keras_layers.may_depend_on_training, layers))

    def _forget_outdated(self) -> None:
        """Drop functions that were traced for other layers, or before the model or its train function was made anew."""
        loss, watched = losses.compiled_loss(self._model), self._watched
        made_for = (loss, watched.train.users_function, watched.layers.version)
        if any(one is not other for one, other in zip(made_for, self._made_for, strict=True)):
            self._kept.clear()
            self._selected = None
        self._made_for = made_for

    def _in_force(self, mode: Mode) -> InForce:
        layers = self._watched.layers
        computes = {path: layers.computes(path, mode) for path in layers.batch_norm_by_path}
        # Of a mode, momentum and learning rate do not matter to a call of the model.
        of_calls = replace(mode, momentum=frozenset(), own_learning_rate=False)
        return InForce(of_calls, frozenset((path, word != "frozen") for path, word in computes.items()))


class KerasPassSet:
    """The passes of one probe.

    Args:
        passes: Keeps the functions.
        model: The model.
        in_force: The mode and flags.
    """

    def __init__(self, passes: KerasPasses, model: Any, in_force: InForce) -> None:
        self._passes = passes
        self._model = model
        self._in_force = in_force
        self._training = passes.function("training", in_force)
        self._used: list[Forward] = []
        self._count, self._first_seconds = 0, 0.0

    @property
    def calls(self) -> Calls:
        """What training mode calls; known once a training pass was made, by this probe or one before."""
        return self._training.calls

    @property
    def training_draws(self) -> bool:
        """Whether training mode draws random numbers."""
        return self._training.draws

    @property
    def inference_draws(self) -> bool:
        """Whether inference mode draws random numbers."""
        return self._passes.selecting(self.calls).draws

    @property
    def has_random_layers(self) -> bool:
        """Whether layers that are random in training mode alone can be switched off."""
        return self.training_draws and bool(self._random_layers)

    @property
    def may_be_other(self) -> bool:
        """Whether anything but BatchNormalization and randomness may depend on ``training``."""
        return self._passes.may_depend_on_training()

    def training(self, batch: Any, *, seed: int = 0, looks: bool = False) -> Pass:
        """Make a pass as a training step does."""
        return self._run(self._training, batch, seed=seed, looks=looks)

    def inference(
        self, batch: Any, *, batch_statistics: Sequence[str] = (), seed: int = 0, looks: bool = False
    ) -> Pass:
        """Make a pass in inference mode, in which the layers named use batch statistics."""
        selecting = self._passes.selecting(self.calls)
        return self._run(selecting, batch, selected=batch_statistics, seed=seed, looks=looks)

    def quiet(self, batch: Any) -> Pass:
        """Make a pass in training mode with the random layers off."""
        return self._run(self._passes.function("quiet", self._in_force, self.calls, self._random_layers), batch)

    def costs(self) -> tuple[int, float]:
        """Return how many passes were made, and the seconds spent on traces and their first passes."""
        for function in self._used:
            runs = function.take_runs()
            self._count += runs.passes
            self._first_seconds += runs.first_seconds
        return self._count, self._first_seconds

    @property
    def _random_layers(self) -> list[Any]:
        # A layer that draws in inference as well is not random for the learning phase's sake.
        random = [*random_layers(self._model), *self._training.drawing]
        return without(random, self._passes.selecting(self.calls).drawing)

    def _run(self, function: Forward, batch: Any, **options: Any) -> Pass:
        if not any(function is used for used in self._used):
            self._used.append(function)
        return function.run(batch, **options)


def without(layers: Sequence[Any], left_out: Sequence[Any]) -> list[Any]:
    """Return each layer once, without those left out; layers are told apart by identity."""
    known = set(map(id, left_out))
    return [layer for layer in {id(layer): layer for layer in layers}.values() if id(layer) not in known]


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except ProbeError:
        raise
    except (tf.errors.ResourceExhaustedError, MemoryError):
        raise ProbeError("the batch is too large for the memory that is left") from None
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), "")
        raise ProbeError(
            f"the model cannot be called with the batch: {plain(first_line or repr(error), 200)}"
        ) from error


@contextlib.contextmanager
def _losses_kept(model: Any) -> Iterator[None]:
    """A trace leaves its losses with the layers."""
    put_losses_back = losses.keep_losses(model)
    try:
        yield
    finally:
        put_losses_back()
