"""What a log of TensorBoard holds beside scalars: histograms become curves, texts are kept, all else is counted."""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct, field

from tuimon.foreign import histograms
from tuimon.foreign.curves import Curve, Text
from tuimon.foreign.events import Event, Value
from tuimon.foreign.limits import LAST_STEP, possible_time

MOST_TEXTS = 1000
"""So many texts of a log are kept."""
LONGEST_TEXT = 2000
"""So many characters of one."""


class Beside(Struct):
    """What some records hold beside scalars."""

    histograms: dict[str, Curve] = field(default_factory=dict)
    """What histograms tell, by tag and number: "layer/kernel/p50"."""
    texts: list[tuple[str, Text]] = field(default_factory=list)
    """Texts with their tags."""
    left_out: list[str] = field(default_factory=list)
    """Of each thing that has no place in tuimon, its kind."""


def read(found: Iterable[Event], before: int, longest: int = LONGEST_TEXT) -> Beside:
    """Read what records hold beside scalars.

    Args:
        found: The records, in the order of the file.
        before: How many texts are there before.
        longest: How many characters of a text are kept.
    """
    beside = Beside()
    rows: dict[str, list[tuple[int, float, float]]] = {}
    for event in found:
        beside.left_out += event.others
        time = possible_time(event.time)
        for value in event.values:
            if value.kind == "histogram" and 0 <= event.step <= LAST_STEP:
                for name, number in histograms.summary(value.numbers).items():
                    rows.setdefault(f"{value.tag}/{name}", []).append((event.step, number, time))
            elif _is_text(value) and before + len(beside.texts) < MOST_TEXTS:
                text = Text(min(max(event.step, 0), LAST_STEP), time, value.text[:longest])
                beside.texts.append((value.tag, text))
            elif value.kind != "scalar":
                beside.left_out.append(value.plugin or "values of another kind")
    for tag, listed in rows.items():
        steps, numbers, times = zip(*listed, strict=True)
        curve = beside.histograms[tag] = Curve()
        curve.add(np.array(steps), np.array(numbers), np.array(times))
    return beside


def _is_text(value: Value) -> bool:
    return value.kind == "text" and value.plugin in ("", "text")
