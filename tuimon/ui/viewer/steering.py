"""From a key to a request: what is asked, whether it can be, and what is still without an answer."""

import glob
import time
from collections.abc import Collection
from dataclasses import replace

from msgspec import structs

from tuimon.plot.numbers import learning_rate
from tuimon.protocol import commands
from tuimon.protocol.commands import AnyRequest, Freeze, LearningRate, Momentum, Phase, Stop, Unfreeze
from tuimon.protocol.values import SCHEDULE
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.ui.viewer.moment import Asked, Hold, Moment
from tuimon.ui.viewer.undo import Undo


class Steering:
    """Sends requests of one viewer and remembers those that no fact has answered.

    Args:
        run: Where requests are put.
        readonly: Send none.
    """

    def __init__(self, run: RunDirectory, *, readonly: bool) -> None:
        self._run = run
        self._readonly = readonly
        self.asked: list[Asked] = []
        """Without an answer yet, oldest first."""

    def refusal(self, state: RunState, status: str, *, replay: bool) -> str:
        """Return why no request is sent now, in a few words; empty where requests are sent."""
        if replay:
            return "a replay cannot be steered"
        if self._readonly:
            return "read-only"
        if state.ended or status in ("failed", "crashed"):
            return "the run is over"
        if state.fit is None:
            return "training has not begun"
        return ""

    def toggle_layer(self, moment: Moment, path: str) -> AnyRequest:
        """Return the request that freezes one layer, or thaws it if it is frozen or asked to be."""
        # A path may hold what a glob would interpret.
        pattern = glob.escape(path)
        return Unfreeze(layers=[pattern]) if moment.is_frozen(path) else Freeze(layers=[pattern])

    def toggle_all(self, moment: Moment) -> AnyRequest:
        """Return the request that freezes all layers, or thaws them if all are frozen or asked to be."""
        return Unfreeze() if all(map(moment.is_frozen, moment.state.layers)) else Freeze()

    def toggle_held(self, moment: Moment, paths: Collection[str]) -> AnyRequest:
        """Return the request that holds the moving statistics of layers, or lets them go if they are held already.

        Args:
            moment: What is so now, and what was asked.
            paths: The layers; empty: all.
        """
        patterns = [glob.escape(path) for path in paths]
        if all(map(moment.is_held, paths or moment.state.layers)):
            return Unfreeze(layers=patterns, statistics=True)
        return Freeze(layers=patterns, statistics=True)

    def momentum(self, momentum: float, paths: Collection[str]) -> AnyRequest:
        """Return the request that sets the momentum of layers; none: of all."""
        return Momentum(momentum=momentum, layers=[glob.escape(path) for path in paths])

    def undo(self, undo: Undo, state: RunState) -> None:
        """Ask for what takes a request back.

        Raises:
            OSError: it cannot be written.
        """
        for request in undo.requests:
            self.ask(request, state, undo=undo)

    def ask(self, request: AnyRequest, state: RunState, *, undo: Undo | None = None) -> None:
        """Put a request where the trainer looks.

        Args:
            request: What is asked.
            state: Of the run.
            undo: What it is a part of; None for a request of its own.

        Raises:
            OSError: it cannot be written.
        """
        undoes = undo.command.seq if undo else None
        signed = commands.signed(request, state.run.attempt if state.run else None, undoes=undoes)
        self._run.put_request(signed)
        shown: commands.AnyRequest = signed
        paths: list[str] = []
        if isinstance(signed, Freeze | Unfreeze | Momentum):
            wanted = set(signed.layers)
            paths = [path for path in state.layers if not wanted or glob.escape(path) in wanted]
            if wanted and not (isinstance(signed, Freeze | Unfreeze) and signed.weights):
                shown = structs.replace(signed, layers=paths)
        words = commands.describe(shown)
        if undo is not None:
            words = f"undo {undo.command.words}" + (f": {words}" if len(undo.requests) > 1 else "")
        asked = Asked(signed.id, words, time.time(), command=commands.name_of(signed), undoes=undoes)
        match signed:
            case Freeze():
                hold: Hold = "statistics" if signed.statistics else "frozen"
                asked = replace(asked, holds=dict.fromkeys(paths, hold))
            case Unfreeze():
                asked = replace(asked, holds=dict.fromkeys(paths, "nothing"))
            case Momentum():
                asked = replace(asked, momentum=dict.fromkeys(paths, signed.momentum))
            case Phase():
                asked = replace(asked, phase=signed.phase)
            case LearningRate():
                rate = signed.learning_rate
                asked = replace(asked, learning_rate=SCHEDULE if rate is None else learning_rate(rate))
        self.asked.append(asked)

    def stop(self, state: RunState) -> None:
        """Ask training to end after this batch.

        Raises:
            OSError: the request cannot be written.
        """
        self.ask(Stop(after="batch"), state)

    def settle(self, state: RunState) -> None:
        """Forget what has been answered, and everything once the run is over."""
        self.asked = [] if state.ended else [asked for asked in self.asked if asked.id not in state.commands]
