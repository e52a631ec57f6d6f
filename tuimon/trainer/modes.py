"""A mode: how the layers of a model compute, and what is held."""

from dataclasses import dataclass
from typing import Literal

LearningPhase = Literal["auto", "train", "inference"]


@dataclass(frozen=True)
class Mode:
    """All that requests change about a training step. Layers are named by path.

    Example:
        >>> Mode() == AUTO
        True
    """

    frozen: frozenset[str] = frozenset()
    """Layers of any kind that a request froze, each with every layer within it: Keras' ``trainable=False``."""
    statistics: frozenset[str] = frozenset()
    """BatchNormalization layers that use and hold their moving statistics, while gamma and beta learn."""
    phase: LearningPhase = "auto"
    """The learning phase."""
    momentum: frozenset[tuple[str, float]] = frozenset()
    """BatchNormalization layers with the momentum that a request gave them."""
    own_learning_rate: bool = False
    """Whether the learning rate is a request's and not the schedule's."""

    def __str__(self) -> str:
        words = [f"freeze {len(self.frozen)} layers"] if self.frozen else []
        words += [f"hold the statistics of {len(self.statistics)} layers"] if self.statistics else []
        words += [f"phase {self.phase}"] if self.phase != "auto" else []
        words += [f"momentum of {len(self.momentum)} layers"] if self.momentum else []
        words += ["a learning rate of its own"] if self.own_learning_rate else []
        return ", ".join(words) or "as the framework does it"


AUTO = Mode()
"""The framework's own step, unchanged."""
