"""The line of a run: the steps of each branch that led to where the run is now."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from tuimon.protocol import events
from tuimon.runs.series import IntArray

BoolArray = npt.NDArray[np.bool_]
Branches = Literal["now", "all"] | int
"""Which branches are meant: "now": the line, "all", or the number of one."""
LINE_KINDS: tuple[type[events.AnyEvent], ...] = (events.CheckpointSaved, events.RolledBack, events.RunResumed)
"""The facts that `Line.add` needs; all others change nothing, as long as no line of the log is damaged."""
_ENDLESS = 2**62


class Line:
    """Knows of each branch the last step whose effect is left.

    A rollback or a resumption undoes what was done after its checkpoint was made, also if the checkpoint is of a branch
    that was left earlier. A checkpoint without a fact is one of the line: its trainer was killed before it was told.

    Example:
        >>> line = Line()
        >>> line.add(events.RolledBack(checkpoint="a.npz", to_step=60, to_epoch=0, step=100, branch=1))
        >>> line.holds(np.array([0, 0, 1]), np.array([60, 100, 120])).tolist()
        [True, False, True]
    """

    def __init__(self) -> None:
        self._ends = {0: _ENDLESS}
        """By branch, the number of steps completed at the end of what is left of it."""
        self._newest = 0
        self._at: dict[str, dict[int, int]] = {}
        """The line at which each checkpoint was made, by its name."""

    def add(self, event: events.AnyEvent) -> None:
        """Take a fact into account, in the order of the log."""
        match event:
            case events.CheckpointSaved():
                self._at[event.name] = dict(self._ends)
            case events.RolledBack() | events.RunResumed():
                known = self._at.get(event.checkpoint, self._ends)
                self._ends = {branch: min(end, event.to_step) for branch, end in known.items()}
                self._ends[event.branch] = _ENDLESS
        if event.branch > self._newest or event.branch not in self._ends:
            # Also where the fact that began the branch is missing: then nothing is known to be undone.
            self._ends[event.branch] = _ENDLESS
            self._newest = max(self._newest, event.branch)

    def holds(self, branches: IntArray, completed: IntArray) -> BoolArray:
        """Return which values led to where the run is now, shape ``(n,)``.

        Args:
            branches: The branch of each value, shape ``(n,)``.
            completed: The train steps that were completed when each value came, shape ``(n,)``.
        """
        found = np.zeros(len(branches), dtype=np.bool_)
        for branch, end in self._ends.items():
            found |= (branches == branch) & (completed <= end)
        return found

    def chosen(self, which: Branches, branches: IntArray, completed: IntArray) -> BoolArray:
        """Return which values are of the branches that are meant, shape ``(n,)``; arguments as for `holds`.

        Raises:
            ValueError: ``which`` means none.
        """
        if which == "now":
            return self.holds(branches, completed)
        if which == "all":
            return np.ones(len(branches), dtype=np.bool_)
        if isinstance(which, bool) or not isinstance(which, int):
            raise ValueError(f'branch: {which!r} is none; give "now", "all" or the number of a branch')
        found: BoolArray = branches == which
        return found


def branches_in(words: str) -> Branches:
    """Return the branches that a person means.

    Raises:
        ValueError: Nobody knows which.

    Example:
        >>> branches_in("all"), branches_in("2")
        ('all', 2)
    """
    if words == "now":
        return "now"
    if words == "all":
        return "all"
    if words.isascii() and words.isdigit():
        return int(words[:18])
    raise ValueError(f"{words!r} is no branch; give now, all or the number of a branch")
