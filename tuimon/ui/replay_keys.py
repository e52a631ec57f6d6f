"""The keys of a replay: they move it through the log, and change its speed."""

import math

from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.viewer import Viewer


class ReplayKeys:
    """Moves a replay through the log, and changes its speed.

    Args:
        viewer: Shows the replay.
        clock: The time of the replay.
    """

    def __init__(self, viewer: Viewer, clock: ReplayClock) -> None:
        self._viewer = viewer
        self._clock = clock
        self._wanted: float | None = None
        """The time to show next, Unix seconds of the log; None where it is shown."""

    def replay(self, name: str, by: float = 1) -> None:
        """Do what a key does; a step along the log is made by `follow`.

        Args:
            name: What `replay` is given in the table of keys.
            by: How many steps; for `to`, the time to go to, Unix seconds of the log.

        Raises:
            ValueError: no key does this.
        """
        viewer, clock = self._viewer, self._clock
        if name == "play":
            viewer.toggle_playing()
            return
        viewer.hush()
        here, step = clock.time if self._wanted is None else self._wanted, clock.step_seconds
        sought = {"on": here + by * step, "back": here - by * step, "to": by, "to_start": -math.inf}
        if name in sought:
            self._wanted = clock.within(sought[name])
            return
        self.follow()
        match name:
            case "next_epoch":
                viewer.fold(clock.next_epoch())
            case "epoch_before":
                viewer.go_to(clock.epoch_before())
            case "next_fact":
                viewer.fold(clock.next_fact())
            case "next_event":
                self._go_to_event(clock.next_event(), "after", "{ goes back to one" if clock.event_before() else "")
            case "event_before":
                self._go_to_event(clock.event_before(), "before", "} goes on to one" if clock.next_event() else "")
            case "faster":
                clock.change_speed(2.0)
            case "slower":
                clock.change_speed(0.5)
            case "to_end":
                viewer.fold(clock.to_end())
            case _:
                raise ValueError(f"no key of a replay does this: {name}")

    def follow(self) -> None:
        """Show the time that the steps have led to. Several steps cost no more than one."""
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            # At the end of the log nothing plays, and nothing does after a step back from there.
            playing = self._clock.position.playing
            self._viewer.go_to(wanted)
            self._clock.playing = playing

    def _go_to_event(self, time: float | None, where: str, other_way: str) -> None:
        if time is None:
            words = f"There is no request and no alert {where} this"
            self._viewer.say(f"{words}; {other_way}." if other_way else f"{words}.")
        else:
            self._viewer.go_to(time)
