"""Standing orders: one small grammar, read and spelled here.

    when nan ACTION                     on best METRIC ACTION
    when METRIC stalls N ACTION         at epoch N ACTION
    when METRIC > X ACTION              at step N ACTION
    ACTION after N epochs               ACTION

An ACTION is a request, as `tuimon send` calls it. ``docs/orders.md`` has all of them.
"""

import math
import shlex
from typing import Literal

import msgspec

from tuimon.numbers import setting
from tuimon.protocol import commands, order_actions
from tuimon.protocol.order_actions import whole

MOST_CHARACTERS = 2000
"""Length of an order."""
OF_BATCH = "batch/"
"""Begins the name of a metric of single batches; without it, the metric is that of an epoch."""
SIGNS = (">", "<", ">=", "<=")

Sign = Literal[">", "<", ">=", "<="]
Unit = Literal["epochs", "steps"]
Better = Literal["", "min", "max"]
"""Whether less or more is better, as Keras' callbacks call it; empty: the metric's name says it."""


class Now(msgspec.Struct, frozen=True):
    """At once, once: before the next step."""


class Nan(msgspec.Struct, frozen=True):
    """Each time a loss or a metric begins not to be finite, in a batch or at the end of an epoch."""


class Bound(msgspec.Struct, frozen=True):
    """Each time a metric crosses a bound."""

    metric: str
    """The metric of an epoch; of single batches with `OF_BATCH` before it."""
    sign: Sign
    """On which side of the value the order fires."""
    value: float
    """The bound."""


class Stall(msgspec.Struct, frozen=True):
    """Each time so many epochs ended without a better value of a metric."""

    metric: str
    """The metric of an epoch."""
    epochs: int
    """How many, at least 1."""
    better: Better = ""
    """Which value is better."""


class Best(msgspec.Struct, frozen=True):
    """At the end of each epoch whose value of a metric is better than those before."""

    metric: str
    """The metric of an epoch."""
    better: Better = ""
    """Which value is better."""


class AtEpoch(msgspec.Struct, frozen=True):
    """Once, before the first step of an epoch."""

    epoch: int
    """Its number, counted from 1, as people are shown it."""


class AtStep(msgspec.Struct, frozen=True):
    """Once, when so many steps of the run are completed, before the next one."""

    step: int
    """How many; 0: before the first."""


class After(msgspec.Struct, frozen=True):
    """Once, when so many further epochs have ended, or so many further steps are completed."""

    count: int
    """How many, at least 1. An epoch that is under way counts as one."""
    unit: Unit
    """What is counted."""


Trigger = Now | Nan | Bound | Stall | Best | AtEpoch | AtStep | After
"""When an order fires."""
ONCE = (Now, AtEpoch, AtStep, After)
"""Triggers whose order is done when it has fired."""


class StandingOrder(msgspec.Struct, frozen=True):
    """What is to be done, and when."""

    trigger: Trigger
    """When."""
    action: commands.AnyRequest
    """The request that it makes."""

    @property
    def stands(self) -> bool:
        """Whether it goes on standing when it has fired."""
        return not isinstance(self.trigger, ONCE)

    @property
    def metric(self) -> str:
        """The metric that it waits for; empty: none."""
        return getattr(self.trigger, "metric", "")


def parse(text: str) -> StandingOrder:
    """Return the order that a text means.

    Raises:
        ValueError: It is none; the message names the word.

    Example:
        >>> parse("at step 5000 lr 1e-4").trigger, parse("pause after 5 epochs").trigger
        (AtStep(step=5000), After(count=5, unit='epochs'))
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"an order has at most {MOST_CHARACTERS:,} characters")
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("a quotation mark is not closed, or a backslash ends the order") from None
    if not words:
        raise ValueError('expected an order, such as "when nan stop"')
    first, rest = words[0], words[1:]
    if first == "when":
        trigger, left = _when(rest)
    elif first == "at":
        trigger, left = _at(rest)
    elif first == "on":
        trigger, left = _on(rest)
    elif len(words) > 3 and words[-3] == "after" and (unit := _unit(words[-1])):
        trigger = After(whole(words[-2], "after", least=1), unit)
        left = words[:-3]
    else:
        trigger, left = Now(), words
    if not left:
        raise ValueError(f"after {text.strip()!r} an action is missing, such as pause")
    return StandingOrder(trigger, order_actions.read(left))


def spell(order: StandingOrder) -> str:
    """Return an order as `parse` reads it.

    Example:
        >>> spell(parse("at   epoch 20 freeze 'bn_1'"))
        'at epoch 20 freeze bn_1'
    """
    trigger, action = order.trigger, shlex.join(order_actions.spell(order.action))
    match trigger:
        case Now():
            return action
        case Nan():
            return f"when nan {action}"
        case Bound():
            return f"when {shlex.quote(trigger.metric)} {trigger.sign} {trigger.value!r} {action}"
        case Stall():
            return f"when {shlex.quote(trigger.metric)} stalls {trigger.epochs} {_and_blank(trigger.better)}{action}"
        case Best():
            return f"on best {shlex.quote(trigger.metric)} {_and_blank(trigger.better)}{action}"
        case AtEpoch():
            return f"at epoch {trigger.epoch} {action}"
        case AtStep():
            return f"at step {trigger.step} {action}"
        case After():
            return f"{action} after {trigger.count} {trigger.unit}"


def describe(order: StandingOrder) -> str:
    """Return the effect of an order in words for people, without a full stop.

    Example:
        >>> describe(parse("when val_loss stalls 10 pause"))
        'each time val_loss has not become better for 10 epochs: pause'
    """
    return f"{_when_in_words(order.trigger)}: {commands.describe(order.action)}"


def _when_in_words(trigger: Trigger) -> str:
    match trigger:
        case Now():
            return "before the next step"
        case Nan():
            return "each time a loss or a metric begins to be nan or infinite"
        case Bound():
            of_batch = trigger.metric.startswith(OF_BATCH)
            name, where = trigger.metric.removeprefix(OF_BATCH), "of a batch" if of_batch else "of an epoch"
            return f"each time {name} {where} comes to be {trigger.sign} {setting(trigger.value)}"
        case Stall():
            epochs = "an epoch" if trigger.epochs == 1 else f"{trigger.epochs:,} epochs"
            return f"each time {trigger.metric} has not become better for {epochs}"
        case Best():
            return f"after each epoch with the best {trigger.metric} so far"
        case AtEpoch():
            return f"once, before the first step of epoch {trigger.epoch:,}"
        case AtStep():
            return f"once, when {trigger.step:,} step{'' if trigger.step == 1 else 's'} of the run are made"
        case After():
            return f"once, after {trigger.count:,} more {trigger.unit.removesuffix('s' if trigger.count == 1 else '')}"


def _unit(word: str) -> Unit | None:
    return {"epoch": "epochs", "epochs": "epochs", "step": "steps", "steps": "steps"}.get(word)  # type: ignore[return-value]


def _when(words: list[str]) -> tuple[Trigger, list[str]]:
    if not words:
        raise ValueError("after 'when' expected nan, or a metric")
    metric, rest = words[0], words[1:]
    if metric == "nan" and rest[:1] != ["stalls"] and not (rest and rest[0] in SIGNS):
        return Nan(), rest
    if not rest:
        raise ValueError(f"after {metric!r} expected stalls, or one of {' '.join(SIGNS)}")
    word, rest = rest[0], rest[1:]
    if word == "stalls":
        if metric.startswith(OF_BATCH):
            raise ValueError(f"{metric!r} is of single batches; stalls counts epochs")
        number = whole(rest[0] if rest else "", "stalls", least=1)
        # "when val_loss stalls 10 epochs pause" is what people say as well; "epochs 120" is a request.
        if rest[1:2] == ["epochs"] and not (rest[2:3] and rest[2].isdecimal()):
            rest = rest[1:]
        better, left = _better(rest[1:])
        return Stall(metric, number, better), left
    for sign in (">=", "<=", ">", "<"):
        if word == sign:
            return Bound(metric, sign, _number(rest[0] if rest else "", sign)), rest[1:]
    raise ValueError(f"after {metric!r} expected stalls, or one of {' '.join(SIGNS)}; received {word!r}")


def _at(words: list[str]) -> tuple[Trigger, list[str]]:
    kind = words[0] if words else ""
    number = words[1] if len(words) > 1 else ""
    if kind == "epoch":
        return AtEpoch(whole(number, "at epoch", least=1)), words[2:]
    if kind == "step":
        return AtStep(whole(number, "at step", least=0)), words[2:]
    raise ValueError(f"after 'at' expected epoch or step{f'; received {kind!r}' if kind else ''}")


def _on(words: list[str]) -> tuple[Trigger, list[str]]:
    if words[:1] != ["best"]:
        raise ValueError(f"after 'on' expected best{f'; received {words[0]!r}' if words else ''}")
    if len(words) < 2:
        raise ValueError("after 'on best' expected a metric")
    metric = words[1]
    if metric.startswith(OF_BATCH):
        raise ValueError(f"{metric!r} is of single batches; on best looks at epochs")
    better, left = _better(words[2:])
    return Best(metric, better), left


def _better(words: list[str]) -> tuple[Better, list[str]]:
    for better in ("min", "max"):
        if words[:1] == [better]:
            return better, words[1:]
    return "", words


def _and_blank(word: str) -> str:
    return f"{word} " if word else ""


def _number(word: str, after: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"after {after!r} expected a number{f'; received {word!r}' if word else ''}")
    return number
