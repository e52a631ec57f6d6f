"""One BatchNormalization layer over time, as a run's facts tell it."""

import numpy as np
from msgspec import Struct, field

from tuimon.protocol import events
from tuimon.runs.series import Series
from tuimon.runs.thinning import thin


class LayerHistory(Struct):
    """One BatchNormalization layer over time."""

    layer: events.BatchNormLayer
    """The layer, as the model has it."""
    moving_mean: Series = field(default_factory=lambda: Series(len(events.QUANTILES)))
    """Quantiles of the moving mean over the channels, one row a sample."""
    moving_variance: Series = field(default_factory=lambda: Series(len(events.QUANTILES)))
    """Quantiles of the moving variance, one row a sample."""
    latest: events.BatchNormStatistics | None = None
    """The newest sample; None while there is none."""
    channels: events.BatchNormChannelValues | None = None
    """The newest full arrays; None while there are none."""
    probe: events.ProbeLayer | None = None
    """Its part of the newest probe; None while there is none."""
    drift: Series = field(default_factory=Series)
    """Drift of the moving from the batch statistics, at each probe."""
    undisturbed_from: int = 0
    """The first row of `moving_mean` after which the mode stayed the same and only train steps changed the arrays."""
    trainable_changed: int | None = None
    """Step at which the user was last seen to have set `trainable` to another value; None: never."""
    disturbances: int = 0
    """How many disturbances the run had seen when the newest sample was taken."""

    @property
    def mode(self) -> str | None:
        """`training`, `frozen`, `inference`; None while not known."""
        return self.latest.mode if self.latest else None

    @property
    def numbers(self) -> int:
        """How many numbers its samples take, of 8 bytes each."""
        return self.moving_mean.numbers + self.moving_variance.numbers

    def thin(self, rows: int) -> None:
        """Drop older samples that are not needed to draw the whole run, once there are twice as many as ``rows``."""
        kept = thin((self.moving_mean, self.moving_variance), rows)
        if kept is not None:
            self.undisturbed_from = int(np.searchsorted(kept, self.undisturbed_from))

    def change(self) -> float | None:
        """How far the moving mean has gone since the first sample.

        The root mean square over the quantiles of (newest − first), in units of the first moving
        variance's root; None while there are fewer than two samples.
        """
        means, variances = self.moving_mean.rows, self.moving_variance.rows
        if len(means) < 2:
            return None
        scale = np.sqrt(np.maximum(np.mean(variances[0]), self.layer.epsilon))
        return float(np.sqrt(np.mean((means[-1] - means[0]) ** 2)) / scale)
