"""Reduces the arrays of a BatchNormalization layer to facts: quantiles over its channels, or the full arrays."""

import numpy as np
import numpy.typing as npt

from tuimon.protocol import events
from tuimon.protocol.wire import Number, encode_array, list_to_wire

Array = npt.NDArray[np.float32]

ARRAYS = ("moving_mean", "moving_variance", "gamma", "beta")
"""The names of a layer's arrays, in order. A layer may lack gamma and beta."""

LayerArrays = dict[str, Array | None]
"""By name of ``ARRAYS``, each of shape ``(channels,)``; None if the layer lacks it."""


def statistics(arrays: LayerArrays, epsilon: float, mode: str) -> events.BatchNormStatistics:
    """Return quantiles and counts over a layer's channels.

    Args:
        arrays: Of the layer.
        epsilon: Of the layer; a channel with a variance near or below it counts as dead.
        mode: How the layer computes.
    """
    present = [array for array in arrays.values() if array is not None]
    variance = arrays["moving_variance"]
    assert variance is not None
    return events.BatchNormStatistics(
        moving_mean=quantiles(arrays["moving_mean"]) or [],
        moving_variance=quantiles(variance) or [],
        gamma=quantiles(arrays["gamma"]),
        beta=quantiles(arrays["beta"]),
        dead=int(np.count_nonzero(variance <= events.DEAD_VARIANCE * epsilon)),
        non_finite=int(np.count_nonzero(~np.isfinite(np.stack(present)).all(axis=0))),
        mode=mode,
    )


def channel_values(arrays: LayerArrays) -> events.BatchNormChannelValues:
    """Return a layer's full arrays in the encoding of the log."""
    texts = {name: None if array is None else encode_array(array) for name, array in arrays.items()}
    return events.BatchNormChannelValues(
        moving_mean_base64=texts["moving_mean"] or "",
        moving_variance_base64=texts["moving_variance"] or "",
        gamma_base64=texts["gamma"],
        beta_base64=texts["beta"],
    )


def quantiles(values: Array | None) -> list[Number] | None:
    """Return ``events.QUANTILES`` of the values, linear between neighbours; NaN counts as the largest.

    A sort costs a thirtieth of ``numpy.quantile``.
    """
    if values is None or not values.size:
        return None
    ordered = np.sort(values).astype(np.float64)
    positions = np.asarray(events.QUANTILES) * (len(ordered) - 1)
    below = positions.astype(np.intp)
    above = np.minimum(below + 1, len(ordered) - 1)
    share = positions - below
    with np.errstate(invalid="ignore"):
        # Infinity times zero is NaN: where a position hits a value exactly, take the value itself.
        between = ordered[below] * (1 - share) + ordered[above] * share
    return list_to_wire(np.where(share == 0, ordered[below], between))
