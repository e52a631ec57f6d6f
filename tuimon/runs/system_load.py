"""The load of the machine that trains, over the time of a run."""

from tuimon.protocol.events import System

MOST_SAMPLES = 2_000
"""Samples that are kept: five hours and a half at 10 s."""


class SystemLoad:
    """The samples of the newest attempt. Of a long one, the older half is thinned: every second sample of it goes.

    Example:
        >>> load = SystemLoad()
        >>> for second in range(10_000):
        ...     load.add(System(time=float(second)))
        >>> len(load.samples) <= MOST_SAMPLES, load.samples[0].time, load.samples[-1].time
        (True, 0.0, 9999.0)
    """

    def __init__(self) -> None:
        self.samples: list[System] = []
        """The samples, oldest first; the first one is always there."""

    def add(self, sample: System) -> None:
        """Add the newest sample."""
        self.samples.append(sample)
        if len(self.samples) > MOST_SAMPLES:
            self.samples[: MOST_SAMPLES // 2] = self.samples[: MOST_SAMPLES // 2 : 2]

    def begin(self) -> None:
        """Forget the samples: another attempt is another process, perhaps on another machine."""
        self.samples = []
