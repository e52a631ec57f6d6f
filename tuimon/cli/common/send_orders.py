"""The part of ``tuimon send`` that is about standing orders: its arguments, and the list of orders."""

import argparse
import shlex
from collections.abc import Callable

from tuimon.cli.common.safe_stream import ascii_json
from tuimon.errors import UsageError
from tuimon.protocol import commands, orders
from tuimon.protocol.events import AnyEvent
from tuimon.runs.log.session_log import Tail
from tuimon.runs.orders import Given, Orders
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain

AddRequest = Callable[[type[commands.AnyRequest]], argparse.ArgumentParser]
"""Adds the parser of a request."""


def add_requests(add: AddRequest) -> None:
    """Declare the requests about epochs and standing orders."""
    add(commands.Epochs).add_argument("epochs", metavar="N", type=int, help="the last epoch, counted from 1")
    add(commands.Order).add_argument(
        "order",
        metavar="ORDER",
        nargs="*",
        help="such as 'when nan stop' (quoted: a shell would take > and * for itself); none: list the run's orders",
    )
    add(commands.Cancel).add_argument(
        "number", metavar="N", type=_number, help="the order's number, as `order` lists it; or the word all"
    )


def prepare(options: argparse.Namespace) -> bool:
    """Put the words of an order together and check them; return True if the orders are to be listed instead.

    Raises:
        UsageError: They are no order.
    """
    if options.kind is not commands.Order:
        return False
    words = options.order
    options.order = words[0] if len(words) == 1 else shlex.join(words).replace("'>'", ">").replace("'<'", "<")
    if not options.order.strip():
        return True
    try:
        orders.parse(options.order)
    except ValueError as error:
        raise UsageError(f"order: {error}") from None
    return False


def list_orders(run: RunDirectory, *, as_json: bool) -> int:
    """Print all orders of a run and return the exit code."""
    known = Orders()
    for event in _events(run):
        known.add(event)
    if as_json:
        print(ascii_json({"version": 1, "orders": [_fields(given) for given in known.all.values()]}))
    elif not known.all:
        print(f"{plain(run.name)}: no orders")
    else:
        for given in known.all.values():
            print(plain(f"{given.number:>3}  {given.text}   ({given.words})", 2000))
    return 0


def _events(run: RunDirectory) -> list[AnyEvent]:
    try:
        return list(Tail(run.session_log).read_all())
    except OSError as error:
        raise UsageError(f"{run.session_log}: {error.strerror or error}") from None


def _fields(given: Given) -> dict[str, object]:
    return {
        "number": given.number,
        "order": given.text,
        "origin": given.origin,
        "stands": given.stands,
        "ended": given.ended,
        "fired": [{"step": fired.step, "epoch": fired.epoch, "why": fired.why} for fired in given.firings],
    }


def _number(text: str) -> int:
    if text == "all":
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected the number of an order, or the word all; received {text!r}")
    return int(text)
