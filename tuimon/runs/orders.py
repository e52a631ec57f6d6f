"""The standing orders of a run, as its facts tell: which stand, what they have seen, which are due.

Pure: trainer, screens and replay fold the same facts. Only the trainer acts on what is due.
"""

import math
import operator
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable

from msgspec import Struct, field

from tuimon.numbers import count, figure
from tuimon.protocol import events, orders
from tuimon.protocol.orders import StandingOrder
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs.best import is_lower_better

MOST_VALUES = 20_000
"""Epochs of a metric that are remembered, the newest."""
MOST_IN_EPOCH = 3
"""How often an order fires in one epoch: a rollback may lead to the same nan again and again."""
KINDS = (
    events.Batches,
    events.StateChanged,
    events.EpochEnded,
    events.RolledBack,
    events.RunResumed,
    events.FitStarted,
    events.OrderGiven,
    events.OrderFired,
    events.OrderEnded,
)
"""The facts that `Orders.add` needs; all others change nothing."""
_OF_ONE_FIT = (orders.Nan, orders.Bound, orders.Stall, orders.Best, orders.AtEpoch)
"""Triggers that have come about in one ``fit``, and mean nothing to the next one."""
_COMPARED: dict[orders.Sign, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


class Given(Struct):
    """One order of a run."""

    number: int
    """1, 2, 3, …"""
    text: str
    """The order, as it is spelled."""
    origin: str
    """Where it comes from."""
    order: StandingOrder | None
    """What it means; None: a later version knows."""
    step: int
    """The step at which it was given; 0: before training."""
    firings: list[events.OrderFired] = field(default_factory=list)
    """When it fired; what a resumption has undone is not in it."""
    places: list[int] = field(default_factory=list)
    """The place of each firing among the facts."""
    ended: str = ""
    """Why it does not stand any more; empty while it does, and of one that is done."""
    due: str = ""
    """What has come about, in words; empty: nothing."""
    is_so: bool = False
    """Whether its condition was met when it was last looked at."""
    at_step: int | None = None
    """The step at which it is due; None: no step is."""

    @property
    def stands(self) -> bool:
        """Whether it stands."""
        is_done = bool(self.firings) and not self.firings[-1].stands
        return not self.ended and not is_done

    @property
    def words(self) -> str:
        """How it stands, in a few words."""
        if self.ended:
            return self.ended
        if not self.firings:
            return "stands" if self.stands else "done"
        times = f"fired {count(len(self.firings))} times, last" if len(self.firings) > 1 else "fired"
        how = f"{times} at step {count(self.firings[-1].step)}"
        return f"stands, {how}" if self.stands else how


class Orders:
    """The orders of a run, in the order in which they were given.

    Args:
        dropped: Orders after which these begin: with further numbers, and without those that were given.

    Example:
        >>> known = Orders()
        >>> known.add(events.OrderGiven(number=1, order="on best val_loss checkpoint", origin="request"))
        >>> known.add(events.EpochEnded(logs={"val_loss": 0.5}, learning_rate=0.1, seconds=1.0, step=4))
        >>> [order.due for order in known.due]
        ['val_loss 0.5 is the best so far']
    """

    def __init__(self, dropped: "Orders | None" = None) -> None:
        self.all: dict[int, Given] = {}
        """All orders by number."""
        self.newest: int = dropped.newest if dropped else 0
        """The highest number."""
        self.refused: set[tuple[str, str]] = dropped.refused if dropped else set()
        """Texts of the script or the config that were not taken, each with the reason."""
        self.epoch_names: dict[str, None] = {}
        """The metrics of this `fit`'s epochs so far."""
        self.batch_names: dict[str, None] = {}
        """The metrics of its batches so far."""
        self._values: dict[str, list[tuple[int, float]]] = {}
        self._ends: list[int] = []
        self._place = 0
        self._fit_place = 0
        self._captured: dict[int, int] = {}
        self._times: Counter[str] = dropped._times if dropped else Counter()
        # Of all that stand; worked out when it is asked for, since there may be thousands.
        self._is_planned = self._looks_at_batches = self._has_due = False
        self._next_step: float = math.inf

    @property
    def standing(self) -> list[Given]:
        """Those that stand."""
        return [given for given in self.all.values() if given.stands]

    @property
    def due(self) -> list[Given]:
        """Those whose condition has come about since they last fired."""
        return [given for given in self.standing if given.due]

    @property
    def next_step(self) -> float:
        """The first step at which an order is due."""
        self._plan()
        return self._next_step

    def is_due(self, step: int) -> bool:
        """Return True if an order is due before the step after so many; called before each step."""
        return step >= self.next_step or self._has_due

    def times_given(self, text: str) -> int:
        """Return how many orders of this spelling the script or the config gave, whatever became of them."""
        return self._times[text]

    def add(self, event: events.AnyEvent) -> None:
        """Take a fact into account, in the order of the log; most facts change nothing."""
        self._place += 1
        match event:
            case events.Batches():
                # The same names come thousands of times.
                for found in (event.metrics, event.running):
                    if not found.keys() <= self.batch_names.keys():
                        self.batch_names.update(dict.fromkeys(found))
                self._plan()
                if not self._looks_at_batches:
                    return
                self._look_at_batches(event)
            case events.StateChanged():
                if event.state == "checkpointing":
                    # What a checkpoint holds is copied here; the fact that it is saved comes later.
                    self._captured[event.step] = self._place
                return
            case events.EpochEnded():
                self._end_epoch(event)
            case events.RolledBack() | events.RunResumed():
                self._go_back(event)
            case events.FitStarted():
                self._begin_fit()
            case events.OrderGiven() | events.OrderFired() | events.OrderEnded():
                self._hear(event)
            case _:
                return
        self._is_planned = False

    def begin_epoch(self, epoch: int) -> None:
        """Note which orders are due as an epoch begins, counted from 0. For the trainer: no fact tells of it."""
        for given in self.standing:
            if given.order is not None and given.order.trigger == orders.AtEpoch(epoch + 1):
                given.due = f"epoch {count(epoch + 1)} begins"
        self._is_planned = False

    def reach(self, step: int) -> None:
        """Note which orders are due when so many steps are completed. For the trainer."""
        for given in self.standing:
            if given.at_step is not None and step >= given.at_step:
                given.due = f"{count(step)} step{' is' if step == 1 else 's are'} made"
        self._is_planned = False

    def _hear(self, event: events.OrderGiven | events.OrderFired | events.OrderEnded) -> None:
        if isinstance(event, events.OrderGiven):
            self.newest = max(self.newest, event.number)
            self.all[event.number] = _given(event)
            self._times[event.order] += event.origin != "request"
        elif isinstance(event, events.OrderEnded) and not event.number:
            self.refused.add((event.order, event.reason))
        elif (given := self.all.get(event.number)) is not None:
            given.due = ""
            if isinstance(event, events.OrderEnded):
                given.ended = event.reason
            else:
                given.firings.append(event)
                given.places.append(self._place)

    def _begin_fit(self) -> None:
        """Look at each ``fit`` anew: what came about at the end of the one before had its chance."""
        self.epoch_names, self.batch_names = {}, {}
        self._fit_place = self._place
        for given in self.standing:
            given.is_so = False
            if given.order is not None and isinstance(given.order.trigger, _OF_ONE_FIT):
                given.due = ""

    def _plan(self) -> None:
        if self._is_planned:
            return
        standing, self._is_planned = self.standing, True
        self._has_due = any(each.due for each in standing)
        self._next_step = min((each.at_step for each in standing if each.at_step is not None), default=math.inf)
        self._looks_at_batches = any(_is_of_batches(each.order) for each in standing)

    def _look_at_batches(self, event: events.Batches) -> None:
        values = event.metrics | {name: [value] for name, value in event.running.items()}
        for given in self.standing:
            trigger = given.order.trigger if given.order else None
            if isinstance(trigger, orders.Nan):
                self._become(given, event.epoch, _not_finite(values, event.first_step))
            elif isinstance(trigger, orders.Bound) and trigger.metric.startswith(orders.OF_BATCH):
                column = values.get(trigger.metric.removeprefix(orders.OF_BATCH))
                if column:
                    self._become(given, event.epoch, _beyond(trigger, column, event.first_step))

    def _end_epoch(self, event: events.EpochEnded) -> None:
        self._ends.append(event.step)
        self.epoch_names.update(dict.fromkeys(event.logs))
        for name, value in event.logs.items():
            column = self._values.setdefault(name, [])
            column.append((event.step, from_wire(value)))
            del column[:-MOST_VALUES]
        for given in self.standing:
            trigger = given.order.trigger if given.order else None
            match trigger:
                case orders.Nan():
                    if words := _not_finite({name: [value] for name, value in event.logs.items()}, None):
                        self._become(given, event.epoch, words)
                case orders.Bound() if trigger.metric in event.logs:
                    self._become(given, event.epoch, _beyond(trigger, [event.logs[trigger.metric]], None))
                case orders.Stall() if trigger.metric in event.logs:
                    given.due = given.due or self._stalls(given, trigger)
                case orders.Best() if trigger.metric in event.logs:
                    given.due = self._is_best(trigger)
                case orders.After(unit="epochs"):
                    ended = len(self._ends) - bisect_right(self._ends, given.step)
                    if ended >= trigger.count:
                        given.due = f"{count(ended)} epoch{'' if ended == 1 else 's'} ended since it was given"

    def _become(self, given: Given, epoch: int, words: str) -> None:
        """Note whether a condition is met; it fires when it begins to be."""
        was_so, given.is_so = given.is_so, bool(words)
        # The next `fit` counts its epochs anew.
        newest = zip(given.firings[-MOST_IN_EPOCH:], given.places[-MOST_IN_EPOCH:], strict=True)
        in_epoch = sum(fired.epoch == epoch and place > self._fit_place for fired, place in newest)
        if words and not was_so and in_epoch < MOST_IN_EPOCH:
            given.due = words

    def _stalls(self, given: Given, trigger: orders.Stall) -> str:
        values = self._values[trigger.metric]
        best, steps = _best(values, _is_lower_better(trigger)), [step for step, _ in values]
        anchor = max([given.step, *(fired.step for fired in given.firings)])
        waited = len(values) - bisect_right(steps, anchor)
        since = len(values) if best is None else len(values) - 1 - best
        # The values are without those that a rollback has undone.
        if since < trigger.epochs or waited < trigger.epochs:
            return ""
        shown = "" if best is None else f": the best is {figure(values[best][1])}"
        return f"{trigger.metric} has not become better for {count(since)} epoch{'' if since == 1 else 's'}{shown}"

    def _is_best(self, trigger: orders.Best) -> str:
        values = self._values[trigger.metric]
        is_best = _best(values, _is_lower_better(trigger)) == len(values) - 1
        return f"{trigger.metric} {figure(values[-1][1])} is the best so far" if is_best else ""

    def _go_back(self, event: events.RolledBack | events.RunResumed) -> None:
        """Forget the values that are undone. A resumption also undoes what orders did after its checkpoint."""
        for name, column in self._values.items():
            self._values[name] = [entry for entry in column if entry[0] <= event.to_step]
        if isinstance(event, events.RolledBack):
            for given in self.standing:
                given.is_so = False
            return
        self._ends = [step for step in self._ends if step <= event.to_step]
        for given in self.all.values():
            given.due, given.is_so = "", False
            # Before the same step, an order may have fired before the checkpoint was made, or after it.
            before = self._captured.get(event.to_step, self._place)
            kept = sum(
                fired.step < event.to_step or (fired.step == event.to_step and place < before)
                for fired, place in zip(given.firings, given.places, strict=True)
            )
            undone = len(given.firings) > kept
            del given.firings[kept:], given.places[kept:]
            if undone and given.at_step is not None:
                # Steps are counted on, so the same distance from the checkpoint has another number.
                given.at_step += max(0, event.step - event.to_step)


def _best(values: list[tuple[int, float]], is_lower: bool) -> int | None:
    """Return the index of the first best finite value; None if there is none."""
    finite = [index for index, (_, value) in enumerate(values) if math.isfinite(value)]
    sign = 1 if is_lower else -1
    return min(finite, key=lambda index: sign * values[index][1], default=None)


def _is_lower_better(trigger: orders.Stall | orders.Best) -> bool:
    return trigger.better == "min" if trigger.better else is_lower_better(trigger.metric) is not False


def _given(event: events.OrderGiven) -> Given:
    try:
        order = orders.parse(event.order)
    except ValueError:
        order = None
    given = Given(event.number, event.order, event.origin, order, event.step)
    match order.trigger if order else None:
        case orders.Now():
            given.due = "at once"
        case orders.AtStep(step=step):
            given.at_step = step
        case orders.After(count=steps, unit="steps"):
            given.at_step = event.step + steps
    return given


def _is_of_batches(order: StandingOrder | None) -> bool:
    return order is not None and (isinstance(order.trigger, orders.Nan) or order.metric.startswith(orders.OF_BATCH))


def _not_finite(values: dict[str, list[Number]], first_step: int | None) -> str:
    """Return which metric is not finite, in words; empty if all are. What is missing is no nan."""
    for name, column in values.items():
        for index, value in enumerate(column):
            if value is not None and not math.isfinite(from_wire(value)):
                return f"{name} is {value}{_where(first_step, index)}"
    return ""


def _beyond(trigger: orders.Bound, column: list[Number], first_step: int | None) -> str:
    name, is_beyond = trigger.metric.removeprefix(orders.OF_BATCH), _COMPARED[trigger.sign]
    for index, value in enumerate(column):
        there = from_wire(value)
        if is_beyond(there, trigger.value):
            return f"{name} {figure(value)} is {trigger.sign} {figure(trigger.value)}{_where(first_step, index)}"
    return ""


def _where(first_step: int | None, index: int) -> str:
    return "" if first_step is None else f" in step {count(first_step + index)}"
