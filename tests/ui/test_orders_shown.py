"""Standing orders on the screen: given and cancelled with the keyboard, and shown with what they did."""

from pathlib import Path

from textual.widgets import Static

from tuimon.protocol import commands, events
from tuimon.ui.app import WatchApp
from ui.facts import HOSTILE, training
from ui.watching import LiveRun, part, press, text, until, watching

GIVEN = [
    events.OrderGiven(number=1, order="when nan stop", origin="script", step=3, epoch=2),
    events.OrderGiven(number=2, order="at epoch 3 freeze", origin="request", step=3, epoch=2),
    events.OrderFired(
        number=2, order="at epoch 3 freeze", request="order-2-0-1", why="epoch 3 begins", step=3, epoch=2
    ),
]


def dialog(app: WatchApp) -> str:
    return "\n".join(str(static.render()) for static in app.screen.query(Static))


async def test_an_order_is_typed_checked_and_sent(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), *GIVEN[:1]) as run:
        async with watching(run.directory) as (app, pilot):
            app.action_ask("order")
            await until(pilot, lambda: "Stands: 1 when nan stop" in dialog(app), "the question")
            await pilot.press(*"at noon", "enter")
            await until(pilot, lambda: "After 'at' expected epoch or step; received 'noon'." in dialog(app))
            await pilot.press(*["backspace"] * 4, *"epoch 5 freeze")
            await until(pilot, lambda: "Once, before the first step of epoch 5: freeze all." in dialog(app))
            await pilot.press("enter")
            await until(pilot, lambda: len(run.requests()) == 1)
            [request] = run.requests()
            assert isinstance(request, commands.Order)
            assert request.order == "at epoch 5 freeze"


async def test_an_order_is_cancelled_and_the_number_of_epochs_changed(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", epochs=10), *GIVEN) as run:
        async with watching(run.directory) as (app, pilot):
            app.action_ask("cancel_order")
            await until(pilot, lambda: "The number of an order" in dialog(app), "the question")
            await pilot.press("2")
            await until(pilot, lambda: "No order '2' stands" in dialog(app), "that it is done")
            await pilot.press("backspace", "1", "enter")
            await until(pilot, lambda: len(run.requests()) == 1)
            app.action_ask("epochs")
            await until(pilot, lambda: "training is to end with epoch 10" in dialog(app))
            await pilot.press(*"12")
            await until(pilot, lambda: "Training ends with epoch 12, 2 more." in dialog(app))
            await pilot.press("enter")
            await until(pilot, lambda: len(run.requests()) == 2)
            cancel, epochs = run.requests()
            assert isinstance(cancel, commands.Cancel)
            assert isinstance(epochs, commands.Epochs)
            assert (cancel.number, epochs.epochs) == (1, 12)
            run.apply(epochs, step=3)
            await until(pilot, lambda: "/12" in part(app, "Header") or "of 12" in part(app, "Header"), "the fact")


async def test_orders_and_what_they_did_are_shown_as_text_alone(runs: Path) -> None:
    hostile = events.OrderEnded(number=1, order="when nan stop", reason=HOSTILE, step=3, epoch=2)
    with LiveRun(runs, *training("bn_1"), *GIVEN) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "orders 1" in part(app, "Header"), "the header")
            assert "order 2 fires, as epoch 3 begins: at epoch 3 freeze" in part(app, "Timeline")
            run.write(hostile)
            await until(pilot, lambda: "order 1 does not stand" in part(app, "Timeline"), "the end of the order")
            assert "orders" not in part(app, "Header")
            assert "\x1b" not in part(app, "Timeline")
            await press(pilot, "7")
            await until(pilot, lambda: "Standing orders" in text(app), "the page")
            assert "at epoch 3 freeze: fired at step 3" in text(app)
