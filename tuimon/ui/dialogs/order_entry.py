"""Questions about standing orders and the number of epochs, answered on one line."""

from tuimon.numbers import count
from tuimon.protocol import orders
from tuimon.protocol.orders import StandingOrder
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.dialogs.text_entry import TextDialog

_SHOWN = 4
_ALL = "all"


def order_entry(state: RunState) -> TextDialog[StandingOrder]:
    """Return the question for a standing order."""

    def effect(order: StandingOrder) -> str:
        words = plain(orders.describe(order), 300)
        return f"{words[:1].upper()}{words[1:]}."

    return TextDialog(
        "Standing order",
        present=_standing(state),
        wanted="Such as: when nan stop, at epoch 20 freeze, on best val_loss checkpoint, pause after 5 epochs.",
        read=orders.parse,
        effect=effect,
        longest=orders.MOST_CHARACTERS,
        does="gives it",
    )


def cancel_entry(state: RunState) -> TextDialog[int]:
    """Return the question for the order to cancel."""
    texts = {given.number: given.text for given in state.orders.standing}

    def effect(number: int) -> str:
        if not number:
            return f"Cancels {count(len(texts))} orders."
        return f"Cancels: {plain(texts[number], 300)}."

    return TextDialog(
        "Cancel which order?",
        present=_standing(state),
        wanted=f"The number of an order, or the word {_ALL}.",
        read=lambda text: order_number(state, text),
        effect=effect,
        does="cancels it",
    )


def order_number(state: RunState, text: str) -> int:
    """Return the number of an order that stands; 0 for all.

    Raises:
        ValueError: None of that number stands.
    """
    standing = [given.number for given in state.orders.standing]
    text = text.strip().lower()
    if text == _ALL and standing:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) in standing):
        raise ValueError(f"no order {text!r} stands; {_standing(state)}")
    return int(text)


def epochs_entry(state: RunState) -> TextDialog[int]:
    """Return the question for the number of epochs."""
    planned = state.fit.epochs if state.fit is not None else None
    now = state.epoch + 1

    def read(text: str) -> int:
        text = text.strip().replace(",", "")
        if not (text.isascii() and text.isdecimal() and len(text) < 16 and int(text) >= now):
            raise ValueError(f"expected a whole number from {count(now)} on: epoch {count(now)} is under way")
        return int(text)

    def effect(number: int) -> str:
        more = "" if planned is None else f", {count(abs(number - planned))} {'more' if number > planned else 'fewer'}"
        same = number == planned
        return f"Training ends with epoch {count(number)}{', as it does now' if same else more}."

    return TextDialog(
        "How many epochs in all?",
        present=f"Epoch {count(now)} is under way"
        + ("." if planned is None else f"; training is to end with epoch {count(planned)}."),
        wanted="The number of the last epoch.",
        read=read,
        effect=effect,
    )


def _standing(state: RunState) -> str:
    standing = state.orders.standing
    if not standing:
        return "No order stands."
    shown = "   ".join(f"{given.number} {plain(given.text, 60)}" for given in standing[-_SHOWN:])
    more = "" if len(standing) <= _SHOWN else f"{count(len(standing) - _SHOWN)} more, and "
    return f"{'Stands' if len(standing) == 1 else 'Stand'}: {more}{shown}"
