"""Requests: what a viewer may ask of a running training, one small JSON file each.

A request is not a fact: the trainer answers each with ``command_applied`` or ``command_rejected``.
``docs/protocol.md`` is made from this file. Must not import Keras, TensorFlow or Textual.
"""

import getpass
import itertools
import os
import secrets
import socket
from typing import Annotated, Literal

import msgspec

from tuimon.events import PROTOCOL, snake_case

MAXIMUM_BYTES = 64 * 1024
"""A larger file is no request."""

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
"""A layer: a glob (`*`, `?`, `[…]`) that matches a Keras path or its last part."""


class Request(msgspec.Struct, tag_field="command", tag=snake_case, kw_only=True, forbid_unknown_fields=True):
    """What every request has."""

    protocol: int = PROTOCOL
    """Version of the protocol."""
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = ""
    """Chosen by the sender, named again in the answer."""
    attempt: int | None = None
    """The attempt it is meant for; another one rejects it. null: whichever runs."""
    user: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Who asks, as claimed."""
    host: Annotated[str, msgspec.Meta(max_length=300)] = ""
    """From where, as claimed."""
    pid: int = 0
    """Of which process, as claimed."""


class Freeze(Request):
    """Put BatchNormalization layers in inference mode and hold all their arrays: Keras' `trainable=False`."""

    layers: list[Pattern] = []
    """Globs; none: all BatchNormalization layers."""


class Unfreeze(Request):
    """Undo `freeze`."""

    layers: list[Pattern] = []
    """Globs; none: all that are frozen."""


class Phase(Request):
    """Set the learning phase for every layer whose result depends on `training`, in `fit` and in its validation."""

    phase: Literal["auto", "train", "inference"]
    """`auto`: as Keras does it. `train`: 1 everywhere. `inference`: 0 everywhere. A frozen layer stays frozen."""


class Stop(Request):
    """End training as `model.stop_training` does."""

    after: Literal["batch", "epoch"] = "batch"
    """When."""


class Snapshot(Request):
    """Write the full arrays of every BatchNormalization layer now."""


class Note(Request):
    """Leave a text in the log."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    """Any text."""


AnyRequest = Freeze | Unfreeze | Phase | Stop | Snapshot | Note
"""Every request that this version takes."""

_decoder: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_counter = itertools.count()
_ENVELOPE = frozenset(Request.__struct_fields__)


def signed(request: AnyRequest, attempt: int | None) -> AnyRequest:
    """Return ``request`` with an id of its own and the sender's name in it."""
    return msgspec.structs.replace(
        request,
        id=f"{secrets.token_hex(6)}-{next(_counter)}",
        attempt=attempt,
        user=_user_name(),
        host=socket.gethostname(),
        pid=os.getpid(),
    )


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
    request = _decoder.decode(data)
    if request.protocol != PROTOCOL:
        raise ValueError(f"protocol {request.protocol} is not {PROTOCOL}, the one this run speaks")
    if not request.id:
        raise ValueError("it has no id")
    return request


def describe(request: dict[str, object]) -> str:
    """Return a request of a fact in words for people: "freeze bn_1", "phase inference"."""
    command = str(request.get("command", "request"))
    layers = request.get("layers")
    if command in ("freeze", "unfreeze"):
        names = ", ".join(map(str, layers)) if isinstance(layers, list) and layers else "all"
        return f"{command} {names}"
    if command == "phase":
        return f"phase {request.get('phase', '–')}"
    if command == "stop":
        return f"stop after this {request.get('after', 'batch')}"
    return command


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        return str(os.getuid())
