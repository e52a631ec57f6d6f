"""Facts of a run that trains, for tests of what is shown."""

from typing import Any

from helpers import layer, started, statistics
from tuimon.protocol import commands, events
from tuimon.protocol.wire import Number

CAN = dict.fromkeys(commands.NAMES, "")
HOSTILE = "[red]\x1b[31mx[/red]\x07\u202e\x9b2J[@click=app.bell]y[/]\nz"
"""What a run may call itself, or print: markup, control characters, and commands to a terminal."""


def training(*paths: str, can: dict[str, str] | None = None, epochs: int = 1000) -> list[events.AnyEvent]:
    """Return the facts of a run that trains, with a BatchNormalization layer at each of ``paths``."""
    return [
        started(),
        events.ModelBuilt(
            name="model",
            parameters=30,
            trainable_parameters=24,
            batch_norm_layers=[layer(path) for path in paths],
            other_layers=[],
        ),
        events.FitStarted(
            optimizer="Adam",
            epochs=epochs,
            initial_epoch=0,
            steps_per_epoch=1,
            jit_compile=False,
            can=CAN if can is None else can,
        ),
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
