"""One curve of another program's log, and all that is known of such a log."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from tuimon.foreign.names import as_in_keras
from tuimon.foreign.records import IntArray
from tuimon.text import plain

FloatArray = npt.NDArray[np.float64]


class Curve:
    """Values over steps, or over epochs, which grow strictly.

    A value at a step takes the place of those at it and behind it, as in TensorBoard: training began anew there.
    Source: tensorboard/data/server/reservoir.rs, "Preemption".

    Example:
        >>> curve = Curve()
        >>> curve.add(np.array([0, 1, 2, 1]), np.array([0.5, 0.4, 0.3, 0.2]), np.zeros(4))
        >>> curve.steps.tolist(), curve.values.tolist()
        ([0, 1], [0.5, 0.2])
    """

    def __init__(self) -> None:
        self.steps: IntArray = np.empty(0, dtype=np.int64)
        """The steps, shape ``(rows,)``."""
        self.values: FloatArray = np.empty(0)
        """Their values."""
        self.times: FloatArray = np.empty(0)
        """When each was written, Unix seconds."""
        self.taken = 0
        """How many rows, from the first on, were translated."""
        self.is_void = False
        """Whether rows that were translated are no more."""

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, steps: IntArray, values: FloatArray, times: FloatArray) -> None:
        """Add rows in the order in which they were written."""
        if not len(steps):
            return
        # What is kept is below all steps that come after it.
        least_after = np.append(np.minimum.accumulate(steps[::-1])[::-1][1:], np.iinfo(np.int64).max)
        kept = steps < least_after
        self.cut(int(steps.min()))
        self.steps = np.concatenate((self.steps, steps[kept]))
        self.values = np.concatenate((self.values, values[kept]))
        self.times = np.concatenate((self.times, times[kept]))

    def cut(self, step: int) -> None:
        """Drop what is at a step and behind it."""
        end = int(np.searchsorted(self.steps, step))
        if end < len(self.steps):
            self.is_void = self.is_void or end < self.taken
            self.taken = min(self.taken, end)
            self.steps, self.values, self.times = self.steps[:end], self.values[:end], self.times[:end]

    def replace(self, other: "Curve") -> None:
        """Become another curve, as after its file was read anew; what stays as it was counts as translated."""
        count = self.taken
        is_same = len(other) >= count and np.array_equal(other.steps[:count], self.steps[:count])
        is_same = is_same and np.array_equal(other.values[:count], self.values[:count], equal_nan=True)
        # The times of a file without times are those of its reading.
        times = np.concatenate((self.times[:count], other.times[count:])) if is_same else other.times
        self.steps, self.values, self.times = other.steps, other.values, times
        if not is_same:
            self.is_void, self.taken = True, 0


class Text(Struct, frozen=True):
    """A text of a log."""

    step: int
    """The step that it belongs to."""
    time: float
    """When it was written, Unix seconds."""
    words: str
    """Its name and itself."""


class ForeignLog(Struct):
    """What another program's log holds, in tuimon's terms."""

    what: str
    """What it is, such as "TensorBoard log"."""
    source: str
    """The absolute path of what it is read from."""
    steps: dict[str, Curve] = field(default_factory=dict)
    """Values of single steps."""
    running: dict[str, Curve] = field(default_factory=dict)
    """Running means of an epoch, by steps completed."""
    between: dict[str, Curve] = field(default_factory=dict)
    """Values measured between the steps, by steps completed."""
    epochs: dict[str, Curve] = field(default_factory=dict)
    """Values of epochs, counted from 0."""
    ends: Callable[[IntArray, FloatArray], IntArray] = lambda epochs, _: epochs + 1
    """Returns the steps completed at the ends of epochs, given their numbers and the times they were written."""
    has_steps: bool = False
    """Whether `ends` are steps of training; else an epoch counts as one step."""
    has_times: bool = True
    """Whether the log says when its values were written."""
    texts: list[Text] = field(default_factory=list)
    """Texts, in order."""
    config: dict[str, object] = field(default_factory=dict)
    """Hyperparameters, as far as they are read."""
    host: str = ""
    """Name of the machine that wrote it; empty: not told."""
    began: float = 0.0
    """When it was begun, Unix seconds."""
    troubles: dict[str, str] = field(default_factory=dict)
    """What could not be read and why, by file, in words."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What is there and has no place in tuimon, by its kind: "images"."""
    is_void: bool = False
    """Whether what was translated of it holds no more."""
    remarks: list[str] = field(default_factory=list)
    """What must be known to read it right, a sentence each."""
    rates: tuple[str, ...] = ("learning_rate", "lr")
    """What the learning rate of an epoch may be called."""
    parts: list["Part"] = field(default_factory=list)
    """Of a log that tells fits and branches, their values in order; then it has none itself."""

    def name_as_keras(self) -> None:
        """Give metrics the names that Keras would give them, and remark on it."""
        for curves in (self.steps, self.epochs):
            renamed = as_in_keras(curves)
            found = {renamed.get(name, name): curve for name, curve in curves.items()}
            curves.clear()
            curves.update(found)
            self.remarks += [f"{plain(old, 100)} is shown as {plain(new, 100)}." for old, new in renamed.items()]

    @property
    def is_empty(self) -> bool:
        """Whether it holds no number."""
        own = any(len(curve) for curves in self.all for curve in curves.values())
        return not own and all(part.log.is_empty for part in self.parts)

    @property
    def all(self) -> tuple[dict[str, Curve], ...]:
        """All curves."""
        return self.steps, self.running, self.between, self.epochs


class Part(Struct, frozen=True):
    """What a log tells of one branch of one fit."""

    fit: int
    """The number of the fit, from 1."""
    branch: int
    """How many rollbacks and resumptions came before."""
    log: ForeignLog
    """Its values."""
