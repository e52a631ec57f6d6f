"""Estimates the gap of all training data from a few batches, with standard errors."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field

from tuimon.diagnosis.gap.shares import PARTS
from tuimon.protocol.wire import FloatArray
from tuimon.trainer.engine import Pass

ENOUGH_BATCHES = 3
"""The spread between fewer batches says little."""
ENOUGH_EXAMPLES = 8
"""The spread between fewer examples says little."""


class PartsOfBatch(Struct, frozen=True):
    """The gap of one batch, and its parts."""

    train: float
    """The loss in training mode, the mean over the masks."""
    gap: float
    """The loss in training mode minus that in inference mode."""
    batch_norm: float
    """What batch statistics make."""
    other: float
    """What else makes, but randomness: that has the rest."""
    error_of_masks: float
    """Standard error of `gap` over the masks; 0 if there was one."""
    of_examples: dict[str, FloatArray] | None
    """The same of each example, shape ``(examples,)``, under "gap" and `PARTS`; None if unknown."""

    def part(self, name: str) -> float:
        """Return the gap, or one of its parts."""
        if name == "stochastic":
            return self.gap - self.batch_norm - self.other
        return float(getattr(self, name))


class Estimate(Struct, frozen=True):
    """The mean over batches, as an estimate for all training data."""

    train: float
    gap: float
    batch_norm: float
    other: float
    errors: dict[str, float] = field(default_factory=dict)
    """Standard errors of "gap" and of each of `PARTS`; empty if unknown."""
    share_errors: dict[str, float] = field(default_factory=dict)
    """Standard errors of the share of each of `PARTS` in the gap; empty if unknown."""


def estimate(batches: Sequence[PartsOfBatch], sizes: Sequence[int], examples_of_epoch: int | None) -> Estimate:
    """Return the mean over batches of one size, with standard errors.

    The error over examples does not see that all examples of a batch share its statistics; the error over batches
    does, but rests on few numbers. The larger of the two is told. Of a known number of examples in all, the part that
    a batch leaves out is uncertain: the errors are times the root of its share. Batches are held from different epochs,
    each in an order of its own, so that several may have the same examples: only within a batch is none taken twice.
    Source: Cochran, "Sampling Techniques", 1977, sections 2.6 (finite population) and 2.11 (ratio).

    Args:
        batches: At least one.
        sizes: Examples of each.
        examples_of_epoch: Examples of all training data; None: unknown.
    """
    train, gap, batch_norm, other = (
        float(np.mean([getattr(each, name) for each in batches])) for name in ("train", "gap", "batch_norm", "other")
    )
    left_out = _left_out(sizes, examples_of_epoch)
    masks = batches[0].error_of_masks / len(batches)
    names = ("gap", *PARTS)
    errors: dict[str, float] = {}
    shares: dict[str, float] = {}
    for name in names:
        spread = _spread([each.part(name) for each in batches], _joined(batches, {name: 1.0}), left_out)
        if spread is None:
            return Estimate(train, gap, batch_norm, other)
        errors[name] = float(np.hypot(spread, masks if name in ("gap", "stochastic") else 0.0))
    for name in PARTS:
        part = gap - batch_norm - other if name == "stochastic" else {"batch_norm": batch_norm, "other": other}[name]
        share = part / gap if gap else np.nan
        spread = _spread(
            [each.part(name) - share * each.gap for each in batches],
            _joined(batches, {name: 1.0, "gap": -share}),
            left_out,
        )
        of_masks = masks * abs((1 - share) if name == "stochastic" else share)
        shares[name] = float(np.hypot(spread, of_masks) / abs(gap)) if gap and spread is not None else np.nan
    return Estimate(train, gap, batch_norm, other, errors, shares)


def mean_loss(
    passes: Sequence[Pass], sizes: Sequence[int], examples_of_epoch: int | None = None
) -> tuple[float | None, float | None]:
    """Return the mean loss of batches and its standard error; None if there are none, or if the error is unknown."""
    if not passes:
        return None, None
    loss = float(np.average([each.loss for each in passes], weights=np.maximum(sizes, 1)))
    losses = [each.losses for each in passes]
    known = (
        None if any(each is None for each in losses) else np.concatenate([each for each in losses if each is not None])
    )
    return loss, _spread([each.loss for each in passes], known, _left_out(sizes, examples_of_epoch))


def _left_out(sizes: Sequence[int], examples_of_epoch: int | None) -> float:
    """Return the root of the share of the examples that one batch leaves out."""
    return 1.0 if not examples_of_epoch else float(np.sqrt(max(0.0, 1 - max(sizes) / examples_of_epoch)))


def _joined(batches: Sequence[PartsOfBatch], weights: dict[str, float]) -> FloatArray | None:
    """Return a weighted sum of parts for each example of all batches; None if unknown."""
    found = []
    for each in batches:
        if each.of_examples is None:
            return None
        found.append(sum((weight * each.of_examples[name] for name, weight in weights.items()), np.zeros(())))
    return np.concatenate(found)


def _spread(of_batches: Sequence[float], of_examples: FloatArray | None, left_out: float) -> float | None:
    """Return the standard error of a mean; None if too little is known."""
    if left_out == 0:
        return 0.0
    found = []
    if of_examples is not None and len(of_examples) >= ENOUGH_EXAMPLES:
        found.append(float(np.std(of_examples, ddof=1)) / np.sqrt(len(of_examples)))
    if len(of_batches) >= ENOUGH_BATCHES:
        found.append(float(np.std(of_batches, ddof=1)) / np.sqrt(len(of_batches)))
    return float(left_out * max(found)) if found else None
