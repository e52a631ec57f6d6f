# Whole: the author of an engine reads the boundary from top to bottom.
"""The Protocols that tuimon needs of a framework. An engine implements them; the rest of the trainer calls them.

To write an engine, start from `Engine` and implement its parts in this order:

1. `Layers` finds the layers and reads their statistics. With it and `Engine.steps_made`, tuimon watches a run.
2. `Steps` puts a `Mode` in force for the next step. With it, tuimon steers a run.
3. `Passes` makes forward passes that change nothing. With them, tuimon probes a run.
4. `FullState` copies and restores everything that a checkpoint holds.

`Engine.why_not` names each request that the engine cannot carry out; a part behind such requests may be empty.
`tests/trainer/fake_engine.py` is the smallest engine that the rest of the trainer works with; `tuimon.trainer.keras` is
the first real one.

An engine also brings a callback or a loop that makes one `tuimon.trainer.fit.Fit` for each ``fit``, and calls, in the
training thread:

1. ``Fit(…)``. It calls `Engine.begin` first, then `Engine.steps_made`, `Layers.look` and, if the log needs the model,
   `Layers.describe`; last `Steps.prepare`. ``begin_in`` follows if the run resumes in a mode.
2. ``begin_epoch`` as an epoch begins. The first one calls `Engine.facts`.
3. ``before_step`` before each call of the training step. It calls `Engine.before_step`, takes requests, waits while the
   run is paused, and reads values and layers now and then.
4. ``begin_validation``, then ``before_validation_step`` before each call of the validation step, then
   ``end_validation``. A validation comes before the end of its epoch.
5. ``end_epoch`` with the epoch's values; the validation's are named ``val_…``. Then ``save_if_due``, once all that the
   user runs at the end of an epoch has run.
6. ``write_last`` if training ended well, then ``end`` in any case. ``end`` calls `Engine.end`.

If a batch of a new shape cannot be traced in the mode in force, the engine returns to `AUTO`, runs the step, and calls
``retreat`` once `Steps.mode` is `AUTO`.

Threads: all methods run in the training thread, between two steps, unless a docstring says otherwise.

Errors: nothing here may end the user's training. A method raises only what its docstring names. If another exception
leaves a method of ``Fit``, the caller catches it, calls ``end(keeps_mode=True)``, and training goes on without tuimon.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol

import numpy.typing as npt
from msgspec import Struct, field

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray
from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.modes import AUTO, Mode

Batch = Any
"""One batch as the engine's step takes it. The rest of the trainer keeps it, returns it, and never looks into it."""

Column = FloatArray | Sequence[float | None]
"""A metric's values of some steps; None where it has none."""

Arrays = dict[str, npt.NDArray[Any]]
"""The variables of a full state, each by a unique name. A dtype that NumPy lacks (bfloat16) is stored as unsigned
integers."""

Computes = Literal["training", "frozen", "inference"]
"""How a BatchNormalization layer computes in a training step. ``training``: with batch statistics. ``frozen``: with its
moving statistics, and none of its arrays changes. ``inference``: with its moving statistics, while gamma and beta may
learn."""

MAXIMUM_BYTES_AHEAD = 1024**3
"""Memory limit of the batches that are read ahead of training."""


class Layers(Protocol):
    """The layers of the watched model. A path names a layer: unique, stable, with ``/`` between its parts.

    `look` finds the layers. All other methods answer for the layers that the last `look` found, and are given paths of
    these only.
    """

    @property
    def batch_norm(self) -> Mapping[str, events.BatchNormLayer]:
        """The built layers with moving statistics, by path, in the order of the model; empty before `look`."""

    @property
    def weighted(self) -> Sequence[str]:
        """Paths of all layers that have weights, themselves or in a layer within, in the order of the model."""

    @property
    def others(self) -> Sequence[str]:
        """Paths of the other layers whose result depends on ``training``, as dropout; known after `describe`."""

    @property
    def are_complete(self) -> bool:
        """True once all layers exist. False while the model may still create some with its first batch."""

    def look(self) -> bool:
        """Find the layers; return True if they, or the flags that the user set on them, differ from the last time.

        Called as a ``fit`` begins and before each reading of the layers, up to four times a second. The first call
        returns True.
        """

    def describe(self) -> events.ModelBuilt:
        """Return the description of the model for the log. Called after each `look` that returned True."""

    @property
    def flags_without_effect(self) -> Sequence[str]:
        """Paths of the layers with weights whose ``trainable`` flag the user changed after the step was traced.

        Always empty in a framework that reads such flags at each step.
        """

    def describe_as_traced(self) -> events.ModelBuilt | None:
        """Return `describe` with the flags of the trace, if the first `look` found that they differ; else None."""

    def within(self, paths: Iterable[str]) -> frozenset[str]:
        """Return the paths of these layers and of every layer within them."""

    def is_frozen_by_user(self, path: str) -> bool:
        """Return True if the user froze the layer's own weights. No request unfreezes these."""

    def flagged(self, path: str, mode: Mode) -> Computes:
        """Return how a BatchNormalization layer computes under ``mode`` by its present flags. The log shows this."""

    def computes(self, path: str, mode: Mode) -> Computes:
        """Return how it computes in a step under ``mode``, where a flag that was set after the trace has no effect."""

    def leaves_weights_to_train(self, mode: Mode) -> bool:
        """Return True if a step under ``mode`` still trains any weight."""

    def read(self) -> dict[str, LayerArrays]:
        """Return copies of the arrays of every BatchNormalization layer, by path, with one transfer from the device.

        Each layer has all keys of `tuimon.trainer.batch_norm.ARRAYS`; the value is None for an array that it lacks.
        """

    def put_statistics(self, statistics: Mapping[str, tuple[FloatArray, FloatArray]]) -> Callable[[], None]:
        """Set moving means and variances, ``(channels,)`` each, by path; return a function that undoes it bit for bit.

        If it raises, it leaves the former values. Called in a `Task`, never while a step runs.
        """

    def weight_bytes(self, path: str) -> int:
        """Return the bytes of a layer's own weights; 0 if it has none."""

    def read_weights(self, path: str) -> Sequence[npt.NDArray[Any]]:
        """Return copies of a layer's own weights, always in the same order, without those of the layers within."""


class Switch(Struct):
    """A change of mode at the next step, with the functions that the engine calls on the way.

    - It succeeds: ``prepare``, the step, ``done``, ``ran``. `Steps.mode` is the new mode before ``done`` is called.
    - It fails: ``prepare``, ``failed``. `Steps.mode` stays, and the step runs in it, on the same batch.
    - In a pause (`Data.catch_up`) the mode is traced without a step: ``prepare``, the trace, ``done``; ``ran`` follows
      after the next step. More changes may come in between; each gets its ``ran`` then, in their order.
    - The data end before the step: the change waits on, and ``prepare`` is called again.
    - `Engine.end` or a newer change drops it while it waits: none of the functions is called.

    `Steps.coming_mode` no longer names it when ``done`` or ``failed`` is called. If ``prepare`` raises, the change
    fails with that exception. The engine catches what the others raise, so that the step's result is not lost.
    """

    mode: Mode
    """The new mode."""
    prepare: Callable[[bool], None]
    """Called right before the first step under the mode, or its trace; True: a trace or compilation is needed."""
    done: Callable[[float], None]
    """Called once the mode is in force: after its first step, or after its trace in a pause. Takes the seconds of
    trace, compilation and step together; 0 if nothing was traced."""
    ran: Callable[[], None]
    """Called right after the first step under the mode."""
    failed: Callable[[Exception], None]
    """Called if the mode cannot be put in force. The answer quotes the exception; that of a
    `tuimon.trainer.requests.rejected.RejectedError` is the whole answer."""


class Data(Protocol):
    """The data of the step that comes, given to a `Task` and valid while it runs."""

    def ahead(self, count: int, maximum_bytes: int) -> list[Batch]:
        """Return up to ``count`` of the next batches; the steps get the same ones, in the same order.

        Reading stops at the end of the epoch, and once the batches take ``maximum_bytes``. The list is empty if no
        batch is left. If the user's data raise, keep the exception until training reaches that batch, and raise it
        there.
        """

    def catch_up(self) -> bool:
        """Put the waiting mode in force by its trace and run the waiting tasks, without a step; return True if any ran.

        Called again and again while a run is paused. No step may run here.
        """


Task = Callable[[Data], None]
"""Runs once, right before a step, in the order of `Steps.before_next`. The engine catches what it raises, and the step
runs."""

TIMED_CALLS = 16
"""Calls whose two parts `CallTimes` remembers, the newest."""


class CallTimes(Struct):
    """The seconds that the calls of the training step have taken so far. It only grows.

    A call makes `Steps.steps_per_call` steps. An engine that cannot time its calls leaves everything at 0.
    """

    calls: int = 0
    """Calls that traced nothing."""
    seconds: float = 0.0
    """Seconds of these calls: waiting for their data, and the steps. If the device computes on after a call has
    returned, that is not in it."""
    left_out: float = 0.0
    """Seconds of the other calls: the first one of a ``fit``, and the first under a new mode."""
    own: float = 0.0
    """Seconds of tuimon's work within all calls: tasks, and what `Steps.time_next` adds."""
    timing: float = 0.0
    """The part of `own` that `Steps.time_next` adds."""
    timed_calls: int = 0
    """Calls that were timed in two parts."""
    timed: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TIMED_CALLS))
    """The newest of them: seconds of waiting for the data, and of the rest of the call."""

    def add(self, seconds: float, waited: float | None) -> None:
        """Add a call.

        Args:
            seconds: What it took after its data had been read; without ``waited``, all of it.
            waited: What reading its data took; None if that is in ``seconds``.
        """
        self.calls += 1
        self.seconds += seconds
        if waited is not None:
            self.seconds += waited
            self.timed_calls += 1
            self.timed.append((waited, seconds))


Prepared = Callable[[float, Exception | None], None]
"""Takes the seconds of the trace of a prepared mode, and the exception if it failed, else None."""


class Steps(Protocol):
    """The training steps.

    The first ``fit`` of a run begins in `AUTO`, a later one in the mode in which the last one ended.
    """

    @property
    def mode(self) -> Mode:
        """The mode in force: that of the last step, or of the last trace in a pause."""

    @property
    def has_run(self) -> bool:
        """True after the first step. Before it, metrics and optimizer may lack variables, so no probe is made."""

    @property
    def coming_mode(self) -> Mode | None:
        """The mode that waits for the next step; None if none waits."""

    @property
    def steps_per_call(self) -> int:
        """Steps that one call of the step function makes: Keras' ``steps_per_execution``."""

    @property
    def calls_unread(self) -> int:
        """Calls after which `Engine.read_values`, or that of `Validation`, must be called so that no value is lost."""

    def switch(self, switch: Switch) -> None:
        """Change the mode with the next step; replaces a change that still waits. Raises nothing."""

    def before_next(self, task: Task) -> None:
        """Run ``task`` right before the next step, ahead of a change of mode that waits.

        A task that calls this for itself runs again before the step after.
        """

    def after_next(self, task: Callable[[], None]) -> None:
        """Call ``task`` right after the next call of the step; never, if that call raises or does not come.

        The engine catches what it raises.
        """

    def prepare(self, mode: Mode, prepared: Prepared) -> None:
        """Trace ``mode`` before the first step, so that its first use is fast, and call ``prepared`` then.

        Called as a ``fit`` begins, when no data are known. A failed trace ends nothing.
        """

    @property
    def times(self) -> CallTimes:
        """The seconds that the calls of the step have taken."""

    def time_next(self) -> None:
        """Time the next call in two parts: waiting for its data, and the rest.

        Read no batch earlier than the call itself would, so that the wait is what it is without tuimon. Nothing waits
        for the device. If it is impossible, do nothing.
        """


class Validation(Protocol):
    """The validations of one ``fit``. ``mode`` is always that of training.

    A validation of the ``fit`` calls `before_step` before each call of the validation step, then `end`, then
    `read_values`; in a long one, `read_values` comes in between as well.
    """

    def before_step(self, mode: Mode) -> None:
        """Replace the user's validation step by the engine's, for one call. ``mode`` decides in which phase it runs."""

    def before_next(self, task: Task) -> None:
        """Run ``task`` right before the next validation step; its `Data` are those of the validation."""

    def read_values(self) -> dict[str, FloatArray]:
        """Return each validation step's own values since the last call, as `Engine.read_values` does."""

    def end(self) -> None:
        """Give the validation step back to the user."""

    def run(self, mode: Mode) -> Mapping[str, Any] | None:
        """Validate now, on the validation data of this ``fit``; return its values by name, None if it has no such data.

        Called between two steps or in a `Task`. Restore metrics, random seeds and the data of the fit's own
        validation. Whatever it raises rejects the request.
        """

    def why_not_repeated(self) -> str:
        """Return why a validation cannot be read again without an effect on the data of later ones; empty if it can."""

    def each_batch(self, look: Callable[[Batch], None]) -> bool:
        """Call ``look`` with each batch of this fit's validation, in order; return False if it has no validation.

        It changes as little as `run`. Whatever the data or ``look`` raise may pass: no validation is repeated then.
        """


class LearningRate(Protocol):
    """The optimizer's learning rate."""

    @property
    def has_schedule(self) -> bool:
        """True if a schedule sets the rate. A request's rate is then a mode, `Mode.own_learning_rate`."""

    def now(self, mode: Mode) -> float | None:
        """Return the rate of the next step under ``mode``; None if it is unknown."""

    def stored(self, rate: float) -> float:
        """Return ``rate`` as the optimizer stores it: float32 has neither 1e-60 nor 1e60."""

    def put(self, rate: float) -> None:
        """Set the rate. Called only if there is no schedule."""

    def own(self) -> float:
        """Return the rate that replaces the schedule under `Mode.own_learning_rate`."""

    def put_own(self, rate: float) -> None:
        """Set the rate that replaces the schedule. Called before the `Switch` to such a mode."""

    def drivers(self) -> Sequence[str]:
        """Return the names of the user's callbacks that may set the rate again."""


class Moments(Struct, frozen=True):
    """Mean and variance of a layer's inputs in one call, per channel."""

    count: float
    """Number of values per channel; 0 if a mask hides all of them."""
    mean: FloatArray
    """Their mean, shape ``(channels,)``."""
    variance: FloatArray
    """Their biased variance, shape ``(channels,)``."""


class Pass(Struct, frozen=True):
    """The result of one forward pass."""

    loss: float
    """The loss as a training step has it, with regularization."""
    losses: FloatArray | None = None
    """The loss of each example, shape ``(examples,)``; their mean is `loss`, regularization apart. None if unknown."""
    layers: Mapping[str, Sequence[Sequence[Moments]]] = field(default_factory=dict)
    """By path, for each call of the layer: the moments of all its inputs, then, in inference mode, those of the first
    and of the second half of the examples. Needed only if the pass was made with ``looks``."""

    output: Any = None
    """The mean of the model's outputs over the examples; only the engine looks into it. None if unknown."""

    def minus(self, other: "Pass") -> "Pass":
        """Return the difference of the losses of two passes on the same batch."""
        losses = None if self.losses is None or other.losses is None else self.losses - other.losses
        return Pass(self.loss - other.loss, losses)


PASSES_OF_A_GRADIENT = 3
"""Forward passes that take as long as one gradient: the backward pass takes about twice as long as the forward pass."""


class Gradient(NamedTuple):
    """The gradient of a batch's loss with respect to the weights of one layer."""

    norm: float
    """Its Euclidean norm."""
    weight_norm: float
    """That of the weights."""
    zeros: float
    """Share of the weights for which it is exactly 0."""
    is_connected: bool = True
    """False if the loss does not depend on the weights at all: an unused layer, or one behind a stop_gradient."""


Calls = dict[str, list[bool]]
"""By path of a BatchNormalization layer, in the order of their first calls: for each call, True if it uses batch
statistics."""


class ProbeError(Exception):
    """This batch or this model cannot be probed; the message says why. It turns the probe off."""


class PassSet(Protocol):
    """The forward passes of one probe, in one mode. None of them changes a variable or a random state.

    A probe calls `training` first, then `inference`, both perhaps with more seeds, then `inference` with
    ``batch_statistics``, then `quiet`. A repeated validation opens a set after a probe in the same mode, reads `calls`
    at once and calls `inference` alone. So the engine keeps `calls` for each mode.

    `calls` and `costs` are read after the set's block has ended, too.
    """

    @property
    def calls(self) -> Calls:
        """The layers that training mode calls; known after the first `training` of any set in this mode."""

    @property
    def inference_calls(self) -> Calls:
        """The calls of the same layers in inference mode, where few use batch statistics; known after `inference`."""

    @property
    def training_draws(self) -> bool:
        """True if training mode draws random numbers; known as `calls` is."""

    @property
    def inference_draws(self) -> bool:
        """True if inference mode draws random numbers; known after the first `inference`."""

    @property
    def has_random_layers(self) -> bool:
        """True if `quiet` can switch off layers that are random in training mode alone; known after both passes."""

    @property
    def may_be_other(self) -> bool:
        """True if anything but BatchNormalization and randomness may depend on ``training``."""

    def training(self, batch: Batch, *, seed: int = 0, looks: bool = False) -> Pass:
        """Make a pass in training mode, under the set's mode.

        Args:
            batch: The batch.
            seed: Of the random layers; equal seeds draw equal numbers.
            looks: Whether to fill `Pass.layers`.
        """

    def inference(
        self, batch: Batch, *, batch_statistics: Sequence[str] = (), seed: int = 0, looks: bool = False
    ) -> Pass:
        """Make a pass in inference mode, in which the layers of the paths ``batch_statistics`` use batch statistics."""

    def quiet(self, batch: Batch) -> Pass:
        """Make a pass in training mode with the random layers off."""

    def losses_of_constant(self, batches: Sequence[Batch], passes: Sequence[Pass]) -> FloatArray | None:
        """Return what each example of some batches would lose if the mean output of their passes answered all of them.

        Shape ``(examples,)``, in the order of the batches; None if it is unknown.
        """

    def losses_of_labels(self, batches: Sequence[Batch]) -> FloatArray | None:
        """Return what each example of some batches would lose if its label were the answer: above 0 for soft labels.

        Shape ``(examples,)``; None if the loss has no such floor, or if it is unknown.
        """

    def gradients(self, batch: Batch, *, seed: int = 0) -> Mapping[str, Gradient]:
        """Return the gradient of the loss in training mode, for each layer that a step trains, by path.

        Empty if it is unknown.

        Args:
            batch: The batch.
            seed: Of the random layers.
        """

    def costs(self) -> tuple[int, float]:
        """Return the number of passes of this set, and the seconds of its traces, each with its first pass."""


class Passes(Protocol):
    """Makes forward passes for probes and recalibrations.

    A probe calls `check` when it takes a batch, then `begin`, then `examples`. ``mode`` is always the mode in force.
    """

    @property
    def why_not(self) -> str:
        """The reason why this model cannot be probed; empty if it can."""

    @property
    def is_ready(self) -> bool:
        """False while the model, as it is compiled now, has made no step: a pass would create what the step creates."""

    @property
    def first_seconds(self) -> float:
        """The seconds of all traces so far, each with its first pass; complete after each `begin` block."""

    def check(self, batch: Batch) -> None:
        """Check that a batch can be probed.

        Raises:
            ProbeError: The batch has no labels, or holds NaN or infinity.
        """

    def as_batch(self, given: Any) -> Batch:
        """Return the user's ``(x, y)`` or ``(x, y, sample_weight)`` as the training step takes it.

        Whatever it raises turns the probe off.
        """

    def examples(self, batch: Batch) -> int:
        """Return the number of examples in a batch."""

    def bytes_of(self, batch: Batch) -> int:
        """Return the memory that a batch takes, in bytes."""

    def without_weights(self, batch: Batch) -> Batch:
        """Return the batch without its sample weights, or the same object if it has none."""

    def begin(self, mode: Mode) -> AbstractContextManager[PassSet]:
        """Open the passes of a probe under ``mode``.

        Raises:
            ProbeError: The model cannot be probed. Within the block, it replaces every exception that the model or the
                batch raises.
        """

    def has_begun(self, mode: Mode) -> bool:
        """Return True if a probe was made under ``mode``, so that its passes are traced and `PassSet.calls` known."""

    def moments(self, batches: Sequence[Batch], mode: Mode) -> Iterator[Mapping[str, Sequence[Moments]]]:
        """Run the model in training mode over batches; yield the moments of each BatchNormalization layer's inputs.

        Yield, for each batch and each replica, a list by path of `Layers.batch_norm`, with one element for each call.
        Leave out, or leave empty, a layer that uses its moving statistics in ``mode``. Change no variable. Whatever it
        raises rejects the request.
        """


class FullState(Protocol):
    """Everything from which training continues bit for bit: weights, optimizer, random seeds."""

    def capture(self) -> Arrays:
        """Return a copy of every variable; another thread writes it to disk.

        Whatever it raises rejects the request.
        """

    def dtypes(self) -> dict[str, str]:
        """Return the dtype of every variable that `capture` returns."""

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None = None) -> None:
        """Restore variables that `capture` returned, all of them or none.

        Raises:
            ValueError: They belong to another model or optimizer; the message names the first difference.
        """

    def begin_epoch_anew(self) -> None:
        """Reset the running means of the epoch. Called after `restore`, which undid the steps that they hold."""

    def capture_beside(self) -> tuple[dict[str, Any], Arrays]:
        """Return the state of the program beside the variables, as JSON, and the arrays within it.

        It is that of the user's callbacks and of random numbers. Whatever it raises rejects the request.
        """

    def restore_beside(self, beside: Mapping[str, Any], arrays: Arrays, *, rolls_back: bool = False) -> list[str]:
        """Restore what `capture_beside` returned, as far as it fits; return what does not, in words.

        Args:
            beside: The state.
            arrays: The arrays within it.
            rolls_back: True if this process goes back to it, and its data and its files stay where they are.
        """


class FitFacts(NamedTuple):
    """Facts about a ``fit`` that only the engine knows, for the log."""

    optimizer: str
    """Name of the optimizer's class; empty if there is none."""
    jit_compile: bool
    """Whether XLA compiles the step."""
    batch_size: int | None
    """Examples of a batch; None if unknown."""
    last_batch_size: int | None
    """Examples of an epoch's last batch if it is smaller; None if it is not, or unknown."""
    data: str = ""
    """Kind of the training data, one of `tuimon.protocol.events.TimeSplit.data`."""
    returns_early: bool = False
    """True if a call of the step may return before the device has computed it, as on a GPU."""
    updates_each_step: bool = True
    """False if the optimizer accumulates gradients, so that most steps change no weight."""
    averages_weights: bool = False
    """True if the optimizer keeps moving averages of the weights."""
    restores_best: bool = False
    """True if a callback puts the best weights back where it ends training early."""


class Epochs(Protocol):
    """How many epochs a ``fit`` has."""

    def end_after(self, epochs: int) -> None:
        """Let the ``fit`` end after another number of epochs in all, more or fewer.

        Called only if `Engine.why_not` of ``epochs`` is empty, or before the first epoch.
        """


class Engine(Protocol):
    """One model of one framework, watched and steered. It may serve one ``fit`` after another."""

    compile_seconds: float
    """Seconds of the longest first step of any ``fit``: the one that was traced. Begins as 0; `Sampling` sets it."""

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
    def epochs(self) -> Epochs:
        """How many epochs a ``fit`` has."""

    @property
    def reads_ahead_freely(self) -> bool:
        """True if `Data.ahead` costs next to nothing: batches are kept for probes from the first step on.

        False if a step that gets a batch that was read ahead must be traced anew.
        """

    @property
    def waits_in_step(self) -> bool:
        """True if a pause waits in a `Task`, where `Data.catch_up` can trace a mode; else it waits before the step."""

    def why_not(self, request: str) -> str:
        """Return why a request, one of `tuimon.protocol.commands.NAMES`, cannot be carried out; empty if it can."""

    def facts(self) -> FitFacts:
        """Return the facts of this ``fit``. Called once, as its first epoch begins."""

    def steps_made(self) -> int:
        """Return the framework's count of training steps, as of the last `read_values`.

        `FullState.restore` may set it back.
        """

    def read_values(self) -> Mapping[str, Column]:
        """Return each step's own values since the last call, by metric, each of shape ``(steps,)``; empty if unknown.

        All columns have the same length. They end with the step that `steps_made` counts last. None: the metric has no
        value in this step, which is not NaN.
        """

    def running_values(self) -> Mapping[str, Any]:
        """Return the framework's running means as of the last step, by metric; metrics without own values need them."""

    def before_step(self) -> None:
        """Replace the user's training step by the engine's, for one call. The first call of `Fit.before_step`."""

    def stop(self) -> None:
        """End training after this step, as the framework does it."""

    @property
    def is_stopping(self) -> bool:
        """True if training ends after this step, by `stop` or by the user's code. It ends a pause as well."""

    def begin(self) -> Sequence[str]:
        """Begin a ``fit``; return notes for its log. Called before anything else of the ``fit``."""

    def end(self, *, keeps_mode: bool) -> None:
        """Give everything back to the user, and drop changes of mode and tasks that wait.

        Args:
            keeps_mode: True if the ``fit`` continues without tuimon: its steps keep the mode in force, and batches that
                were read ahead still reach training.
        """

    def fit_is_over(self) -> None:
        """Run the user's own steps from now on: the ``fit`` ended unnoticed.

        A watchdog of the engine calls this, from its own thread.
        """


def users_frozen(layers: Layers) -> list[str]:
    """Return the paths of the BatchNormalization layers that the user froze before training."""
    return [path for path in layers.batch_norm if layers.computes(path, AUTO) == "frozen"]


def frozen(layers: Layers, mode: Mode) -> list[str]:
    """Return the paths of all BatchNormalization layers that are frozen under ``mode``, in the order of the model."""
    return [path for path in layers.batch_norm if layers.flagged(path, mode) == "frozen"]


def frozen_weights(layers: Layers, mode: Mode) -> list[str]:
    """Return the paths of the other layers with own weights that ``mode`` freezes, in the order of the model."""
    paths = (path for path in layers.weighted if path in mode.frozen and path not in layers.batch_norm)
    return [path for path in paths if layers.weight_bytes(path)]


def statistics_held(layers: Layers, mode: Mode) -> list[str]:
    """Return the paths of the BatchNormalization layers whose moving statistics ``mode`` holds."""
    return [path for path in layers.batch_norm if path in mode.statistics]
