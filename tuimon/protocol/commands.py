"""Requests: what a viewer may ask of a running training, one small JSON file each.

A request is not a fact: the trainer answers each with ``command_applied`` or ``command_rejected``.
``docs/protocol.md`` is made from this file.
"""

import contextlib
import getpass
import itertools
import math
import os
import socket
from typing import Annotated, Literal

import msgspec

from tuimon.numbers import learning_rate, setting
from tuimon.protocol.events import PROTOCOL, snake_case
from tuimon.protocol.validation import in_words
from tuimon.protocol.wire import Count

MAXIMUM_REQUEST_BYTES = 64 * 1024
"""A larger file is no request."""

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
"""A layer: a glob (`*`, `?`, `[…]`) that matches a Keras path or its last part."""


class Request(msgspec.Struct, tag_field="command", tag=snake_case, kw_only=True, forbid_unknown_fields=True):
    """What every request has."""

    protocol: Count = PROTOCOL
    """Version of the protocol."""
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = ""
    """Chosen by the sender, named again in the answer."""
    attempt: Count | None = None
    """The attempt it is meant for; another one rejects it. null: whichever runs."""
    user: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Who asks, as claimed."""
    host: Annotated[str, msgspec.Meta(max_length=300)] = ""
    """The host it comes from, as claimed."""
    pid: Count = 0
    """The process it comes from, as claimed."""


class Freeze(Request):
    """Put BatchNormalization layers in inference mode and hold all their arrays: Keras' `trainable=False`."""

    layers: list[Pattern] = []
    """Globs; none: all BatchNormalization layers. With `weights` there must be one."""
    statistics: bool = False
    """Only the moving statistics are used and held; gamma and beta go on learning."""
    weights: bool = False
    """Any layers, not BatchNormalization alone, with all that is in them: Keras' `trainable=False`."""

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.weights and not self.layers:
            raise ValueError("`weights` needs a layer")


class Unfreeze(Request):
    """Undo `freeze`, in each of its kinds, for BatchNormalization layers."""

    layers: list[Pattern] = []
    """Globs; none: all that are frozen."""
    statistics: bool = False
    """Undo only `freeze` with `statistics`."""
    weights: bool = False
    """Undo `freeze` with `weights`: any layers, with all that is in them."""

    def __post_init__(self) -> None:
        _check_kinds(self)


def _check_kinds(request: Freeze | Unfreeze) -> None:
    if request.statistics and request.weights:
        raise ValueError("`statistics` and `weights` exclude each other")


class Phase(Request):
    """Set the learning phase for every layer whose result depends on `training`, in `fit` and in its validation."""

    phase: Literal["auto", "train", "inference"]
    """`auto`: as Keras does it. `train`: 1 everywhere. `inference`: 0 everywhere, also where the model's own code fixes
    `training` (Monte Carlo dropout). A frozen layer stays frozen."""


class Momentum(Request):
    """Set the momentum of BatchNormalization layers: the share of the old value that a moving average keeps."""

    momentum: Annotated[float, msgspec.Meta(ge=0, le=1)]
    """Between 0 (the last batch alone) and 1 (held)."""
    layers: list[Pattern] = []
    """Globs; none: all BatchNormalization layers."""


class LearningRate(Request, tag="lr"):
    """Set the optimizer's learning rate, or give it back to its schedule."""

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] | None
    """The new one; null: the schedule's, where the optimizer has one."""

    def __post_init__(self) -> None:
        if self.learning_rate is not None and not math.isfinite(self.learning_rate):
            raise ValueError("Expected a finite `learning_rate`")


class Recalibrate(Request):
    """Re-estimate the moving mean and variance of all BatchNormalization layers exactly, from training batches."""

    batches: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 200
    """How many: the next ones of the training data, which are trained on afterwards as if nothing had been."""
    dry_run: bool = False
    """Only report the validation loss it would give; nothing is changed."""


class Pause(Request):
    """Wait before the next step, without using the processor, until `resume` or `stop`."""


class Resume(Request):
    """Go on after `pause`."""


class Checkpoint(Request):
    """Save the full state: weights, optimizer, random seeds, epoch, step, modes."""


class Rollback(Request):
    """Put weights, optimizer, random seeds and modes back to a checkpoint; the data go on where they are."""

    checkpoint: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Name of the checkpoint, as `checkpoint_saved` gave it; empty: the newest."""


class Evaluate(Request):
    """Evaluate on the validation data now. A `tf.data` set that shuffles itself has another order afterwards."""


class Probe(Request):
    """Measure the gap between training mode and inference mode on the held batch now."""


class Stop(Request):
    """End training as `model.stop_training` does."""

    after: Literal["batch", "epoch"] = "batch"
    """When."""


class Epochs(Request):
    """Let `fit` end after another number of epochs than it was given; more or fewer, while it runs."""

    epochs: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    """The number of the last epoch, counted from 1. Not below the epoch under way."""


class Order(Request):
    """Give a standing order: a request that the trainer makes of itself, at a step or when something is so."""

    order: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    """The order in words, such as `when nan stop` or `at step 5000 lr 1e-4`; `docs/orders.md` has the grammar."""


class Cancel(Request):
    """Cancel a standing order."""

    number: Count
    """Its number; 0: all that stand."""


class Snapshot(Request):
    """Write the full arrays of every BatchNormalization layer now."""


class Note(Request):
    """Leave a text in the log."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    """Any text."""


AnyRequest = (
    Freeze
    | Unfreeze
    | Phase
    | Momentum
    | LearningRate
    | Recalibrate
    | Pause
    | Resume
    | Stop
    | Checkpoint
    | Rollback
    | Evaluate
    | Probe
    | Snapshot
    | Note
    | Epochs
    | Order
    | Cancel
)
"""Every request that this version takes."""


class UnknownRequest(msgspec.Struct, frozen=True):
    """A request in a log that this version does not know, or knows without these arguments."""

    command: str
    """Its name; empty: it has none."""


NAMES: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in AnyRequest.__args__)
"""What they are called on the wire."""

_decoder: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_counter = itertools.count()
_UNDO = "undo-"
_ENVELOPE = frozenset(Request.__struct_fields__)


def signed(request: AnyRequest, attempt: int | None, *, undoes: int | None = None) -> AnyRequest:
    """Return ``request`` with an id of its own and the sender's name in it.

    Args:
        request: What is asked.
        attempt: The attempt that it is meant for.
        undoes: Number of the fact, of a request that was applied, which this one takes back. The id says so: it is in
            the answer, so that every viewer knows what is undone already.
    """
    prefix = "" if undoes is None else f"{_UNDO}{undoes}-"
    return msgspec.structs.replace(
        request,
        id=f"{prefix}{os.urandom(6).hex()}-{next(_counter)}",
        attempt=attempt,
        user=_user_name(),
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def with_id(request: AnyRequest, identity: str) -> AnyRequest:
    """Return ``request`` with an id, for one that the trainer makes of itself."""
    return msgspec.structs.replace(request, id=identity)


def undone_by(identity: str) -> int | None:
    """Return the number of the fact that a request of this id takes back; None for a request of its own.

    Example:
        >>> undone_by("undo-366-00c5d15d6212-0"), undone_by("00c5d15d6212-0")
        (366, None)
    """
    number, dash, _ = identity.removeprefix(_UNDO).partition("-")
    known = identity.startswith(_UNDO) and dash and number.isascii() and number.isdigit() and len(number) < 20
    return int(number) if known else None


def encode(request: AnyRequest) -> bytes:
    """Return a request as its file holds it."""
    return msgspec.json.encode(request)


def as_fields(request: AnyRequest) -> dict[str, object]:
    """Return what a request asks, without who asks: what the answering fact carries."""
    fields: dict[str, object] = msgspec.to_builtins(request)
    return {name: value for name, value in fields.items() if name not in _ENVELOPE}


def decode(data: bytes) -> AnyRequest:
    """Read a request.

    Raises:
        ValueError: it is not valid; the message names the field.
    """
    try:
        request = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError(in_words(error)) from None
    if request.protocol != PROTOCOL:
        raise ValueError(f"protocol {request.protocol} is not {PROTOCOL}, the one this run speaks")
    if not request.id:
        raise ValueError("it has no id")
    return request


def from_words(words: str) -> Freeze | Phase | Momentum:
    """Return the request that a text means, where it changes a mode.

    Such as "freeze", "freeze statistics bn_*", "freeze weights conv*", "phase inference", "momentum 0.9 bn_1".

    Raises:
        ValueError: it is none of these.
    """
    command, *arguments = words.split() or [""]
    fields: dict[str, object] = {"command": command}
    if command == "freeze":
        kinds = [kind for kind in ("statistics", "weights") if arguments[:1] == [kind]]
        fields |= dict.fromkeys(kinds, True)
        fields["layers"] = arguments[len(kinds) :]
    elif command == "phase" and len(arguments) == 1:
        fields["phase"] = arguments[0]
    elif command == "momentum" and arguments:
        with contextlib.suppress(ValueError):
            fields["momentum"] = float(arguments[0])
        fields["layers"] = arguments[1:]
    else:
        raise ValueError(f'expected "freeze", "phase" or "momentum" with what belongs to it; received {words!r}')
    try:
        request: Freeze | Phase | Momentum = msgspec.convert(fields, Freeze | Phase | Momentum)
    except msgspec.ValidationError as error:
        raise ValueError(in_words(error)) from None
    return request


def from_fact(fields: dict[str, object]) -> AnyRequest | UnknownRequest:
    """Return the request that an answering fact carries. It never raises: a later version may have written it.

    Example:
        >>> from_fact({"command": "phase", "phase": "train"}).phase, from_fact({"command": "explode"}).command
        ('train', 'explode')
    """
    try:
        request: AnyRequest = msgspec.convert(fields, AnyRequest)
    except msgspec.ValidationError:
        return UnknownRequest(str(fields.get("command", "")))
    return request


def name_of(request: AnyRequest | UnknownRequest) -> str:
    """Return what a request is called on the wire."""
    return request.command if isinstance(request, UnknownRequest) else str(request.__struct_config__.tag)


def describe(request: AnyRequest | UnknownRequest) -> str:
    """Return a request in words for people.

    Example:
        >>> describe(Freeze(layers=["bn_1"])), describe(Phase(phase="inference")), describe(UnknownRequest(""))
        ('freeze bn_1', 'phase inference', 'request')
        >>> describe(Freeze(statistics=True)), describe(Unfreeze(statistics=True, layers=["bn_1"]))
        ('hold statistics of all', 'unhold statistics of bn_1')
    """
    words = name_of(request)
    match request:
        case UnknownRequest():
            words = words or "request"
        case Freeze() | Unfreeze():
            words = f"{_freezing(request)} {_layers(request)}"
        case Phase():
            words += f" {request.phase}"
        case Momentum():
            words += f" {setting(request.momentum)} of {_layers(request)}"
        case LearningRate():
            rate = request.learning_rate
            words = f"learning rate {'of the schedule' if rate is None else learning_rate(rate)}"
        case Recalibrate(dry_run=True):
            words += ", dry run"
        case Rollback():
            words = f"roll back to {request.checkpoint or 'the newest checkpoint'}"
        case Stop():
            words += f" after this {request.after}"
        case Epochs():
            words = f"{request.epochs:,} epochs in all"
        case Order():
            words = f"order: {request.order}"
        case Cancel():
            words = f"cancel order {request.number}" if request.number else "cancel all orders"
    return words


def _freezing(request: Freeze | Unfreeze) -> str:
    """Return what is done to layers: a layer of which the statistics alone are fixed is held."""
    if request.statistics:
        return "hold statistics of" if isinstance(request, Freeze) else "unhold statistics of"
    return name_of(request) + (" weights of" if request.weights else "")


def _layers(request: Freeze | Unfreeze | Momentum) -> str:
    return ", ".join(request.layers) or "all"


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        return str(os.getuid())
