"""Which other run a viewer can show: one that has begun meanwhile, or the one that was left for it."""

from tuimon.runs.beginnings import Begun
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import OVER, RunState
from tuimon.ui.viewer.key import Key, KeyGroup, all_but

QUIET_SECONDS = 2.0
"""For so long after a key or the mouse, no other run takes the place of the one that is shown."""


class OtherRun:
    """Decides when the run that is shown makes room for one that has begun.

    It does so by itself only where nobody named a run, and the one that is shown is over.

    Args:
        shown: The run that is shown.
    """

    def __init__(self, shown: RunDirectory) -> None:
        self.other: RunDirectory | None = None
        """The run that can be shown instead; None where there is none."""
        self.is_newer = False
        """True where the other run has begun after the one that is shown."""
        self.follows = False
        """Whether a run that begins is to take the place of one that is over."""
        self._shown = shown
        self._stays = False
        self._began = 0.0

    def begins(self, begun: Begun) -> bool:
        """Take note of a run that has begun; return False for the one that is shown."""
        if begun.run == self._shown:
            return False
        self.other, self.is_newer, self._began = begun.run, True, begun.time
        return True

    def is_due(self, state: RunState, status: str, quiet_seconds: float) -> bool:
        """Return whether the other run is to be shown now.

        Args:
            state: What the log of the run that is shown says.
            status: What that run does.
            quiet_seconds: For how long nobody has touched a key or the mouse.
        """
        if not self.follows or self._stays or not self.is_newer or status not in OVER:
            return False
        # One that began beside a run that went on is offered, and does not take its place when that one ends.
        began_after = state.last_time is None or self._began >= state.last_time
        return began_after and quiet_seconds >= QUIET_SECONDS

    def change(self, *, by_hand: bool) -> RunDirectory | None:
        """Exchange the run that is shown and the other one; return the one to show now, None where there is no other.

        Args:
            by_hand: Whether a key asked for it. Who goes back stays there, until the newer run is opened again.
        """
        if self.other is None:
            return None
        if by_hand:
            self._stays = not self.is_newer
        self._shown, self.other = self.other, self._shown
        self.is_newer = not self.is_newer
        return self._shown


OTHER_RUN = KeyGroup(
    "Another run",
    screens=all_but("compare"),
    needs="other run",
    keys=(
        Key(
            keys="O",
            action="watch_run('other')",
            label="run before",
            help="Watch the run that has begun meanwhile, or go back to the one before.",
            rank=4,
        ),
    ),
)
