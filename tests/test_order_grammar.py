"""The grammar of standing orders: what is read is spelled again, and what cannot be read is named."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuimon.protocol import commands, orders

METRICS = st.text(min_size=1, max_size=12).filter(lambda name: not name.startswith(orders.OF_BATCH))
COUNTS = st.integers(1, 10_000)
GLOBS = st.lists(st.text(min_size=1, max_size=8).filter(lambda name: name.isprintable()), max_size=4)
ACTIONS = st.one_of(
    st.builds(commands.Freeze, layers=GLOBS),
    st.builds(commands.Freeze, layers=GLOBS, statistics=st.just(True)),
    st.builds(commands.Freeze, layers=GLOBS.filter(bool), weights=st.just(True)),
    st.builds(commands.Unfreeze, layers=GLOBS),
    st.builds(commands.Phase, phase=st.sampled_from(("auto", "train", "inference"))),
    st.builds(commands.Momentum, momentum=st.floats(0, 1), layers=GLOBS),
    st.builds(commands.LearningRate, learning_rate=st.none() | st.floats(1e-12, 1e6)),
    st.builds(commands.Recalibrate, batches=COUNTS, dry_run=st.booleans()),
    st.builds(commands.Rollback, checkpoint=st.sampled_from(("", "step-12.npz"))),
    st.builds(commands.Stop, after=st.sampled_from(("batch", "epoch"))),
    st.builds(commands.Note, text=st.text(min_size=1).map(str.strip).filter(bool)),
    st.builds(commands.Epochs, epochs=COUNTS),
    st.sampled_from(
        (commands.Pause(), commands.Resume(), commands.Checkpoint(), commands.Evaluate(), commands.Probe())
    ),
)
WORDS = ("when", "at", "on", "best", "nan", ">", "3", "stalls", "pause", "after", "5", "epochs", "lr")
BETTER = st.sampled_from(("", "min", "max"))
TRIGGERS = st.one_of(
    st.just(orders.Now()),
    st.just(orders.Nan()),
    st.builds(orders.Bound, METRICS, st.sampled_from(orders.SIGNS), st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(orders.Bound, st.just("batch/loss"), st.just(">"), st.just(3.0)),
    st.builds(orders.Stall, METRICS, COUNTS, BETTER),
    st.builds(orders.Best, METRICS, BETTER),
    st.builds(orders.AtEpoch, COUNTS),
    st.builds(orders.AtStep, st.integers(0, 2**53)),
    st.builds(orders.After, COUNTS, st.sampled_from(("epochs", "steps"))),
)


def meaning(order: orders.StandingOrder) -> orders.StandingOrder:
    """Return an order with the globs as they match: a name may be spelled with its first letter in brackets."""
    layers = getattr(order.action, "layers", None)
    if not layers:
        return order
    plain = [name[1] + name[3:] if name[:1] == "[" and name[2:3] == "]" else name for name in layers]
    return orders.StandingOrder(order.trigger, msgspec.structs.replace(order.action, layers=plain))


@given(st.builds(orders.StandingOrder, TRIGGERS, ACTIONS))
def test_what_is_spelled_is_read_as_the_same(order: orders.StandingOrder) -> None:
    spelled = orders.spell(order)
    if len(spelled) <= orders.MOST_CHARACTERS:
        read = orders.parse(spelled)
        assert meaning(read) == meaning(order)
        assert orders.spell(read) == spelled
        assert orders.describe(read)


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS)))
def test_whatever_is_typed_is_an_order_or_a_sentence(text: str | list[str]) -> None:
    words = text if isinstance(text, str) else " ".join(text)
    order = None
    with contextlib.suppress(ValueError):
        order = orders.parse(words)
    if order is None:
        with pytest.raises(ValueError, match=r"\S"):
            orders.parse(words)
    else:
        assert orders.parse(orders.spell(order)) == order


@pytest.mark.parametrize(
    ("text", "trigger", "action"),
    [
        ("when nan stop", orders.Nan(), commands.Stop()),
        ("when val_loss stalls 10 pause", orders.Stall("val_loss", 10), commands.Pause()),
        ("when val_loss stalls 10 epochs pause", orders.Stall("val_loss", 10), commands.Pause()),
        ("when dice stalls 3 max stop", orders.Stall("dice", 3, "max"), commands.Stop()),
        ("when val_loss > 3 pause", orders.Bound("val_loss", ">", 3.0), commands.Pause()),
        ("when batch/loss >= 1e3 rollback", orders.Bound("batch/loss", ">=", 1e3), commands.Rollback()),
        ("when nan > 3 pause", orders.Bound("nan", ">", 3.0), commands.Pause()),
        ("at epoch 20 freeze", orders.AtEpoch(20), commands.Freeze()),
        ("at step 5000 lr 1e-4", orders.AtStep(5000), commands.LearningRate(learning_rate=1e-4)),
        ("on best val_loss checkpoint", orders.Best("val_loss"), commands.Checkpoint()),
        ("pause after 5 epochs", orders.After(5, "epochs"), commands.Pause()),
        ("stop after epoch", orders.Now(), commands.Stop(after="epoch")),
        ("stop after 1 epoch", orders.After(1, "epochs"), commands.Stop()),
        ("epochs 120", orders.Now(), commands.Epochs(epochs=120)),
        ("at epoch 90 epochs 120", orders.AtEpoch(90), commands.Epochs(epochs=120)),
        ("freeze weights 'my layer' conv*", orders.Now(), commands.Freeze(weights=True, layers=["my layer", "conv*"])),
        ("when nan note it broke", orders.Nan(), commands.Note(text="it broke")),
    ],
)
def test_orders_as_people_write_them(text: str, trigger: orders.Trigger, action: commands.AnyRequest) -> None:
    assert orders.parse(text) == orders.StandingOrder(trigger, action)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected an order"),
        ("when", "after 'when' expected nan, or a metric"),
        ("when val_loss", "after 'val_loss' expected stalls"),
        ("when val_loss rises pause", "received 'rises'"),
        ("when val_loss stalls pause", "after 'stalls' expected a whole number from 1 on; received 'pause'"),
        ("when val_loss stalls 0 pause", "received '0'"),
        ("when val_loss > nan pause", "received 'nan'"),
        ("when nan", "an action is missing"),
        ("when nan explode", "'explode' is no request"),
        ("when nan order x", "cannot make the request 'order'"),
        ("at noon pause", "received 'noon'"),
        ("at epoch twenty freeze", "received 'twenty'"),
        ("at epoch 0 freeze", "received '0'"),
        ("on worst val_loss checkpoint", "received 'worst'"),
        ("on best", "expected a metric"),
        ("on best batch/loss checkpoint", "is of single batches"),
        ("at step 5 lr -1", "received '-1'"),
        ("at step 5 pause now", "'now' does not belong after 'pause'"),
        ("at step 5 freeze weights", "needs a layer"),
        ("at step 5 pause after 3 epochs", "one condition"),
        ("pause after x epochs", "received 'x'"),
        ("note 'open", "a quotation mark is not closed"),
        ("lr", "after 'lr' something is missing"),
        ("pause" * 1000, "at most 2,000 characters"),
    ],
)
def test_what_is_no_order_is_said_by_the_word(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        orders.parse(text)
    assert said in str(caught.value)
