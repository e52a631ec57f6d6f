"""What `tuimon wait` waits for, as people write it."""

import math
import operator
import re
from collections.abc import Callable, Iterable

from msgspec import Struct

from tuimon.errors import UsageError
from tuimon.numbers import count, figure
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs import facts_in_words
from tuimon.runs.state import RunState
from tuimon.text import plain

USAGE = "end, training, paused, alert, 'alert error', 'alert R5', 'epoch 20', 'step 5000', 'val_loss<0.3'"
"""All that can be waited for, by example."""
SEVERITIES = ("info", "warning", "error")
_COMPARISON = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|<|>)\s*(\S+)\s*")
_COUNTED = re.compile(r"(epoch|step) +(\d{1,15})")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Check = Callable[[events.AnyEvent, RunState], str]
"""Returns what is reached with a fact, in words; an empty text if nothing is."""


class Condition(Struct, frozen=True):
    """Something that a run reaches, or never does.

    Example:
        >>> fact = events.EpochEnded(logs={"val_loss": 0.25}, learning_rate=0.1, seconds=1.0, epoch=2)
        >>> Condition.parse("val_loss<0.3").reached([fact], RunState())
        'val_loss 0.25 < 0.3 at epoch 3'
    """

    words: str
    """As it was written."""
    check: Check | None
    """Says of a fact whether it is reached; None: the end of the run."""

    @classmethod
    def parse(cls, words: str) -> "Condition":
        """Return what the words say.

        Raises:
            UsageError: They say nothing that can be waited for.
        """
        text = " ".join(words.split())
        if text == "end":
            return cls(text, None)
        if text in ("training", "paused"):
            return cls(text, _state(text))
        if match := _COUNTED.fullmatch(text):
            return cls(text, _epochs(int(match[2])) if match[1] == "epoch" else _steps(int(match[2])))
        if text == "alert" or text.startswith("alert "):
            return cls(text, _alert(text.removeprefix("alert").strip()))
        if match := _COMPARISON.fullmatch(text):
            return cls(text, _metric(match[1], match[2], match[3]))
        raise UsageError(f"--until {plain(text, 100)}: that is nothing to wait for; there are {USAGE}")

    def reached(self, new: Iterable[events.AnyEvent], state: RunState) -> str:
        """Return what of new facts reaches it, in words; an empty text if none does.

        Args:
            new: The facts.
            state: What the log adds up to, these facts included.
        """
        if self.check is None:
            return ""
        return next((said for event in new if (said := self.check(event, state))), "")


def _state(name: str) -> Check:
    def check(event: events.AnyEvent, state: RunState) -> str:
        del state
        is_it = isinstance(event, events.StateChanged) and event.state == name
        return f"{name} at step {count(event.step)}" if is_it else ""

    return check


def _epochs(number: int) -> Check:
    def check(event: events.AnyEvent, state: RunState) -> str:
        del state
        if isinstance(event, events.EpochEnded) and event.epoch + 1 >= number:
            return f"epoch {count(event.epoch + 1)} ended at step {count(event.step)}"
        return ""

    return check


def _steps(number: int) -> Check:
    def check(event: events.AnyEvent, state: RunState) -> str:
        del state
        return f"step {count(event.step)}" if event.step >= number else ""

    return check


def _alert(which: str) -> Check:
    is_rule = re.fullmatch(r"[rR]\d{1,3}", which) is not None
    if which and not is_rule and which not in SEVERITIES:
        severities = ", ".join(SEVERITIES)
        raise UsageError(f"--until alert {plain(which, 60)}: expected one of {severities}, or a rule such as R5")
    least = SEVERITIES.index(which) if which in SEVERITIES else SEVERITIES.index("warning")

    def check(event: events.AnyEvent, state: RunState) -> str:
        if not isinstance(event, events.Alert):
            return ""
        severity = SEVERITIES.index(event.severity) if event.severity in SEVERITIES else least
        is_it = event.rule == which.upper() if is_rule else severity >= least
        return f"step {count(event.step)}: {facts_in_words.of(event, state)}" if is_it else ""

    return check


def _metric(name: str, sign: str, written: str) -> Check:
    try:
        wanted = float(written)
    except ValueError:
        wanted = math.nan
    if math.isnan(wanted):
        raise UsageError(f"--until {plain(name, 60)}{sign}{plain(written, 60)}: expected a number after {sign}")

    def check(event: events.AnyEvent, state: RunState) -> str:
        del state
        if not isinstance(event, events.EpochEnded) or name not in event.logs:
            return ""
        value = from_wire(event.logs[name])
        if not _OPERATORS[sign](value, wanted):
            return ""
        return f"{plain(name, 60)} {figure(value)} {sign} {figure(wanted)} at epoch {count(event.epoch + 1)}"

    return check
