"""Numbers as charts and pages write them: all of `tuimon.numbers`."""

from tuimon.numbers import count as count
from tuimon.numbers import duration as duration
from tuimon.numbers import figure as figure
from tuimon.numbers import learning_rate as learning_rate
from tuimon.numbers import number as negative
from tuimon.numbers import number as number
from tuimon.numbers import percent as percent
from tuimon.numbers import portion as portion
from tuimon.numbers import signed as signed
from tuimon.numbers import span as span
from tuimon.numbers import tick as tick

__all__ = (
    "count",
    "duration",
    "figure",
    "learning_rate",
    "negative",
    "number",
    "percent",
    "portion",
    "signed",
    "span",
    "tick",
)
