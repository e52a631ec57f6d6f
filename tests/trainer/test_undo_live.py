"""Undo in a running ``fit``: what it asks puts in force what was before, and training goes on as after that."""

from pathlib import Path
from typing import Any

import pytest

import tuimon
from helpers import fold, selected
from trainer.keras_models import Ask, compiled, facts, facts_of, fit, same_weights, sequential
from tuimon.protocol import commands, events
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.undo import newest_undo


class Undo(Ask):
    """Asks as planned, and takes the newest request back at the begin of an epoch."""

    def __init__(self, monitor: tuimon.Monitor, plan: Any, epoch: int) -> None:
        super().__init__(monitor, plan)
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if epoch == self.epoch:
            state = fold(facts(self.monitor))
            assert self.monitor.run_dir is not None
            for request in newest_undo(Moment(state, "training", 0.0, self.monitor.run_dir)).requests:
                self.ask(request)


ROUNDS: dict[str, tuple[list[commands.AnyRequest], list[commands.AnyRequest]]] = {
    "freeze": ([commands.Freeze()], [commands.Unfreeze()]),
    "freeze one, statistics": (
        [commands.Freeze(layers=["bn_1"], statistics=True)],
        [commands.Unfreeze(layers=["bn_1"], statistics=True)],
    ),
    "weights": (
        [commands.Freeze(layers=["dense_2"], weights=True)],
        [commands.Unfreeze(layers=["dense_2"], weights=True)],
    ),
    "phase": ([commands.Phase(phase="inference")], [commands.Phase(phase="auto")]),
    "momentum": ([commands.Momentum(momentum=0.5)], [commands.Momentum(momentum=0.99)]),
    "lr": ([commands.LearningRate(learning_rate=0.5)], [commands.LearningRate(learning_rate=0.01)]),
}


COVERING = ("freeze", "phase", "lr")


@pytest.mark.parametrize("name", selected(ROUNDS, *COVERING))
def test_what_is_undone_trains_as_if_it_had_been_taken_back(runs: Path, name: str) -> None:
    asked, back = ROUNDS[name]
    by_undo, by_hand = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs, name="undo")
    fit(by_undo, 4, [Undo(monitor, {1: asked}, 2), monitor])
    assert facts_of(monitor, events.CommandRejected) == []
    assert len(facts_of(monitor, events.CommandApplied)) == 2
    other = tuimon.Monitor(runs_dir=runs, name="hand")
    fit(by_hand, 4, [Ask(other, {1: asked, 2: back}), other])
    assert same_weights(by_undo, by_hand)
