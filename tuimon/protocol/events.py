"""Facts: the lines of ``session.jsonl``, one typed event each.

The trainer writes them, everything else reads them. ``docs/protocol.md`` is made from this file,
so the docstrings here are the words of the protocol.
"""

# Whole: a list of the facts, which is read from top to bottom as the protocol is.

from typing import ClassVar

import msgspec

from tuimon.protocol.wire import Count, Number, Seconds, UnixTime, Whole

PROTOCOL = 1
"""Version of the facts and the requests; one more when a reader of the old would misread the new."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles over channels that ``batch_norm`` carries, in this order."""

DEAD_VARIANCE = 0.01
"""A channel is dead where its moving variance is at most this share of epsilon.

Behind the layer it has a tenth of unit scale, or less.
"""


def snake_case(name: str) -> str:
    """Return ``CamelCase`` as ``camel_case``: the name of a type on the wire."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


class Event(msgspec.Struct, tag_field="type", tag=snake_case, kw_only=True):
    """What every fact has."""

    seq: Whole = -1
    """0, 1, 2, … without holes, through all attempts of a run."""
    time: UnixTime = 0.0
    """Unix time in seconds."""
    step: Count = 0
    """Train steps of this run completed when the line was made, all epochs together."""
    epoch: Count = 0
    """Counted from 0, as in Keras' callbacks; people are shown it from 1."""
    branch: Count = 0
    """One more after each `rolled_back` and `run_resumed`: what an older branch did after that checkpoint is undone."""

    must_keep: ClassVar[bool] = False
    """Whether it waits for a disk when others are dropped. Only if far too many wait, the oldest are dropped, too."""
    urgent: ClassVar[bool] = False
    """Whether the writer writes it at once rather than at the next flush."""


class RunStarted(Event):
    """The training process began: who, where, with what."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    protocol: Count
    """Version of the protocol; a reader of another version says so and reads what it can."""
    attempt: Count
    """0; one more each time the run is resumed. A request carries it."""
    name: str
    """What the user called the run."""
    host: str
    """Name of the machine that trains."""
    pid: Count
    """Process id of the trainer on that machine."""
    process_started: float | None
    """When that process started, in clock ticks since boot; tells a reused pid. null: not known."""
    boot_id: str | None
    """The kernel's boot id. Only a reader with the same one may conclude that the trainer is gone."""
    versions: dict[str, str]
    """The versions of python, tuimon, keras, tensorflow and numpy, where they are installed."""
    config: dict[str, object]
    """The config with every default filled in, but `alerts`, whose command may hold a password; empty for a user's own
    script."""
    lock_error: str | msgspec.UnsetType = msgspec.UNSET
    """Why the trainer holds no lock on the log, where the file system has none. Nobody may then conclude anything from
    a free lock. Missing: it holds one."""
    console: str = ""
    """What `trainer.log` holds: `process`: all that the training process prints. `python`: what a user's own script
    prints through Python's `sys.stdout` and `sys.stderr` while it trains; libraries in C print to the terminal alone.
    `off`: nothing, by `Monitor(console=False)`. Empty: not known."""
    source: str = ""
    """Of which log of another program this one is a translation: its kind and its path. Nobody takes requests then, and
    what that program did not write is not here. Empty: tuimon's own trainer wrote it."""


class BatchNormLayer(msgspec.Struct, kw_only=True):
    """One BatchNormalization layer of the model."""

    path: str
    """Keras path, the layer's name everywhere."""
    channels: Count
    """Length of each of its arrays."""
    momentum: float
    """The moving average keeps this share of the old value at each update."""
    epsilon: float
    """Added to the variance before the square root."""
    trainable: bool
    """What the user set; `false`: frozen before training."""
    synchronized: bool
    """Whether replicas share their batch statistics."""


class ModelBuilt(Event):
    """The model, once all of it is built; again if layers appear later."""

    must_keep: ClassVar[bool] = True

    name: str
    """The model's name."""
    parameters: Count
    """Numbers in all its weights."""
    trainable_parameters: Count
    """Numbers in the weights that the optimizer changes."""
    batch_norm_layers: list[BatchNormLayer]
    """The layers, in the order of the model."""
    other_layers: list[str]
    """Paths of the other layers whose result depends on `training` (Dropout and its kin)."""


class FitStarted(Event):
    """`model.fit` began. A run has one for each `fit` that its Monitor was given to."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    optimizer: str
    """Name of its class."""
    epochs: Count | None
    """The epoch at which `fit` will end."""
    initial_epoch: Count
    """The epoch at which it began."""
    steps_per_epoch: Count | None
    """null: not known (a generator of unknown length, in its first epoch)."""
    jit_compile: bool
    """Whether XLA compiles the step."""
    can: dict[str, str]
    """The requests this fit knows: an empty text where it takes them, else the reason why not."""
    same_model: bool = True
    """Whether it trains the same model object as the `fit` before; true for the first."""
    averages_weights: bool = False
    """Whether the optimizer keeps moving averages of the weights (Keras' `use_ema`)."""
    restores_best: bool = False
    """Whether a callback puts the best weights back where it ends training early."""
    batch_size: Count | None = None
    """Examples in a batch; null: not known."""
    last_batch_size: Count | None = None
    """Examples in the last batch of an epoch, where it is smaller and known; else null."""
    phase: str = "auto"
    """The learning phase in force: one Monitor keeps its mode from one `fit` to the next."""
    frozen: list[str] = []
    """Paths of the frozen BatchNormalization layers, those the user froze included."""
    statistics_held: list[str] = []
    """Paths of the BatchNormalization layers whose moving statistics alone are held."""
    frozen_weights: list[str] = []
    """Paths of the other layers that requests froze."""
    momentum: dict[str, float] = {}
    """Momentum of the BatchNormalization layers for which a request set it, by path."""
    learning_rate: Number = None
    """The learning rate of its first step; null: not known, as where a callback may set it before."""


class StateChanged(Event):
    """What the trainer does now."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    state: str
    """`preparing`, `compiling`, `training`, `validating`, `probing`, `recalibrating`, `checkpointing`, `paused` or
    `finished`."""
    detail: str = ""
    """What of it, in words: "loading Keras", "freeze"."""


class Batches(Event):
    """Train steps; those that finish within one flush share a line."""

    first_step: Count
    """Number of the first of them; the first batch of a run is 0."""
    metrics: dict[str, list[Number]]
    """Per name, each batch's own value (loss, mean-like metrics): not the mean of the epoch so far. null: a loop of the
    user's did not log it in this step."""
    running: dict[str, Number] = {}
    """Keras' running values of the metrics that have no value of a batch's own (AUC, say), at the last of the steps."""
    batches: Count = 0
    """How many steps: also where no metric has a value of its own."""


class ValidationBatches(Event):
    """The batches of one validation, each with its own value."""

    metrics: dict[str, list[Number]]
    """Per name without `val_`, each batch's own value, in order; at most the newest 1,024."""
    batches: Count
    """How many batches the validation had."""


class EpochEnded(Event):
    """An epoch ended; its validation is in it."""

    logs: dict[str, Number]
    """Exactly as Keras gave them."""
    learning_rate: Number
    """The learning rate of the epoch's last step."""
    seconds: Seconds
    """How long the epoch took, validation included."""


class BatchNormStatistics(msgspec.Struct, kw_only=True):
    """One BatchNormalization layer, summed up over its channels."""

    moving_mean: list[Number]
    """Quantiles over the channels: min, 5, 25, 50, 75, 95 %, max."""
    moving_variance: list[Number]
    """The same quantiles."""
    gamma: list[Number] | None
    """The same quantiles; null for `scale=False`."""
    beta: list[Number] | None
    """The same quantiles; null for `center=False`."""
    dead: Count
    """Channels whose moving variance is at most a hundredth of epsilon: they carry next to nothing."""
    non_finite: Count
    """Channels with a value that is not finite in any of the four arrays."""
    mode: str
    """How the layer is said to compute now: by `trainable` and the mode in force.

    `training`: batch statistics are used, moving statistics follow. `frozen`: moving statistics are
    used and held, gamma and beta too. `inference`: moving statistics are used and held, gamma and beta
    learn.
    """


class BatchNorm(Event):
    """Every BatchNormalization layer, summed up."""

    layers: dict[str, BatchNormStatistics]
    """The layers, by path."""


class BatchNormChannelValues(msgspec.Struct, kw_only=True):
    """The full arrays of one layer, each base64 of little-endian float32."""

    moving_mean_base64: str
    """`(channels,)`."""
    moving_variance_base64: str
    """`(channels,)`."""
    gamma_base64: str | None
    """`(channels,)`; null for `scale=False`."""
    beta_base64: str | None
    """`(channels,)`; null for `center=False`."""


class BatchNormChannels(Event):
    """The full arrays: at epoch ends but at most every 10 s, at the end, and on request."""

    layers: dict[str, BatchNormChannelValues]
    """The layers, by path."""


class ProbeLayer(msgspec.Struct, kw_only=True):
    """One BatchNormalization layer in a probe."""

    in_order: Number
    """What the loss of the first batch rises when the layers are switched from moving to batch statistics one after
    another, in the order of the model, and this one's turn comes. Those of all layers add up to what batch statistics
    make there. Null: not measured, to save time."""
    alone: Number
    """What the loss of the first batch rises when this layer alone is switched. Null: not measured."""
    drift: Number
    """Symmetric KL divergence between N(moving mean, moving variance + epsilon) and N(batch mean, batch variance +
    epsilon), the mean over channels, in nats. The batch statistics are those of all probed batches together, in
    training mode."""
    elements: Count
    """Numbers that each channel's batch statistics are made of, in one call: examples times positions."""
    calls: Count = 1
    """How often the layer is called in one pass: more than once where it is shared."""
    calls_divergence: Number = None
    """Of a shared layer: the greatest symmetric KL divergence between the batch statistics of two of its calls."""
    validation_divergence: Number = None
    """Symmetric KL divergence between what reaches the layer from all probed batches and from the held validation
    batches, both in inference mode; null: no validation data."""
    validation_elements: Count = 0
    """The same number for one validation batch."""
    sampling_divergence: Number = None
    """The same between the two halves of the first batch: what chance alone makes of it."""
    batches_divergence: Number = None
    """The same between the first batch and each other one, on average: far above `sampling_divergence` where batches
    are not alike. Null: only one batch."""
    variance_ratio: Number = None
    """Variance of the layer's inputs in training mode over that with the random layers off, the geometric mean over
    channels. In logs of tuimon 0.1 over that in inference mode, which other moving statistics change as well."""
    batch_statistics_in_inference: bool = False
    """Whether the layer uses batch statistics in inference mode as well: the model calls it with `training=True`."""


class ProbeGradient(msgspec.Struct, kw_only=True):
    """The gradient of the loss in training mode with respect to the weights of one layer.

    The root of the mean square over the probed batches, each with a loss as a step has it.
    """

    norm: Number
    """Its Euclidean norm."""
    weight_norm: Number
    """That of the weights."""
    zeros: Number
    """Share of the weights for which it is exactly 0, in the batch with the fewest of them."""
    connected: bool = True
    """Whether the loss depends on the weights at all: not where a layer is unused, or behind a stop_gradient."""


class Probe(Event):
    """How far training mode and inference mode are apart on a few held batches, and what makes it.

    `gap` = `train` − `inference` = `batch_norm` + `stochastic` + `other`. In the mode in force: a frozen layer uses its
    moving statistics in training too, and has no part. Nothing of the model, of the optimizer or of any random state is
    changed by it.
    """

    must_keep: ClassVar[bool] = True

    reason: str
    """Why it was made: "first", "epoch", "steps", "asked", "validation spike", "end", or the request that changed the
    mode."""
    examples: Count
    """Examples in all held batches together."""
    train: Number
    """Loss as training computes it: batch statistics, dropout on; the mean over the batches and the masks."""
    inference: Number
    """Loss as validation computes it, on the same batches: moving statistics, dropout off."""
    gap: Number
    """`train` − `inference`."""
    batch_norm: Number
    """What batch statistics in the place of the moving ones make: (batch statistics, dropout off) − `inference`."""
    stochastic: Number
    """What dropout and other random layers make, the mean over the masks."""
    other: Number
    """What else depends on `training` makes."""
    masks: Count
    """Random masks drawn; 1 where nothing is random."""
    standard_error: Number
    """Standard error of `stochastic`, and so of `train`, from the spread over the masks; 0 where nothing is random."""
    passes: Count
    """Forward passes that it took."""
    seconds: Seconds
    """What it took, without the trace."""
    validation: Number = None
    """Loss of a held validation batch in inference mode; null: none."""
    layers: dict[str, ProbeLayer] = {}
    """BatchNormalization layers by path, in the order of the model."""
    traced_seconds: Seconds = 0.0
    """What its first trace took, and the first pass with it; 0: it was traced already."""
    batches: Count = 1
    """Training batches that it was made on, each of the same size."""
    errors: dict[str, Number] = {}
    """Standard errors of `gap` and of its parts, by name, as estimates for all training data: over examples, batches
    and masks; 0 where a batch has all data. Empty: not known."""
    share_errors: dict[str, Number] = {}
    """Standard errors of the share of each part in the gap, by the part's name. Empty: not known."""
    unweighted: Number = None
    """`inference` without sample weights and class weights."""
    unweighted_error: Number = None
    """Its standard error; null: not known."""
    validation_unweighted: Number = None
    """Mean inference loss of the held validation batches, without sample weights; null: there are none."""
    validation_error: Number = None
    """Its standard error; null: not known."""
    validation_examples: Count = 0
    """Examples in these."""
    constant: Number = None
    """What the training examples would lose if the model's mean output answered each of them: without weights,
    regularization and masks. Null: not known."""
    floor: Number = None
    """What they would lose if their labels were the answers: above 0 for soft labels of a cross-entropy. Null: 0."""
    gain: Number = None
    """How much less the model loses in inference mode; null: not known."""
    gain_error: Number = None
    """Its standard error; null: not known."""
    gradient_norm: Number = None
    """Norm of the gradient of all weights that a step trains; null: not measured."""
    gradients: dict[str, ProbeGradient] = {}
    """Of each layer that a step trains, by path, in the order of the model. Empty: not measured."""
    gradient_batches: Count = 0
    """Batches that they were measured on."""
    why_no_gradients: str = ""
    """Why they could not be measured; empty if they were, or if that would have taken too long."""


class ProbePlanned(Event):
    """When the first probe of a `fit` comes by itself; written again if that changes."""

    seconds: Number
    """From the time of this line on; null: none comes by itself."""
    reason: str
    """What it waits for, or why none comes, in words."""


class ValidationRepeated(Event):
    """A validation whose loss stood out was repeated, to see why. Nothing is changed by it."""

    must_keep: ClassVar[bool] = True

    metric: str
    """The name in Keras' epoch logs: `val_loss`."""
    value: Number
    """What stood out."""
    moving: Number
    """Repeated with moving statistics, as validation has it: should be `value`."""
    batch: Number
    """Repeated with batch statistics, dropout off; null: the model has no BatchNormalization."""
    examples: Count | None
    """Validation examples; null where the loss of single ones is not known."""
    seconds: Seconds
    """What it took."""
    highest: Count = 0
    """How many the highest 1 % of the examples are."""
    without_highest: Number = None
    """The mean loss without these; null: not known."""


class WeightUpdates(Event):
    """How far one step, the last of an epoch, moved the weights of each layer."""

    layers: dict[str, Number]
    """By path: the norm of the change as a share of the norm of the weights; null where all weights are 0. Layers that
    are frozen are left out."""


class WeightsReplaced(Event):
    """Other weights than those of training were validated, or left by `fit`: moving averages of them, say.

    The moving statistics of BatchNormalization are those of the weights that were trained.
    """

    must_keep: ClassVar[bool] = True

    where: str
    """`validation`: they were put in place for the validation. `end`: `fit` left them, and its last validation did not
    see them. `restored`: `fit` left those of an earlier validation."""
    change: Number
    """How far they are from the trained ones, as a share of their norm, in a few layers."""
    examples: Count = 0
    """Training examples on which the losses were measured."""
    moving: Number = None
    """Loss of these in inference mode with the other weights; null: not measured."""
    moving_error: Number = None
    """Its standard error; null: not known."""
    batch: Number = None
    """The same with batch statistics in place of the moving ones; null: not measured, or no layer has any."""
    standard_error: Number = None
    """Standard error of `moving` − `batch`; null: not known."""


class Alert(Event):
    """A rule of the diagnosis found something; once for each rule and layer, until it is gone."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    rule: str
    """`R1` to `R21`."""
    severity: str
    """`info`, `warning` or `error`."""
    what: str
    """What was found, in one sentence."""
    evidence: dict[str, Number]
    """The numbers that it rests on."""
    advice: str
    """What to do, in one sentence."""
    layer: str | None = None
    """Path of the layer it is about; null: the whole model."""
    request: str = ""
    """The request that would help, as `tuimon send` spells it; empty: none."""


ONCE = ("traces", "closing examination")
"""The parts of `Overhead` that come once."""


class Overhead(Event):
    """What monitoring has taken of the time of this `fit` so far."""

    share: Number
    """All of it but what comes once, over the seconds since the first step."""
    parts: dict[str, Number]
    """Seconds by part: `sampling`, `weights`, `probe`, `repeated validation`, `diagnosis`, `timing`, `system`; `traces`
    and the `closing examination` come once."""


class TimeSplit(Event):
    """Where the time since the last such line went, of this `fit`.

    The first step, traces and pauses are left out, and so is time around a suspension of the process, as by Ctrl-Z. The
    first line comes after 5 s of steps, then one every 10 s at most, and one at the end.
    """

    steps: Count
    """Train steps in that time."""
    seconds: dict[str, Number]
    """Seconds by part; together they are the whole time.

    `data`: the steps waited for their batches. `step`: the steps themselves. `validation`. `callbacks`: other callbacks
    and Keras' own loop. `monitoring`: tuimon, requests included. `data` is estimated from a few calls, `step` is the
    rest of the calls."""
    timed_calls: Count
    """Calls, the newest, on which the estimate rests."""
    data: str = ""
    """Kind of the data: `arrays`, `dataset` (`tf.data`), `generator`, `PyDataset` or `DataLoader`; empty: not known."""
    returns_early: bool = False
    """Whether there is a device that computes on after the call of a step (a GPU). Whoever then reads a value waits
    for it, so `callbacks` are part of `step`, and `data` is what is left after the device's time."""


class GpuLoad(msgspec.Struct, kw_only=True):
    """One GPU. Numbers that the driver does not tell are null."""

    index: Count
    """Its number in the driver, by PCI bus."""
    name: str
    """Its name in the driver."""
    busy: Number = None
    """The share of time in which it computed."""
    memory_used: Count | None = None
    """Bytes used by all processes."""
    memory_total: Count | None = None
    """Bytes in all."""
    process_memory: Count | None = None
    """Bytes used by the training process."""
    temperature: Number = None
    """Degrees Celsius."""
    watts: Number = None
    """The power that it draws."""


class System(Event):
    """The load of the machine that trains: at the start, after 2 s, then every 10 s or as rarely as `overhead` allows.

    Numbers that cannot be read are null.
    """

    cores: Count | None = None
    """Logical processors of the machine."""
    cpu: Number = None
    """The share of all processors that was busy since the line before; null in the first one."""
    process_cpu: Number = None
    """How many processors the training process kept busy since the line before; null in the first one."""
    memory_used: Count | None = None
    """Bytes of the machine's memory that are not available to others."""
    memory_total: Count | None = None
    """Bytes of the machine's memory."""
    process_memory: Count | None = None
    """Bytes of the training process in memory."""
    disk_free: Count | None = None
    """Bytes that the trainer's user can still write where the run directory is."""
    disk_total: Count | None = None
    """Bytes of that file system."""
    gpus: list[GpuLoad] = []
    """The GPUs that the training process uses; all that it may use (`CUDA_VISIBLE_DEVICES`) where that is not told."""
    why_no_gpus: str = ""
    """Why there are none, in words."""


class Sender(msgspec.Struct, kw_only=True):
    """Who put a request there."""

    uid: Whole
    """The owner of the request's file, as the file system says; -1: its file could not be opened."""
    user: str
    """The name of the user, as the request claims."""
    host: str
    """The host, as the request claims."""
    pid: Count
    """The process, as the request claims."""


class CommandApplied(Event):
    """A request is in force."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    id: str
    """The request's id."""
    request: dict[str, object]
    """The request, as it was understood."""
    sender: Sender
    """Who asked."""
    first_step: Count
    """The first step under the new mode."""
    traced_seconds: Seconds = 0.0
    """What the first use of a mode cost: trace, compilation and the first step. 0: it was there already."""
    phase: str = "auto"
    """The learning phase in force from now on."""
    frozen: list[str] = []
    """Paths of the BatchNormalization layers frozen from now on, those the user froze included."""
    statistics_held: list[str] = []
    """Paths of the BatchNormalization layers whose moving statistics alone are held."""
    frozen_weights: list[str] = []
    """Paths of the other layers that requests froze."""
    momentum: dict[str, float] = {}
    """Momentum of the BatchNormalization layers for which a request set it, by path."""
    learning_rate: Number = None
    """The learning rate from now on; null: not known, or unchanged by this request."""
    detail: str = ""
    """What is worth saying about it, in words."""
    taken: Count = 0
    """The order in which the requests of this process were taken, from 1; answers may come in another. 0: not known."""


class CommandRejected(Event):
    """A request was not taken. Training went on."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    id: str
    """The request's id; the file's name where the request could not be read."""
    request: dict[str, object]
    """The request as far as it could be read."""
    sender: Sender
    """Who asked."""
    reason: str
    """Why it was not taken, in words."""


class CommandVerified(Event):
    """What the first step under a new mode showed."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    id: str
    """The request's id."""
    held: bool
    """Whether the variables did what the mode says."""
    detail: str
    """What was seen: "moving statistics of all 3 layers stayed the same"."""
    unexpected: list[str] = []
    """Paths of the layers that did otherwise."""


class Evaluated(Event):
    """`model.evaluate` outside of an epoch."""

    must_keep: ClassVar[bool] = True

    name: str
    """What was evaluated: "before training", "with the weights of best.weights.h5"."""
    logs: dict[str, Number]
    """The values, as Keras gave them."""


class Recalibrated(Event):
    """The moving statistics were estimated afresh.

    Over all elements that a layer saw in these batches, in training mode, with the weights of this step: their
    mean and (biased) variance, not an exponential average. Source: Wu & Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021 (PreciseBN).
    """

    must_keep: ClassVar[bool] = True

    batches: Count
    """Training batches used."""
    examples: Count
    """Examples in them."""
    dry_run: bool
    """Whether the model was left as it was."""
    before: dict[str, Number] = {}
    """Validation with the old statistics, by metric; empty if it was not asked for or there are no validation data."""
    after: dict[str, Number] = {}
    """Validation with the new statistics; empty in the same cases."""
    skipped: list[str] = []
    """Paths of the frozen layers: theirs are held."""
    seconds: Seconds = 0.0
    """What it took, validations included."""


class CheckpointSaved(Event):
    """A full state is on disk."""

    must_keep: ClassVar[bool] = True

    name: str
    """The file's name under `checkpoints/`."""
    reason: str
    """Why it was made: "asked", "10 minutes", "training was stopped"."""
    size_bytes: Count
    """The file's size."""
    seconds: Seconds
    """What it took."""


class RolledBack(Event):
    """Weights, optimizer, seeds and modes are those of a checkpoint; `step` and the data go on."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    checkpoint: str
    """Its name."""
    to_step: Count
    """The step it was made at."""
    to_epoch: Count
    """Its epoch, from 0."""


class RunResumed(Event):
    """A further attempt goes on from a checkpoint, at the start of that checkpoint's epoch."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    checkpoint: str
    """Its name."""
    to_step: Count
    """The step it was made at."""
    to_epoch: Count
    """The epoch that training enters again, from 0."""
    repeated_steps: Whole
    """Steps of that epoch that the checkpoint had seen and that are made again."""
    lost_steps: Whole
    """Steps made after the checkpoint, whose effect is lost."""


class OrderGiven(Event):
    """A standing order stands from now on."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    number: Count
    """1, 2, 3, … of a run, through all attempts."""
    order: str
    """The order, as `docs/orders.md` spells it: "when val_loss stalls 10 pause"."""
    origin: str
    """Where it comes from: `request`, `script` (`Monitor(orders=…)`) or `config`."""
    detail: str = ""
    """What is worth saying about it, in words."""


class OrderFired(Event):
    """A standing order made its request, which is answered as any other."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    number: Count
    """Which order."""
    order: str
    """The order."""
    request: str
    """The id of the request that it made."""
    why: str
    """What has come about, in words."""
    stands: bool = False
    """Whether it goes on standing; else it is done."""


class OrderEnded(Event):
    """A standing order does not stand any more, or was not taken."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    number: Count
    """Which order; 0: one that never stood."""
    order: str
    """The order."""
    reason: str
    """Why, in words: it was cancelled, it cannot be, an error of tuimon."""


class Note(Event):
    """A text that somebody left."""

    must_keep: ClassVar[bool] = True

    text: str
    """The text, as it was sent."""


class LogGap(Event):
    """Events were dropped: the disk did not keep up, was full, or the log was removed."""

    must_keep: ClassVar[bool] = True

    dropped: dict[str, Count]
    """How many, by type. Empty: none so far, but the log cannot be written for now, and this is its last room."""
    reason: str
    """Why."""


class Heartbeat(Event):
    """Nothing else happened for 5 s; the trainer is alive."""


class RunEnded(Event):
    """The last line, unless the same Monitor is given to another `fit`."""

    must_keep: ClassVar[bool] = True
    urgent: ClassVar[bool] = True

    status: str
    """`finished`, `stopped` (asked to) or `failed`."""
    traceback: str = ""
    """The exception's traceback, for `failed`."""
    reason: str = ""
    """Why it failed or was stopped, in one line: the exception's type and its first sentence, a signal; empty: it
    finished, a request stopped it, or the log is of an older version."""


AnyEvent = (
    RunStarted
    | ModelBuilt
    | FitStarted
    | StateChanged
    | Batches
    | ValidationBatches
    | EpochEnded
    | BatchNorm
    | BatchNormChannels
    | CommandApplied
    | CommandRejected
    | CommandVerified
    | Probe
    | ProbePlanned
    | ValidationRepeated
    | WeightUpdates
    | WeightsReplaced
    | Alert
    | Overhead
    | TimeSplit
    | System
    | Evaluated
    | Recalibrated
    | CheckpointSaved
    | RolledBack
    | RunResumed
    | OrderGiven
    | OrderFired
    | OrderEnded
    | Note
    | LogGap
    | Heartbeat
    | RunEnded
)
"""Every fact that this version writes. A reader skips types and fields that it does not know."""
