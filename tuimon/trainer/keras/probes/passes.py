"""Makes the forward passes of probes, in separate functions that write no variable and use their own seeds."""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from msgspec.structs import replace

from tuimon.protocol.wire import FloatArray
from tuimon.text import plain
from tuimon.trainer.engine import PASSES_OF_A_GRADIENT, Calls, Gradient, Moments, Pass, ProbeError
from tuimon.trainer.keras.internals import layers as keras_layers
from tuimon.trainer.keras.internals import losses, variables
from tuimon.trainer.keras.internals.layers import flatten_layers, has_own_call, has_own_train_step, random_layers
from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.measuring import moments
from tuimon.trainer.keras.probes.forward import Forward, InForce, Kind
from tuimon.trainer.keras.probes.gradients import GradientPass
from tuimon.trainer.keras.scopes import Scopes
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.modes import AUTO, Mode

KEPT_FUNCTIONS = 4
"""Traced functions to keep beside the one that switches layers; each takes megabytes for a large model."""


class Probed(Protocol):
    """The parts of a watched model that its passes need."""

    model: Any
    layers: KerasLayers
    scopes: Scopes
    train: StepFunctions
    why_not_steerable: str


class KerasPasses:
    """Makes the passes of one model, and keeps the traced functions for further probes.

    Args:
        watched: The model.
    """

    def __init__(self, watched: Probed) -> None:
        self.first_seconds = 0.0
        """The seconds of all traces so far, each with its first pass."""
        self._watched = watched
        self._model = watched.model
        self._kept: OrderedDict[tuple[Kind, InForce], Forward] = OrderedDict()
        self._selected: Forward | None = None
        self._gradient: tuple[InForce, GradientPass] | None = None
        self.why_no_gradients = ""
        """Why gradients of this model cannot be computed; empty if they can, or were not tried."""
        self._made_for: tuple[Any, Any, Any] = (None, None, None)

    @property
    def why_not(self) -> str:
        """The reason why this model cannot be probed; empty if it can."""
        if self._watched.why_not_steerable:
            return self._watched.why_not_steerable
        if not self._model.compiled:
            return "the loss of a model that is not compiled is not known"
        if has_own_train_step(self._model):
            return "the model's train_step is its own: which loss it has is not known"
        return ""

    @property
    def is_ready(self) -> bool:
        """False while the model, as it is compiled now, has made no step."""
        return not losses.would_make_metrics(self._model)

    def check(self, batch: Any) -> None:
        """Check that a batch can be probed.

        Raises:
            ProbeError: The batch has no labels, or holds NaN or infinity.
        """
        x, y, _ = keras.utils.unpack_x_y_sample_weight(variables.without_optionals(batch))
        if y is None and self._model.loss is not None:
            raise ProbeError("the batch has no labels")
        parts = [part for part in tf.nest.flatten(x, expand_composites=True) if tf.is_tensor(part)]
        if any(part.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(part))) for part in parts):
            raise ProbeError("the batch holds NaN or infinity")

    def as_batch(self, given: Any) -> Any:
        """Return the user's batch as Keras passes one to its step."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(given))

        def tensor(part: Any) -> Any:
            part = tf.convert_to_tensor(part)
            return tf.cast(part, keras.config.floatx()) if part.dtype.is_floating else part

        return tuple(keras.tree.map_structure(tensor, part) for part in (x, y, sample_weight) if part is not None)

    def examples(self, batch: Any) -> int:
        """Return the number of examples in a batch."""
        return variables.examples(self._model, batch)

    def bytes_of(self, batch: Any) -> int:
        """Return the memory that a batch takes, in bytes."""
        return variables.bytes_of_batch(batch)

    def without_weights(self, batch: Any) -> Any:
        """Return the batch without its sample weights, or the same object if it has none."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(variables.without_optionals(batch))
        return batch if sample_weight is None else (x, y)

    @contextlib.contextmanager
    def begin(self, mode: Mode) -> Iterator["KerasPassSet"]:
        """Open the passes of a probe under ``mode``.

        If Python code in a layer's ``call`` draws from NumPy while it is traced, these traces draw, too.

        Raises:
            ProbeError: This model cannot be probed. Within the block: the model cannot be called with the batch.
        """
        if self.why_not:
            raise ProbeError(self.why_not)
        if not self.is_ready:
            raise ProbeError("the loss given to compile has not been used: the loop has one of its own")
        self._forget_outdated()
        passes = KerasPassSet(self, self._model, self._in_force(mode))
        with _translated_errors(), _losses_kept(self._model):
            try:
                yield passes
            finally:
                self.first_seconds += passes.costs()[1]

    def has_begun(self, mode: Mode) -> bool:
        """Return True if a probe was made under ``mode`` and its functions are kept."""
        self._forget_outdated()
        return ("training", self._in_force(mode)) in self._kept

    def moments(self, batches: Sequence[Any], mode: Mode) -> Iterator[Mapping[str, Sequence[Moments]]]:
        """Run the model in training mode over batches; yield the moments of each BatchNormalization layer's inputs."""
        scope, layers = self._watched.scopes.of_call(mode), self._watched.layers.batch_norm_by_path
        return moments.of_batches(self._model, layers, batches, scope)

    def function(self, kind: Kind, in_force: InForce, calls: Calls | None = None, off: Sequence[Any] = ()) -> Forward:
        """Return the function of one kind of pass; make it if it is not kept."""
        key = (kind, in_force)
        if key not in self._kept:
            self._kept[key] = Forward(self._model, self._watched.layers, kind, in_force, calls or {}, off)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_FUNCTIONS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def selecting(self, calls: Calls) -> Forward:
        """Return the function that switches the layers that use batch statistics in training."""
        kept = self._selected
        if kept is None or any(
            kept.switched.get(path) != switched for path, switched in calls.items() if any(switched)
        ):
            kept = self._selected = Forward(
                self._model, self._watched.layers, "selected", InForce(AUTO, frozenset()), calls
            )
        return kept

    def gradient_pass(self, in_force: InForce) -> GradientPass:
        """Return the function that computes gradients; make it if it is not kept."""
        key = in_force
        if self._gradient is None or self._gradient[0] != key:
            self._gradient = key, GradientPass(self._model, self._watched.layers, in_force)
        return self._gradient[1]

    def may_depend_on_training(self) -> bool:
        """Return True if anything but BatchNormalization and randomness may depend on ``training``."""
        layers = without(flatten_layers(self._model), list(self._watched.layers.batch_norm_by_path.values()))
        return has_own_call(self._model) or any(map(keras_layers.may_depend_on_training, layers))

    def _forget_outdated(self) -> None:
        """Drop functions that were traced for other layers, or before the model got a new loss or train function."""
        loss, watched = losses.compiled_loss(self._model), self._watched
        made_for = (loss, watched.train.users_function, watched.layers.version)
        if any(one is not other for one, other in zip(made_for, self._made_for, strict=True)):
            self._kept.clear()
            self._selected = self._gradient = None
            self.why_no_gradients = ""
        self._made_for = made_for

    def _in_force(self, mode: Mode) -> InForce:
        layers = self._watched.layers
        computes = {path: layers.computes(path, mode) for path in layers.batch_norm_by_path}
        # Momentum and learning rate do not affect a call of the model.
        of_calls = replace(mode, momentum=frozenset(), own_learning_rate=False)
        return InForce(of_calls, frozenset((path, word != "frozen") for path, word in computes.items()))


class KerasPassSet:
    """The passes of one probe.

    Args:
        passes: Keeps the traced functions.
        model: The model.
        in_force: The mode and flags of the passes.
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
        """The layers that training mode calls; known after the first training pass of any probe in this mode."""
        return self._training.calls

    @property
    def inference_calls(self) -> Calls:
        """The calls of the same layers in inference mode; known after the first inference pass."""
        return self._passes.selecting(self.calls).calls

    @property
    def training_draws(self) -> bool:
        """True if training mode draws random numbers."""
        return self._training.draws

    @property
    def inference_draws(self) -> bool:
        """True if inference mode draws random numbers."""
        return self._passes.selecting(self.calls).draws

    @property
    def has_random_layers(self) -> bool:
        """True if `quiet` can switch off layers that are random in training mode alone."""
        return self.training_draws and bool(self._random_layers)

    @property
    def may_be_other(self) -> bool:
        """True if anything but BatchNormalization and randomness may depend on ``training``."""
        return self._passes.may_depend_on_training()

    def training(self, batch: Any, *, seed: int = 0, looks: bool = False) -> Pass:
        """Make a pass as a training step does."""
        return self._run(self._training, batch, seed=seed, looks=looks)

    def inference(
        self, batch: Any, *, batch_statistics: Sequence[str] = (), seed: int = 0, looks: bool = False
    ) -> Pass:
        """Make a pass in inference mode, in which the layers of the paths ``batch_statistics`` use batch statistics."""
        selecting = self._passes.selecting(self.calls)
        return self._run(selecting, batch, selected=batch_statistics, seed=seed, looks=looks)

    def quiet(self, batch: Any) -> Pass:
        """Make a pass in training mode with the random layers off."""
        return self._run(self._passes.function("quiet", self._in_force, self.calls, self._random_layers), batch)

    def losses_of_constant(self, batches: Sequence[Any], passes: Sequence[Pass]) -> FloatArray | None:
        """Return what each example would lose, ``(examples,)``, if the mean output of some passes answered them all."""
        outputs = [each.output for each in passes]
        one_replica = self._model.distribute_strategy.num_replicas_in_sync == 1
        if not one_replica or any(each is None or each.shape != outputs[0].shape for each in outputs):
            return None
        mean = tf.constant(np.mean(outputs, axis=0))
        return self._losses_of_answers(
            batches, lambda batch, _: tf.broadcast_to(mean, [self._passes.examples(batch), *mean.shape])
        )

    def losses_of_labels(self, batches: Sequence[Any]) -> FloatArray | None:
        """Return what each example would lose, ``(examples,)``, if its label were the answer; None: nothing."""
        if not losses.takes_distributions(self._model):
            return None
        is_soft = all(tf.is_tensor(labels) and labels.dtype.is_floating for labels in map(_labels, batches))
        return self._losses_of_answers(batches, lambda _, labels: labels) if is_soft else None

    def _losses_of_answers(self, batches: Sequence[Any], answers: Callable[[Any, Any], Any]) -> FloatArray | None:
        found = []
        for batch in batches:
            labels = _labels(batch)
            each = losses.losses_of_examples(self._model, labels, answers(batch, labels), None)
            if each is None:
                return None
            found.append(np.asarray(each, np.float64))
        return np.concatenate(found)

    def gradients(self, batch: Any, *, seed: int = 0) -> Mapping[str, Gradient]:
        """Return the gradient of the loss in training mode by path; on several replicas it is unknown."""
        if self._model.distribute_strategy.num_replicas_in_sync > 1:
            return {}
        began, function = time.perf_counter(), self._passes.gradient_pass(self._in_force)
        is_first, self._count = not function.has_run, self._count + PASSES_OF_A_GRADIENT
        try:
            if self._passes.why_no_gradients:
                raise ProbeError(self._passes.why_no_gradients)
            return function.gradients(batch, seed)
        except Exception as error:
            self._passes.why_no_gradients = str(error)
            raise
        finally:
            if is_first:
                self._first_seconds += time.perf_counter() - began

    def costs(self) -> tuple[int, float]:
        """Return the number of passes of this set, and the seconds of its traces, each with its first pass."""
        for function in self._used:
            runs = function.take_runs()
            self._count += runs.passes
            self._first_seconds += runs.first_seconds
        return self._count, self._first_seconds

    @property
    def _random_layers(self) -> list[Any]:
        # A layer that also draws in inference is not random because of the learning phase.
        random = [*random_layers(self._model), *self._training.drawing]
        return without(random, self._passes.selecting(self.calls).drawing)

    def _run(self, function: Forward, batch: Any, **options: Any) -> Pass:
        if not any(function is used for used in self._used):
            self._used.append(function)
        return function.run(batch, **options)


def _labels(batch: Any) -> Any:
    return keras.utils.unpack_x_y_sample_weight(variables.without_optionals(batch))[1]


def without(layers: Sequence[Any], left_out: Sequence[Any]) -> list[Any]:
    """Return each layer once, without those left out. Layers are compared by identity."""
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
    """Restore the losses that layers hold, because a trace replaces them."""
    put_losses_back = losses.keep_losses(model)
    try:
        yield
    finally:
        put_losses_back()
