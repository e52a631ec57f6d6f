"""Where two curves part, and how sure that is."""

import math

import numpy as np
from msgspec import Struct

from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray

FEWEST = 8
"""Fewer epochs in which both differ do not show how much their difference goes up and down by itself."""
TIMES_NOISE = 3.0
"""So many times the noise is a difference before the curves are said to be apart."""
LAST = 3
"""So many epochs at the end must all be apart, on one side."""


class Parting(Struct, frozen=True):
    """How far two curves go together, over the epochs that both have."""

    epochs: int
    """How many epochs both have, with finite values."""
    same_until: int | None
    """The last epoch, from 0, up to which all values are equal to the last bit; None: not even the first."""
    last_difference: float | None
    """The other curve less the first one in the last epoch that both have; None where there is none."""
    noise: float | None
    """Standard deviation by which their difference goes up and down from one epoch to the next; None: not known."""
    apart_after: int | None = None
    """The last epoch, from 0, before they are apart; None where they are not, or from the first on."""
    apart_from: int | None = None
    """The first epoch, from 0, from which on they are apart to the end; None: they are not, or that is not known."""

    @property
    def is_known(self) -> bool:
        """True where there are enough epochs to say whether they are apart."""
        return self.noise is not None


def parting(epochs: IntArray, values: FloatArray, other_epochs: IntArray, other_values: FloatArray) -> Parting:
    """Return where two curves part.

    The noise is estimated from the second differences of the difference of both curves, which leave out what goes on
    steadily, behind the epochs in which both are equal: 1.4826 times the median of their sizes, over √6. That is the
    standard deviation for independent noise of one size. The curves are apart from the first epoch on after which the
    difference is on one side and more than `TIMES_NOISE` times the noise in every epoch, to the end, if these are
    `LAST` epochs or more. Of curves that differ by independent noise alone, 1 in 500 or fewer are said to be apart.

    This is about these two curves alone. Whether two runs with other seeds would part there, one run of each cannot
    say.

    Args:
        epochs: Numbers of the epochs of the first curve, from 0, shape ``(n,)``.
        values: Its values, shape ``(n,)``.
        other_epochs: Those of the other curve, shape ``(m,)``.
        other_values: Its values, shape ``(m,)``.

    Example:
        >>> epochs = np.arange(20)
        >>> values = np.linspace(1.0, 0.5, 20)
        >>> found = parting(epochs, values, epochs, values - 0.25 * (epochs > 5))
        >>> found.same_until, found.apart_from
        (5, 6)
    """
    first = dict(zip(epochs.tolist(), values.tolist(), strict=True))
    other = dict(zip(other_epochs.tolist(), other_values.tolist(), strict=True))
    shared = sorted(first.keys() & other.keys())
    same_until = None
    for epoch in shared:
        if first[epoch] != other[epoch] and not (math.isnan(first[epoch]) and math.isnan(other[epoch])):
            break
        same_until = epoch
    finite = [epoch for epoch in shared if math.isfinite(first[epoch]) and math.isfinite(other[epoch])]
    last = other[finite[-1]] - first[finite[-1]] if finite else None
    # Where both are equal there is no noise to be seen.
    differing = [epoch for epoch in finite if same_until is None or epoch > same_until]
    if len(differing) < FEWEST:
        return Parting(len(finite), same_until, last, None)
    differences = np.array([other[epoch] - first[epoch] for epoch in differing])
    noise = float(1.4826 * np.median(np.abs(np.diff(differences, n=2))) / math.sqrt(6))
    start = _apart_from(differences, TIMES_NOISE * noise)
    return Parting(
        len(finite),
        same_until,
        last,
        noise,
        apart_after=differing[start - 1] if start else same_until if start == 0 else None,
        apart_from=differing[start] if start is not None else None,
    )


def _apart_from(differences: FloatArray, threshold: float) -> int | None:
    """Return the place from which on all differences are beyond a threshold, on the side of the last one."""
    sided = differences * np.sign(differences[-1])
    within = np.flatnonzero((sided <= threshold) | (sided == 0))
    start = int(within[-1]) + 1 if len(within) else 0
    return start if len(differences) - start >= LAST else None
