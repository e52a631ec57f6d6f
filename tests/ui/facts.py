"""Facts of a run that trains, for tests of what is shown."""

from typing import Any

from helpers import fit_started, layer, model_built, started, statistics
from tuimon.protocol import commands, events
from tuimon.protocol.wire import Number

CAN = dict.fromkeys(commands.NAMES, "")
HOSTILE = "[red]\x1b[31mx[/red]\x07\u202e\x9b2J[@click=app.bell]y[/]\nz"
"""What a run may call itself, or print: markup, control characters, and commands to a terminal."""


def training(*paths: str, can: dict[str, str] | None = None, epochs: int = 1000) -> list[events.AnyEvent]:
    """Return the facts of a run that trains, with a BatchNormalization layer at each of ``paths``."""
    return [
        started(),
        model_built(*(layer(path) for path in paths)),
        fit_started(epochs=epochs, steps_per_epoch=1, can=CAN if can is None else can),
        events.StateChanged(state="training"),
        events.Batches(first_step=0, metrics={"loss": [0.5, 0.4, 0.3]}, batches=3, step=3, epoch=3),
        events.EpochEnded(logs={"loss": 0.3, "val_loss": 0.6}, learning_rate=1e-3, seconds=1.0, step=3, epoch=2),
        events.BatchNorm(layers={path: statistics() for path in paths}, step=3, epoch=3),
    ]


def probe(step: int = 3, *, layers: dict[str, events.ProbeLayer] | None = None, **fields: Any) -> events.Probe:
    """Return a probe of a gap of 5.8, nearly all of it of BatchNormalization."""
    values: dict[str, Any] = {
        "reason": "epoch",
        "examples": 1,
        "train": -0.25,
        "inference": -6.05,
        "gap": 5.8,
        "batch_norm": 5.7768,
        "stochastic": 0.0232,
        "other": 0.0,
        "masks": 8,
        "standard_error": 0.001,
        "passes": 16,
        "seconds": 0.1,
    }
    return events.Probe(**{**values, **fields}, layers=layers or {}, step=step, epoch=step)


def probe_layer(in_order: Number, alone: Number | None = None, drift: Number = 0.5) -> events.ProbeLayer:
    """Return a layer in a probe."""
    return events.ProbeLayer(in_order=in_order, alone=in_order if alone is None else alone, drift=drift, elements=64)


def alert(rule: str = "R2", severity: str = "warning", *, step: int = 3, **fields: Any) -> events.Alert:
    """Return an alert; what it does not say is what a batch of one example gives."""
    values: dict[str, Any] = {
        "what": "batch statistics of one sample make 99.6 % of the gap",
        "evidence": {"examples": 1.0, "gap": 5.8174, "share": 0.996, "loss": "nan", "unknown": None},
        "advice": "freeze BatchNormalization",
        "request": "freeze",
    }
    return events.Alert(rule=rule, severity=severity, step=step, epoch=step, **{**values, **fields})
