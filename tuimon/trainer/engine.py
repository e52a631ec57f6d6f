"""What tuimon asks of a framework. An engine fulfils these Protocols; everything else in the trainer works with them.

To write an engine, start from `Engine` and implement its parts in this order:

1. `Layers`: find the layers, read their statistics. With it and `Engine.steps_made`, a run is watched.
2. `Steps`: put a `Mode` in force for the next step. With it, a run is steered.
3. `Passes`: forward passes that change nothing. With them, a run is probed.
4. `FullState`: everything that a checkpoint must hold.

`tests/trainer/fake_engine.py` is the smallest engine that the rest of the trainer works with; `tuimon.trainer.keras` is
the first real one. All methods are called in the training thread, between two steps, unless a docstring says otherwise.
Whatever a part cannot do, it says in `Engine.why_not`; nothing here may end the user's training.
"""

# Whole: whoever writes an engine reads the boundary from top to bottom.
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy.typing as npt

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray
from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.modes import AUTO, Mode

Batch = Any
"""One batch as the engine's training step takes it; the core holds it and hands it back."""

Arrays = dict[str, npt.NDArray[Any]]
"""The variables of a full state by a name of their own; a dtype that NumPy lacks (bfloat16) as unsigned integers."""

Computes = Literal["training", "frozen", "inference"]
"""How a BatchNormalization layer computes in a training step: with batch statistics; with everything held; with its
moving statistics, while gamma and beta may learn."""


MAXIMUM_BYTES = 1024**3
"""Training batches that are read ahead of training take no more memory than this."""


class Layers(Protocol):
    """The layers of the watched model. A path names a layer: unique, stable, with ``/`` between its parts."""

    @property
    def batch_norm(self) -> Mapping[str, events.BatchNormLayer]:
        """The built layers with moving statistics, by path, in the order of the model, as of the last `look`."""

    @property
    def weighted(self) -> Sequence[str]:
        """Paths of all layers with weights, those of other layers within them included."""

    @property
    def others(self) -> Sequence[str]:
        """Paths of the other layers whose result depends on ``training``: dropout, augmentation."""

    @property
    def are_complete(self) -> bool:
        """Whether all layers exist; False while the model may still make some with its first batch."""

    def look(self) -> bool:
        """Find the layers anew; return whether there are others than before, or others that the user froze."""

    def describe(self) -> events.ModelBuilt:
        """Return what the log says of the model."""

    @property
    def flags_without_effect(self) -> Sequence[str]:
        """Paths of the layers with weights whose ``trainable`` the user set after the step was traced."""

    def describe_as_traced(self) -> events.ModelBuilt | None:
        """Return `describe` with the flags of the trace; None where they are those of now, or after the first look."""

    def within(self, paths: Iterable[str]) -> frozenset[str]:
        """Return these layers and every layer in them."""

    def is_frozen_by_user(self, path: str) -> bool:
        """Return whether the user froze a layer's own weights, so that the optimizer may not know them."""

    def flagged(self, path: str, mode: Mode) -> Computes:
        """Return how a BatchNormalization layer computes under ``mode``, by the flags as they are now."""

    def computes(self, path: str, mode: Mode) -> Computes:
        """Return how it really computes in a step under ``mode``: a flag set after the trace has no effect."""

    def leaves_weights_to_train(self, mode: Mode) -> bool:
        """Return whether any weight is still trained under ``mode``."""

    def read(self) -> dict[str, LayerArrays]:
        """Return the arrays of every BatchNormalization layer by path, with one transfer from the device."""

    def put_statistics(self, statistics: Mapping[str, tuple[FloatArray, FloatArray]]) -> Callable[[], None]:
        """Set moving means and variances, ``(channels,)`` each, by path; return the way back, bit for bit."""

    def weight_bytes(self, path: str) -> int:
        """Return the size of a layer's own weights in bytes."""

    def read_weights(self, path: str) -> Sequence[npt.NDArray[Any]]:
        """Return a layer's own weights, without those of the layers within."""


@dataclass
class Switch:
    """A change of mode that takes effect with the next step, and who is told how it goes.

    The engine calls ``prepare``, then ``done`` and ``ran``, or ``failed``; an exception in one of them ends nothing.
    """

    mode: Mode
    """The new mode."""
    prepare: Callable[[bool], None]
    """Called right before the first step under it, or its trace; with whether a trace or compilation is needed."""
    done: Callable[[float], None]
    """Called once it is in force: after its first step, or its trace where no step comes now. It is given the
    seconds that trace, compilation and run took; 0 where nothing was traced."""
    ran: Callable[[], None]
    """Called right after the first step under it."""
    failed: Callable[[Exception], None]
    """Called when it cannot be put in force; the former mode stays."""


class Data(Protocol):
    """The training data, where they are at hand: right before a step."""

    def ahead(self, count: int, maximum_bytes: int) -> list[Batch]:
        """Return up to ``count`` of the next batches; training gets the same ones, in the same order.

        No further batch is read once they take ``maximum_bytes``.
        """

    def catch_up(self) -> bool:
        """Put the mode that waits in force and do the waiting tasks, without a step; return whether tasks were done."""


Task = Callable[[Data], None]
"""Runs right before a step."""

Prepared = Callable[[float, Exception | None], None]
"""Told how many seconds the trace of a prepared mode took, and why it failed; None: it did not."""


class Steps(Protocol):
    """The training steps of one ``fit``."""

    @property
    def mode(self) -> Mode:
        """The mode in force: that of the last step."""

    @property
    def has_run(self) -> bool:
        """Whether a step was made; before it, a framework may have no variables of its own."""

    @property
    def coming_mode(self) -> Mode | None:
        """The mode that waits for the next step; None: none waits."""

    @property
    def steps_per_call(self) -> int:
        """Steps that run between two looks of ours: Keras' ``steps_per_execution``."""

    @property
    def calls_unread(self) -> int:
        """How many calls may pass until `Engine.read_values` must be called, so that no value is lost."""

    def switch(self, switch: Switch) -> None:
        """Change the mode with the next step; a change that still waits is replaced."""

    def before_next(self, task: Task) -> None:
        """Run ``task`` before the next step; a task may put itself off by asking again."""

    def prepare(self, mode: Mode, prepared: Prepared) -> None:
        """Trace ``mode`` before the first step, so that its first use costs nothing later."""


class Validation(Protocol):
    """The validations of one ``fit``."""

    def before_step(self, mode: Mode) -> None:
        """Take the validation step's place, for one step of a validation beside training in ``mode``."""

    def before_next(self, task: Task) -> None:
        """Run ``task`` before the next validation step."""

    def read_values(self) -> dict[str, FloatArray]:
        """Return each validation step's own values since the last call."""

    def end(self) -> None:
        """Give the validation step's place back."""

    def run(self, mode: Mode) -> Mapping[str, Any] | None:
        """Return the result of a validation on this fit's data, as training in ``mode`` has it; None: no such data.

        It leaves no trace: metrics, random seeds and the data of the fit's own validation are put back.
        """

    def why_not_repeated(self) -> str:
        """Return why a validation cannot be repeated on the very same data unasked; empty where it can."""

    def each_batch(self, look: Callable[[Batch], None]) -> bool:
        """Call ``look`` with each batch of this fit's validation; return whether the fit has one."""


class LearningRate(Protocol):
    """The optimizer's learning rate."""

    @property
    def has_schedule(self) -> bool:
        """Whether a schedule sets it; then a request's own rate is a mode, `Mode.own_learning_rate`."""

    def now(self, mode: Mode) -> float | None:
        """Return the rate of the next step under ``mode``; None where it is not known."""

    def stored(self, rate: float) -> float:
        """Return ``rate`` as the optimizer stores it: float32 has neither 1e-60 nor 1e60."""

    def put(self, rate: float) -> None:
        """Set the rate where there is no schedule."""

    def own(self) -> float:
        """Return the rate that stands for the schedule under `Mode.own_learning_rate`."""

    def put_own(self, rate: float) -> None:
        """Set that rate."""

    def drivers(self) -> Sequence[str]:
        """Return the names of the user's callbacks that set the rate as well."""


@dataclass(frozen=True)
class Moments:
    """What a layer was given in one call, per channel."""

    count: float
    """Values per channel."""
    mean: FloatArray
    """Their mean, shape ``(channels,)``."""
    variance: FloatArray
    """Their biased variance, shape ``(channels,)``."""


@dataclass(frozen=True)
class Pass:
    """What one forward pass showed."""

    loss: float
    losses: FloatArray | None = None
    """The loss of each example, shape ``(examples,)``; None where it is not known."""
    layers: Mapping[str, Sequence[Sequence[Moments]]] = field(default_factory=dict)
    """By path, of each call of the layer: all that it was given, then, in inference mode, the two halves of it."""


Calls = dict[str, list[bool]]
"""By path of a BatchNormalization layer, in the order of their first calls: of each call, whether it uses batch
statistics."""


class ProbeError(Exception):
    """This batch or this model cannot be probed; the message says why."""


class PassSet(Protocol):
    """The forward passes of one probe, in one mode. None of them changes a variable or a random state.

    ``training`` comes first: what it calls decides what the others can switch.
    """

    @property
    def calls(self) -> Calls:
        """What training mode calls; known after the first `training`."""

    @property
    def training_draws(self) -> bool:
        """Whether training mode draws random numbers; known after the first `training`."""

    @property
    def inference_draws(self) -> bool:
        """Whether inference mode does; known after the first `inference`."""

    @property
    def has_random_layers(self) -> bool:
        """Whether layers that are random in training mode alone can be switched off; known after both."""

    @property
    def may_be_other(self) -> bool:
        """Whether anything but BatchNormalization and randomness may depend on ``training``."""

    def training(self, batch: Batch, *, seed: int = 0, looks: bool = False) -> Pass:
        """Make a pass as a training step does; ``looks``: return what the layers are given."""

    def inference(
        self, batch: Batch, *, batch_statistics: Sequence[str] = (), seed: int = 0, looks: bool = False
    ) -> Pass:
        """Make a pass in inference mode, in which the layers named use batch statistics."""

    def quiet(self, batch: Batch) -> Pass:
        """Make a pass in training mode with the random layers off."""

    def costs(self) -> tuple[int, float]:
        """Return how many passes were made, and the seconds spent on traces and their first passes."""


class Passes(Protocol):
    """Makes forward passes for probes."""

    @property
    def why_not(self) -> str:
        """Why this model cannot be probed; empty where it can."""

    @property
    def first_seconds(self) -> float:
        """The seconds that all traces took so far, each with its first pass."""

    def check(self, batch: Batch) -> None:
        """Raise `ProbeError` where a batch cannot be probed: it has no labels, or holds NaN or infinity."""

    def as_batch(self, given: Any) -> Batch:
        """Return ``(x, y)`` or ``(x, y, sample_weight)`` of the user's as the training step takes it."""

    def examples(self, batch: Batch) -> int:
        """Return the number of examples in a batch."""

    def begin(self, mode: Mode) -> AbstractContextManager[PassSet]:
        """Open the passes of a probe under ``mode``; an error of the model or the batch becomes a `ProbeError`."""

    def has_begun(self, mode: Mode) -> bool:
        """Return whether a probe was made under ``mode``, so that its passes are traced."""

    def moments(self, batches: Sequence[Batch], mode: Mode) -> Iterator[Mapping[str, Sequence[Moments]]]:
        """Run the model in training mode over batches; yield what each BatchNormalization layer was given, in parts.

        A layer that uses its moving statistics in ``mode`` was given nothing. No variable is changed.
        """


class FullState(Protocol):
    """Everything that training goes on from, bit for bit: weights, optimizer, random seeds."""

    def capture(self) -> Arrays:
        """Return a copy of every variable."""

    def dtypes(self) -> dict[str, str]:
        """Return the dtype of every variable that `capture` returns."""

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None = None) -> None:
        """Put variables back; nothing is changed where something does not fit.

        Raises:
            ValueError: they are of another model or optimizer; names the first difference.
        """

    def begin_epoch_anew(self) -> None:
        """Forget the running means of the epoch under way: their steps are undone."""


class FitFacts(NamedTuple):
    """What the log says of a ``fit``, beside what the core knows."""

    optimizer: str
    jit_compile: bool
    batch_size: int | None
    last_batch_size: int | None


class Engine(Protocol):
    """One model of one framework, watched and steered."""

    compile_seconds: float
    """Seconds of the longest first step of a ``fit``: the one that was traced. The core sets it."""

    @property
    def layers(self) -> Layers:
        """The layers."""

    @property
    def steps(self) -> Steps:
        """The training steps."""

    @property
    def validation(self) -> Validation:
        """The validations."""

    @property
    def passes(self) -> Passes:
        """Forward passes beside training."""

    @property
    def state(self) -> FullState:
        """Weights, optimizer and random seeds."""

    @property
    def learning_rate(self) -> LearningRate:
        """The optimizer's learning rate."""

    @property
    def waits_in_step(self) -> bool:
        """Whether a pause waits where the data are at hand, so that a mode can be traced meanwhile."""

    def why_not(self, request: str) -> str:
        """Return why a request, by its name in `tuimon.protocol.commands.NAMES`, is never taken; empty where it is."""

    def facts(self) -> FitFacts:
        """Return what the log says of this ``fit``."""

    def steps_made(self) -> int:
        """Return the framework's own count of training steps."""

    def read_values(self) -> dict[str, FloatArray]:
        """Return each step's own values since the last call, per metric of shape ``(steps,)``; empty: not known."""

    def running_values(self) -> Mapping[str, Any]:
        """Return the framework's running values as of the last step."""

    def before_step(self) -> None:
        """Take the step's place, for one step."""

    def stop(self) -> None:
        """End the training after this step."""

    @property
    def is_stopping(self) -> bool:
        """Whether training ends after this step, whoever asked."""

    def begin(self) -> Sequence[str]:
        """Begin a ``fit``; return sentences for its log."""

    def end(self, *, keeps_mode: bool) -> None:
        """Give everything back to the user; ``keeps_mode``: the fit goes on without us, in the mode in force."""

    def fit_is_over(self) -> None:
        """Leave the steps to the user: the fit ended unseen. From any thread."""


def users_frozen(layers: Layers) -> list[str]:
    """Return the paths of the BatchNormalization layers that the user froze before training."""
    return [path for path in layers.batch_norm if layers.computes(path, AUTO) == "frozen"]


def frozen(layers: Layers, mode: Mode) -> list[str]:
    """Return the paths of all frozen BatchNormalization layers under ``mode``, in the order of the model."""
    return [path for path in layers.batch_norm if layers.flagged(path, mode) == "frozen"]


def frozen_weights(layers: Layers, mode: Mode) -> list[str]:
    """Return the paths of the other layers with own weights that ``mode`` freezes, in the order of the model."""
    paths = (path for path in layers.weighted if path in mode.frozen and path not in layers.batch_norm)
    return [path for path in paths if layers.weight_bytes(path)]


def statistics_held(layers: Layers, mode: Mode) -> list[str]:
    """Return the paths of the BatchNormalization layers whose moving statistics ``mode`` holds."""
    return [path for path in layers.batch_norm if path in mode.statistics]
