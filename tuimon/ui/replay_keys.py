"""An app that shows a recorded run as it was at a time, under control of the keys."""

import time

from tuimon.protocol.events import Alert, AnyEvent, Batches, BatchNorm, BatchNormChannels, EpochEnded, ValidationBatches
from tuimon.runs.state import Command, RunState
from tuimon.ui.request_keys import SteeringApp
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.steering import Steering

_MEASURED = Batches | ValidationBatches | EpochEnded | BatchNorm | BatchNormChannels
"""Facts that the timeline does not list, and that would take room twice."""


class ReplayingApp(SteeringApp):
    """Folds the facts of a log up to the time of a clock; without a clock, as they come.

    Args:
        steering: Where requests go.
        clock: Says how much of the log is shown; None: all there is.
    """

    def __init__(self, steering: Steering, clock: ReplayClock | None) -> None:
        super().__init__(steering)
        self.clock = clock
        """Of a replay; None for the run as it is now."""
        self.whole = RunState() if clock else None
        """Of a replay, all of the log, without what was measured."""
        self._released_at = time.monotonic()

    def hush(self) -> None:
        """Show the sentence no longer that was said."""
        raise NotImplementedError

    def load(self, clock: ReplayClock, events: list[AnyEvent]) -> None:
        """Have facts be there for the clock."""
        clock.load(events)
        assert self.whole is not None
        self.whole.apply(event for event in events if not isinstance(event, _MEASURED))

    def action_pause(self) -> None:
        """Pause training, or have it go on; in a replay, play it or pause it."""
        if self.clock is None:
            super().action_pause()
        else:
            self.clock.playing = not self.clock.playing
            self._released_at = time.monotonic()
            self.redraw()

    def action_next_epoch(self) -> None:
        """Go on to the end of the next epoch."""
        if self.clock is not None:
            self.hush()
            self.take(self.clock.next_epoch())
            self.redraw()

    def action_epoch_before(self) -> None:
        """Go back to the end of the epoch before."""
        if self.clock is not None:
            self.go_to(self.clock, self.clock.epoch_before())

    def action_next_fact(self) -> None:
        """Go on by one line of the log."""
        if self.clock is not None:
            self.hush()
            self.take(self.clock.next_fact())
            self.redraw()

    def action_jump(self, by: int) -> None:
        """Go to the next request that took effect, or alert; or to the one before."""
        if self.clock is None or self.whole is None:
            return
        now = self.clock.time
        times = [
            entry.time
            for entry in self.whole.timeline
            if isinstance(entry, Alert) or (isinstance(entry, Command) and entry.applied)
        ]
        wanted = [time for time in times if (time > now if by > 0 else time < now)]
        if wanted:
            self.go_to(self.clock, min(wanted) if by > 0 else max(wanted))
        else:
            self.say(f"There is no request and no alert {'after' if by > 0 else 'before'} this.")

    def action_faster(self) -> None:
        """Replay twice as fast."""
        self._change_speed(2.0)

    def action_slower(self) -> None:
        """Replay half as fast."""
        self._change_speed(0.5)

    def action_to_end(self) -> None:
        """Go to the end of the log."""
        if self.clock is not None:
            self.hush()
            self.take(self.clock.to_end())
            self.redraw()

    def go_to(self, clock: ReplayClock, time: float) -> None:
        """Have a replay go to a time of the log, and wait there."""
        clock.playing = False
        self.hush()
        if time < clock.time:
            # Facts cannot be taken back: they are folded anew.
            clock.to_start()
            self.state = RunState()
        self.take(clock.to_time(time))
        self.redraw()

    def take(self, events: list[AnyEvent]) -> None:
        """Fold what is new."""
        self.state.apply(events)
        self.steering.settle(self.state)

    def release(self) -> None:
        """Fold what the clock says is due."""
        assert self.clock is not None
        now = time.monotonic()
        seconds, self._released_at = now - self._released_at, now
        if events := self.clock.release(seconds):
            self.take(events)

    def _change_speed(self, factor: float) -> None:
        if self.clock is not None:
            self.hush()
            self.clock.change_speed(factor)
            self.redraw()
