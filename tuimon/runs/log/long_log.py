"""A long log opens on its newest part; what is older is read behind it.

First all is read but the values of single batches and the statistics of layers: then everything is known of the run but
the older parts of these curves, and nothing that is shown has to be taken back. Then the whole log is folded anew.
"""

from collections.abc import Iterator
from pathlib import Path

from tuimon.protocol.events import AnyEvent
from tuimon.runs.log.session_log import Tail
from tuimon.runs.state import RunState
from tuimon.runs.thinning import ROOM

LONG_BYTES = 64 * 1024 * 1024
"""A log that is longer opens on its newest part: all of it takes more than some seconds."""
NEWEST_BYTES = 1024 * 1024
"""So much at the end is read whole at once."""
_OUTLINE_BYTES = 512 * 1024
"""So much stays in the cache of a processor while its lines are looked at."""
_OLDER_BYTES = 256 * 1024


class LongLog:
    """Reads one log twice: its outline with the newest part, then all of it.

    Args:
        path: The log.

    Example:
        ```python
        log = LongLog(run.session_log)
        for events, share in log.outline(size):
            state.apply(events)
        state.apply(log.tail.read_all())
        while (whole := log.read_older()) is None:
            state.apply(log.tail.read())
        ```
    """

    def __init__(self, path: Path) -> None:
        self.tail = Tail(path)
        """Reads the newest part, once the outline is read."""
        self.older = Tail(path)
        """Reads all of it; has read as much as `tail` once the state is whole."""
        self._whole = RunState()

    def outline(self, size: int) -> Iterator[tuple[list[AnyEvent], float]]:
        """Yield the outline of what lies before the newest part of so many bytes, and the share of it that is read.

        Raises:
            LogChangedError: the log was removed, replaced or shortened meanwhile.
            OSError: the log cannot be read.
        """
        end = size - NEWEST_BYTES
        while self.tail.offset < end:
            before = self.tail.offset
            events = self.tail.outline(min(_OUTLINE_BYTES, end - before))
            if self.tail.offset == before:
                return
            yield events, min(1.0, self.tail.offset / end)

    @property
    def share(self) -> float:
        """How much of the log is folded whole, from 0 to 1."""
        return self.older.offset / max(1, self.tail.offset)

    def read_older(self) -> RunState | None:
        """Fold a further part of the log; return the state, once it is of all that `tail` has read.

        Raises:
            LogChangedError: the log was removed, replaced or shortened meanwhile.
            OSError: the log cannot be read.
        """
        left = self.tail.offset - self.older.offset
        if left > 0:
            self._whole.apply(self.older.read(min(_OLDER_BYTES, left)))
            self._whole.thin(ROOM)
        return self._whole if self.older.offset >= self.tail.offset else None
