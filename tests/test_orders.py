"""What standing orders have seen, from facts alone: when they are due, and what a rollback or a resumption undoes."""

from helpers import fold
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs import facts_in_words
from tuimon.runs.orders import Given, Orders
from tuimon.runs.state import RunState


class Course:
    """A run, fact by fact; an order fires as soon as it is due, as the trainer does it."""

    def __init__(self, *texts: str) -> None:
        self.orders, self.step, self.epoch = Orders(), 0, 0
        self.fired: list[tuple[int, int]] = []
        for number, text in enumerate(texts, 1):
            self.add(events.OrderGiven(number=number, order=text, origin="script"))

    def add(self, event: events.AnyEvent) -> None:
        event.step, event.epoch = event.step or self.step, self.epoch
        self.orders.add(event)

    def obey(self) -> None:
        self.orders.reach(self.step)
        for given in self.orders.due:
            assert given.order is not None
            self.fired.append((given.number, self.step))
            stands = given.order.stands
            self.add(events.OrderFired(number=given.number, order="", request="x", why=given.due, stands=stands))

    def batches(self, *losses: Number) -> None:
        """Make a step for each loss, and read them at once."""
        self.obey()
        first, self.step = self.step, self.step + len(losses)
        self.add(events.Batches(first_step=first, metrics={"loss": list(losses)}, batches=len(losses)))
        self.obey()

    def epochs(self, *values: Number, name: str = "val_loss") -> None:
        """Make epochs of two steps."""
        for value in values:
            self.orders.begin_epoch(self.epoch)
            self.obey()
            self.step += 2
            self.add(events.EpochEnded(logs={name: value}, learning_rate=0.1, seconds=1.0))
            self.obey()
            self.epoch += 1

    def capture(self) -> None:
        self.add(events.StateChanged(state="checkpointing"))

    def resume(self, to_step: int, to_epoch: int) -> None:
        self.add(events.StateChanged(state="preparing"))
        self.epoch = to_epoch
        self.add(events.RunResumed(checkpoint="c", to_step=to_step, to_epoch=to_epoch, repeated_steps=0, lost_steps=0))

    @property
    def standing(self) -> list[int]:
        return [given.number for given in self.orders.standing]


def test_a_stall_fires_after_so_many_epochs_and_again_after_as_many_more() -> None:
    course = Course("when val_loss stalls 2 note x")
    course.epochs(1.0, 0.5, 0.6, 0.5, 0.7, 0.8, 0.4, 0.5)
    assert course.fired == [(1, 8), (1, 12)]
    # nan is no better value, and one that never comes is none.
    course = Course("when val_loss stalls 2 note x", "when val_auc stalls 1 note x")
    course.epochs("nan", "nan")
    assert course.fired == [(1, 4)]
    # min and max say it where a name does not.
    course = Course("on best dice max note x", "on best dice min note x")
    course.epochs(0.5, 0.6, 0.4, name="dice")
    assert course.fired == [(1, 2), (2, 2), (1, 4), (2, 6)]


def test_the_best_is_that_of_the_run_and_an_order_waits_from_when_it_is_given() -> None:
    course = Course()
    course.epochs(0.5, 0.6, 0.7)
    course.add(events.OrderGiven(number=1, order="on best val_loss checkpoint", origin="request"))
    course.add(events.OrderGiven(number=2, order="when val_loss stalls 2 pause", origin="request"))
    course.epochs(0.55)
    assert course.fired == []
    course.epochs(0.51, 0.4)
    assert course.fired == [(2, 10), (1, 12)]


def test_a_rollback_undoes_values_but_not_the_epochs_that_went_by() -> None:
    course = Course("when val_loss stalls 3 rollback", "note x after 4 epochs", "at epoch 2 note x")
    course.epochs(0.5, 0.6, 0.7)
    course.add(events.RolledBack(checkpoint="c", to_step=2, to_epoch=0))
    course.epochs(0.6, 0.7, 0.8)
    assert course.fired == [(3, 2), (2, 8), (1, 12)]
    assert course.standing == [1]


def test_a_resumption_undoes_what_orders_did_after_its_checkpoint() -> None:
    course = Course("at epoch 2 freeze", "at epoch 3 freeze", "at step 5 lr 1e-4", "note x after 2 epochs")
    course.epochs(0.5)
    course.obey()
    course.epochs(0.4)
    course.capture()
    course.orders.begin_epoch(2)
    course.obey()
    course.step += 1
    course.obey()
    assert course.fired == [(1, 2), (4, 4), (2, 4), (3, 5)]
    # The checkpoint was made at step 4: before order 2 fired there, but after order 4.
    course.resume(to_step=4, to_epoch=2)
    assert course.standing == [2, 3]
    # One step after the checkpoint, as before: steps are counted on.
    assert course.orders.next_step == 6
    course.fired = []
    course.epochs(0.3)
    assert course.fired == [(2, 5), (3, 7)]


def test_a_condition_of_batches_fires_when_it_begins_to_be_met_and_seldom_in_one_epoch() -> None:
    course = Course("when nan rollback", "when batch/loss > 3 note x")
    course.batches(1.0, "nan", None, 2.0)
    assert course.fired == [(1, 4)]
    course.batches("nan")
    assert course.fired == [(1, 4)]
    for _ in range(5):
        course.add(events.RolledBack(checkpoint="c", to_step=0, to_epoch=0))
        course.batches("-inf")
    assert [number for number, _ in course.fired] == [1, 1, 1]
    course.fired, course.epoch = [], 1
    course.batches(1.0)
    course.batches(4.0, "nan")
    assert sorted(number for number, _ in course.fired) == [1, 2]


def test_a_value_is_of_the_batch_that_alerts_and_charts_name() -> None:
    """They count batches from 0, as the CSV does."""
    orders = Orders()
    orders.add(events.OrderGiven(number=1, order="when nan stop", origin="script"))
    orders.add(events.Batches(first_step=2, metrics={"loss": [1.0, "nan"]}, batches=2, step=4))
    assert [given.due for given in orders.due] == ["loss is nan in step 3"]


def test_what_a_later_version_or_nobody_understands_stands_and_does_nothing() -> None:
    course = Course("when the moon is full stop", "\x1b[31m'")
    course.epochs(1.0)
    course.batches("nan")
    assert course.fired == []
    assert [given.words for given in course.orders.all.values()] == ["stands", "stands"]
    course.add(events.OrderFired(number=9, order="x", request="x", why="x"))
    course.add(events.OrderEnded(number=9, order="x", reason="x"))


def test_orders_are_told_in_words_without_control_characters() -> None:
    given = events.OrderGiven(number=1, order="note '\x1b[31mred'", origin="request", detail="said\n")
    fired = events.OrderFired(number=1, order="note '\x1b[31mred'", request="x", why="at once\x07")
    ended = events.OrderEnded(number=1, order="note '\x1b[31mred'", reason="cancelled\x9b")
    for fact in (given, fired, ended):
        words = facts_in_words.of(fact, RunState())
        assert words.startswith("order 1 ")
        assert words.isprintable()
    state = fold([given, fired])
    assert [given.words for given in state.orders.all.values()] == ["fired at step 0"]


def started() -> events.FitStarted:
    return events.FitStarted(
        optimizer="Adam", epochs=1, initial_epoch=0, steps_per_epoch=None, jit_compile=False, can={}
    )


def test_each_fit_is_looked_at_anew_whatever_the_one_before_ended_with() -> None:
    course = Course("when nan stop", "when loss > 1 note high", "on best val_loss note best")
    for _ in range(6):
        # Fits of one epoch in a loop: all of their epochs are the first.
        course.epoch = 0
        course.add(started())
        course.batches("nan", "nan")
        course.epochs(2.0, name="loss")
    assert [number for number, _ in course.fired] == [1, 2] * 6


def test_what_came_about_at_the_end_of_a_fit_has_no_step_in_the_next_one() -> None:
    course = Course("when loss > 1 lr 1e-4", "lr 1e-3 after 1 epochs")
    course.step += 2
    course.add(events.EpochEnded(logs={"loss": 2.0}, learning_rate=0.1, seconds=1.0))
    assert [given.number for given in course.orders.due] == [1, 2]
    course.add(started())
    course.batches(0.5)
    assert course.fired == [(2, 2)], "epochs are counted through all fits"


class Counting(Orders):
    """Counts how many orders are looked at."""

    looks = 0

    @property
    def standing(self) -> list[Given]:
        self.looks += len(self.all)
        return super().standing


def test_thousands_of_orders_cost_a_step_next_to_nothing() -> None:
    known = Counting()
    for number in range(3000):
        known.add(events.OrderGiven(number=number, order=f"at step {number + 5} note x", origin="script"))
    given, known.looks = known.looks, 0
    assert given < 3000 * 20
    for step in range(5):
        assert not known.is_due(step)
    assert known.looks <= 3000
    assert known.is_due(5)
