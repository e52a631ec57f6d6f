"""Types of the table of keys: a key with its action, a group of keys, the names of screens."""

from collections.abc import Iterator
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from tuimon.ui.viewer.moment import Moment

ScreenName = Literal["dashboard", "metrics", "layers", "timeline", "log", "system", "run", "compare"]
"""The name of a full screen."""
SCREEN_NAMES: tuple[ScreenName, ...] = get_args(ScreenName)
"""The screens in the order of their keys: 1, 2, …"""
SEARCHED: tuple[ScreenName, ...] = ("timeline", "log")
"""The screens that are searched."""
SCROLLED: tuple[ScreenName, ...] = ("timeline", "log", "run")
"""The screens that are scrolled line by line."""
Needs = Literal["always", "steering", "replay", "tabs", "alerts", "other run"]
"""When keys do anything.

- ``always``: at any time.
- ``steering``: in a run that takes requests.
- ``replay``: in a replay.
- ``tabs``: once there is something to draw in charts.
- ``alerts``: once there is an alert.
- ``other run``: once another run has begun.
"""


class Key(Struct, frozen=True, kw_only=True):
    """A key and what it does."""

    keys: str
    """The names that Textual has for the key and for others that do the same, with commas between."""
    action: str
    """What the key does, as Textual writes it: an action of the app, or with a namespace in front."""
    shown: str = ""
    """The key as it is shown; empty: as Textual names it."""
    label: str = ""
    """What it does, in a word or two; empty for keys that the footer does not name."""
    help: str
    """What it does, in a sentence."""
    needs: Needs = "always"
    """When the key does anything; its group says so."""
    request: str = ""
    """The request that the key leads to, by its name on the wire; empty: none."""
    rank: int = 0
    """If the footer has no room for all keys, it leaves out those of the highest rank first."""
    screens: tuple[ScreenName, ...] = ()
    """The screens on which the key does this; empty: those of its group."""
    of_batch_norm: bool = False
    """True for a key that does nothing in a model without BatchNormalization layers."""
    also: str = ""
    """Further words by which the key is found."""
    is_own: bool = False
    """True for the keys of a single screen; its group says so."""

    @property
    def full_action(self) -> str:
        """The action, with its namespace."""
        return self.action if "." in self.action.partition("(")[0] else f"app.{self.action}"

    def is_useful(self, moment: Moment) -> bool:
        """Return whether the key does anything in a moment."""
        if self.of_batch_norm and moment.state.model is not None and not moment.layers:
            return False
        match self.needs:
            case "steering":
                return not moment.refusal
            case "replay":
                return moment.replay is not None
            case "tabs":
                return moment.has_facts
            case "alerts":
                return bool(moment.state.alerts)
            case "other run":
                return bool(moment.other_run)
        # Where there are no such layers, it selects those of the gradients.
        return self.label != "select" or len(moment.layers) != 1


class KeyGroup(Struct, frozen=True):
    """Keys that belong together."""

    name: str
    """What the keys are for."""
    keys: tuple[Key, ...]
    """The keys, in the order in which they are listed."""
    needs: Needs = "always"
    """When the keys do anything."""
    screens: tuple[ScreenName, ...] = ()
    """The screens that have the keys; empty: all screens."""
    is_own: bool = False
    """True where the keys are what a screen is for: its footer has them before those that all screens have."""

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys, each with all that its group says."""
        for key in self.keys:
            yield replace(
                key,
                shown=key.shown or key.keys.partition(",")[0],
                needs=self.needs,
                screens=key.screens or self.screens,
                is_own=self.is_own,
            )


def all_but(*screens: ScreenName) -> tuple[ScreenName, ...]:
    """Return the screens that are not among these."""
    return tuple(screen for screen in SCREEN_NAMES if screen not in screens)
