"""What the types of the facts cannot say: shapes that belong together, and how deep free values may be nested.

Only what is read is checked. The trainer makes facts without these checks: none of them may end a training.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tuimon.protocol import events
from tuimon.protocol.wire import decode_array

DEEPEST = 32
"""Levels of nesting in a config, or in a request that a fact carries. A config of ours has three."""
LONGEST_INTEGER = 64
"""Bits of an integer there: what JSON of this writer can have."""


def check(event: events.AnyEvent) -> None:
    """Check that the values of a fact fit each other.

    Raises:
        ValueError: they do not; says what.
    """
    if (checked := _CHECKS.get(type(event))) is not None:
        checked(event)


def _check_started(event: events.RunStarted) -> None:
    _check_free(event.config)


def _check_answer(event: events.CommandApplied | events.CommandRejected) -> None:
    _check_free(event.request)


def _check_batches(event: events.Batches) -> None:
    longest = max(map(len, event.metrics.values()), default=0)
    if 0 < event.batches < longest:
        raise ValueError(f"{longest} values of {event.batches} batches")


def _check_layers(event: events.BatchNorm) -> None:
    for path, layer in event.layers.items():
        for quantiles in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta):
            if quantiles is not None and len(quantiles) != len(events.QUANTILES):
                raise ValueError(f"{len(quantiles)} quantiles of {path} instead of {len(events.QUANTILES)}")


def _check_channels(event: events.BatchNormChannels) -> None:
    for path, layer in event.layers.items():
        arrays = (layer.moving_mean_base64, layer.moving_variance_base64, layer.gamma_base64, layer.beta_base64)
        lengths = {len(decode_array(array)) for array in arrays if array is not None}
        if len(lengths) > 1:
            raise ValueError(f"arrays of {path} of different lengths")


def _check_probe(event: events.Probe) -> None:
    if event.batches < 1:
        raise ValueError("a probe of no batch")


def _check_free(value: object) -> None:
    """Check that a value without a type of its own is not nested too deep and has no integer of many digits."""
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if any(isinstance(inner, int) and inner.bit_length() > LONGEST_INTEGER for inner in level):
            raise ValueError(f"an integer of more than {LONGEST_INTEGER} bits")
        if not level:
            return
    raise ValueError(f"more than {DEEPEST} levels of nesting")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_CHECKS: dict[type[events.Event], Callable[[Any], None]] = {
    events.RunStarted: _check_started,
    events.CommandApplied: _check_answer,
    events.CommandRejected: _check_answer,
    events.Batches: _check_batches,
    events.BatchNorm: _check_layers,
    events.BatchNormChannels: _check_channels,
    events.Probe: _check_probe,
}
