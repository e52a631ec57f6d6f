"""A mode: how the layers of a model compute, and which of their arrays a step leaves unchanged."""

from typing import Literal

from msgspec import Struct

LearningPhase = Literal["auto", "train", "inference"]


class Mode(Struct, frozen=True):
    """Everything that requests change about a training step. Layers are named by path.

    Example:
        >>> Mode() == AUTO
        True
    """

    frozen: frozenset[str] = frozenset()
    """Layers of any kind that a request froze, with every layer within them: Keras' ``trainable=False``."""
    statistics: frozenset[str] = frozenset()
    """BatchNormalization layers that use and hold their moving statistics while gamma and beta learn."""
    phase: LearningPhase = "auto"
    """The learning phase; ``auto``: training in a training step, inference in a validation."""
    momentum: frozenset[tuple[str, float]] = frozenset()
    """BatchNormalization layers whose momentum a request set, each with its momentum."""
    own_learning_rate: bool = False
    """True if a request's learning rate replaces the schedule."""

    def __str__(self) -> str:
        words = [f"freeze {len(self.frozen)} layers"] if self.frozen else []
        words += [f"hold the statistics of {len(self.statistics)} layers"] if self.statistics else []
        words += [f"phase {self.phase}"] if self.phase != "auto" else []
        words += [f"momentum of {len(self.momentum)} layers"] if self.momentum else []
        words += ["a learning rate of its own"] if self.own_learning_rate else []
        return ", ".join(words) or "as the framework does it"


AUTO = Mode()
"""The framework's own step, unchanged."""
