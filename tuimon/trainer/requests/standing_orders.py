"""Gives, fires and cancels standing orders, in the training thread.

What an order does is a request of its own, which the controller takes as it takes those of people.
"""

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tuimon.numbers import count
from tuimon.protocol import commands, events, orders
from tuimon.protocol.orders import StandingOrder
from tuimon.runs.best import is_lower_better
from tuimon.runs.orders import Given
from tuimon.text import plain
from tuimon.trainer.requests.folder import Folder
from tuimon.trainer.requests.inbox import Received
from tuimon.trainer.requests.rejected import RejectedError
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.session.recorder import Recorder

MOST_STANDING = 1000
"""Orders that stand at the same time; of a config or a script there may be more."""
NEEDS_NO_STEP = (commands.Stop, commands.Checkpoint, commands.Note)
"""What an order does at the end of an epoch at once, since no step may follow; everything else waits for the step."""
_SHOWN = 8


class OwnRequest(Received):
    """A request that an order makes. It has no file."""

    def claim(self) -> bool:
        """Take the request: nobody can withdraw it."""
        return True

    def delete(self) -> None:
        """Leave the directory as it is."""


class StandingOrders:
    """The orders of one ``fit``. What they have seen is in `Recorder.orders`, which goes on to the next one.

    Args:
        recorder: Writes the facts, and knows the orders of the run.
        sampling: Knows the coming step.
        check: Raises `RejectedError` where a request can never be carried out.
        ask: Takes a request.
        unused: Returns an id that no answer has, made of one that might.
    """

    def __init__(
        self,
        recorder: Recorder,
        sampling: Sampling,
        *,
        check: Callable[[commands.AnyRequest], None],
        ask: Callable[[Received], None],
        unused: Callable[[str], str],
    ) -> None:
        self.is_between_epochs = False
        """True while orders fire at the end of a whole epoch."""
        self._recorder = recorder
        self._sampling = sampling
        self._check = check
        self._ask = ask
        self._unused = unused
        self._noted = set[int]()

    def begin(self, texts: Iterable[str]) -> None:
        """Give the orders of the script or the config, those that this run has not had yet.

        One that is there twice is given twice: a schedule freezes, unfreezes and freezes again before one step.
        """
        origin = "config" if self._recorder.config else "script"
        times = Counter[str]()
        for text in texts:
            try:
                order = orders.parse(text)
                times[spelled := orders.spell(order)] += 1
                if self._recorder.orders.times_given(spelled) < times[spelled]:
                    self._give(order, origin)
            except (RejectedError, ValueError) as error:
                told = plain(text, 300), f"it is not taken: {error}"
                # Each `fit` tries it anew, since its model may be another one.
                if told not in self._recorder.orders.refused:
                    self._recorder.record(events.OrderEnded(number=0, order=told[0], reason=told[1]))

    def give(self, text: str) -> str:
        """Take an order that somebody asked for; return details for the answer.

        Raises:
            RejectedError: It is no order, or one that cannot be.
        """
        if len(self._recorder.orders.standing) >= MOST_STANDING:
            raise RejectedError(f"{count(MOST_STANDING)} orders stand already")
        try:
            order = orders.parse(text)
        except ValueError as error:
            raise RejectedError(plain(str(error), 500)) from None
        return self._give(order, "request")

    def cancel(self, number: int) -> str:
        """Cancel an order, or all that stand for 0; return details for the answer.

        Raises:
            RejectedError: There is none.
        """
        standing = {given.number: given for given in self._recorder.orders.standing}
        if number and number not in standing:
            known = ", ".join(map(str, standing)) or "none"
            raise RejectedError(f"no order {number} stands; of those that do, the numbers are: {known}")
        cancelled = [standing[number]] if number else list(standing.values())
        for given in cancelled:
            self._end(given, "cancelled")
        if len(cancelled) == 1:
            return f"order {cancelled[0].number}: {plain(cancelled[0].text, 200)}"
        return f"{count(len(cancelled))} orders"

    def begin_epoch(self, epoch: int) -> None:
        """Note which orders are due before the first step of an epoch."""
        with self._dropping():
            self._recorder.orders.begin_epoch(epoch)

    def is_due(self) -> bool:
        """Return True if an order is due before the coming step."""
        try:
            return self._recorder.orders.is_due(self._sampling.coming_step)
        except Exception as error:  # noqa: BLE001 - an order must not end a training
            self._recorder.drop_orders(error)
            return False

    def obey(self) -> None:
        """Fire what is due before the coming step."""
        with self._dropping():
            self._recorder.orders.reach(self._sampling.coming_step)
            for given in self._recorder.orders.due:
                self._fire(given)

    def end_epoch(self, *, is_whole: bool) -> None:
        """Fire what is due at the end of an epoch, as far as it needs no step.

        Args:
            is_whole: Whether all steps of the epoch are made.
        """
        with self._dropping():
            self._note_unknown()
            self.is_between_epochs = is_whole
            for given in self._recorder.orders.due:
                if given.order is not None and isinstance(given.order.action, NEEDS_NO_STEP):
                    self._fire(given)
        self.is_between_epochs = False

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        """Let an error end the orders, and nothing else."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - an order must not end a training, nor what is said of it
            self._recorder.drop_orders(error)

    def _give(self, order: StandingOrder, origin: str) -> str:
        known, text = self._recorder.orders, orders.spell(order)
        if len(text) > orders.MOST_CHARACTERS:
            raise RejectedError(f"spelled out, it has more than {count(orders.MOST_CHARACTERS)} characters")
        self._check(order.action)
        detail = "; ".join(filter(None, (self._about_time(order), self._about_metric(order))))
        number = known.newest + 1
        self._recorder.record(events.OrderGiven(number=number, order=text, origin=origin, detail=detail))
        if isinstance(order.trigger, orders.AtEpoch):
            # It may be the one that has just begun.
            known.begin_epoch(self._recorder.epoch)
        return f"order {number}" + (f"; {detail}" if detail else "")

    def _about_time(self, order: StandingOrder) -> str:
        """Return what is worth saying about when an order is due.

        Raises:
            RejectedError: That is over.
        """
        made, epoch = max(self._recorder.step, self._sampling.coming_step), self._recorder.epoch + 1
        last = self._sampling.last_epoch
        match order.trigger:
            case orders.AtStep(step=step) if step < made:
                raise RejectedError(f"step {count(step)} is over: {count(made)} steps are made")
            case orders.AtEpoch(epoch=number) if number < epoch:
                raise RejectedError(f"epoch {count(number)} is over: this is epoch {count(epoch)}")
            case orders.AtEpoch(epoch=number) if number == epoch and made > self._sampling.epoch_first_step:
                raise RejectedError(f"epoch {count(number)} has begun; the next one is epoch {count(epoch + 1)}")
            case orders.AtEpoch(epoch=number) if last is not None and number > last:
                return f"this fit is to end with epoch {count(last)}, before that"
            case orders.After(unit="epochs") as after if last is not None and epoch + after.count - 1 > last:
                return f"this fit is to end with epoch {count(last)}, before that"
        return ""

    def _about_metric(self, order: StandingOrder) -> str:
        """Return what is worth saying about the metric of an order.

        Raises:
            RejectedError: It is known that there is none, or not known which value is better.
        """
        metric = order.metric
        if not metric:
            return ""
        known = self._known(metric)
        # Keras may validate after some epochs only.
        may_come = metric.startswith("val_") and not any(name.startswith("val_") for name in known)
        if known and metric not in known and not may_come:
            raise RejectedError(f"there is no metric {plain(metric, 60)!r}; there are {_listed(known)}")
        judges = isinstance(order.trigger, orders.Best | orders.Stall) and not order.trigger.better
        if judges and is_lower_better(metric) is None:
            words = "is better is not known: put min or max before the action"
            raise RejectedError(f"whether less or more {plain(metric, 60)!r} {words}")
        if metric in known:
            return ""
        return f"whether there is a metric {plain(metric, 60)} is not known yet"

    def _known(self, metric: str) -> list[str]:
        """Return the metrics of this kind that this ``fit`` has shown."""
        known = self._recorder.orders
        if metric.startswith(orders.OF_BATCH):
            return [f"{orders.OF_BATCH}{name}" for name in known.batch_names]
        return list(known.epoch_names)

    def _note_unknown(self) -> None:
        for given in self._recorder.orders.standing:
            metric = given.order.metric if given.order is not None else ""
            if metric and given.number not in self._noted and metric not in (known := self._known(metric)):
                self._noted.add(given.number)
                words = f"order {given.number} waits: no {plain(metric, 60)!r} has come so far; there are"
                self._recorder.note(f"{words} {_listed(known) or 'no metrics'}")

    def _fire(self, given: Given) -> None:
        """Make the request of an order. An error ends the order alone."""
        why, given.due = given.due, ""
        if given.order is None:
            return
        try:
            identity = self._unused(f"order-{given.number}-{self._recorder.attempt}-{len(given.firings) + 1}")
            self._recorder.record(
                events.OrderFired(
                    number=given.number, order=given.text, request=identity, why=why, stands=given.order.stands
                )
            )
            sender = events.Sender(
                uid=os.getuid(), user=f"order {given.number}", host=socket.gethostname(), pid=os.getpid()
            )
            request = commands.with_id(given.order.action, identity)
            self._ask(OwnRequest(Folder(self._recorder.run.path), identity, request, sender))
        except Exception as error:  # noqa: BLE001 - an order must not end a training
            self._end(given, f"dropped after an error of tuimon: {plain(repr(error), 300)}")

    def _end(self, given: Given, reason: str) -> None:
        self._recorder.record(events.OrderEnded(number=given.number, order=given.text, reason=reason))


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > _SHOWN else ""
    return ", ".join(plain(name, 60) for name in names[:_SHOWN]) + more
