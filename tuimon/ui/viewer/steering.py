"""Sends requests, and remembers those that have no answer yet; knows which request a key stands for."""

import glob
from collections.abc import Collection

from msgspec import structs
from msgspec.structs import replace

from tuimon.numbers import learning_rate
from tuimon.protocol import commands
from tuimon.protocol.commands import AnyRequest, Freeze, LearningRate, Momentum, Phase, Unfreeze
from tuimon.protocol.values import SCHEDULE
from tuimon.runs.command import Command
from tuimon.runs.run_directory import Blind, RunDirectory
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.viewer.moment import Asked, Hold, Moment
from tuimon.ui.viewer.undo import Undo


class Steering:
    """Sends requests of one viewer and remembers those that no fact has answered.

    Args:
        run: The run that is asked.
        readonly: Send no requests.
    """

    def __init__(self, run: RunDirectory, *, readonly: bool) -> None:
        self._run = run
        self._readonly = readonly
        self.asked: list[Asked] = []
        """The requests without an answer, oldest first."""

    def refusal(
        self, state: RunState, status: str, blind: Blind | None, *, replay: bool, is_log_removed: bool = False
    ) -> str:
        """Return why no request is sent now, in a few words; empty if requests are sent."""
        if replay:
            return "a replay cannot be steered"
        if self._readonly:
            return "read-only"
        if state.run is not None and state.run.source:
            return "read-only: another program's log"
        if state.ended or status in ("failed", "crashed"):
            return "the run is over"
        if blind is not None:
            return f"there is no connection to {plain(blind.host, 60)}"
        if state.fit is None:
            return "the log was removed" if is_log_removed else "training has not begun"
        return ""

    def ask(self, request: AnyRequest, state: RunState, now: float, *, undo: Undo | None = None) -> None:
        """Put a request where the trainer looks.

        Args:
            request: The request.
            state: The folded log of the run.
            now: The time, Unix seconds.
            undo: The undo that the request is a part of; None if it undoes nothing.

        Raises:
            OSError: the request cannot be written.
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
        asked = Asked(signed.id, words, now, command=commands.name_of(signed), undoes=undoes, seq=state.last_seq)
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

    def settle(self, state: RunState) -> list[Command]:
        """Forget the requests that are answered; return the answers."""
        answers = [state.commands[asked.id] for asked in self.asked if asked.id in state.commands]
        self.asked = [asked for asked in self.asked if asked.id not in state.commands]
        return answers

    def forget(self, request_id: str) -> Asked | None:
        """Forget a request that did not arrive, and return it; None where it is answered or another viewer's."""
        found = next((asked for asked in self.asked if asked.id == request_id), None)
        self.asked = [asked for asked in self.asked if asked is not found]
        return found

    def give_up(self) -> list[Asked]:
        """Forget the requests without an answer, because nobody is left to answer them, and return them."""
        lost, self.asked = self.asked, []
        return lost


def freeze_or_unfreeze(moment: Moment, paths: Collection[str]) -> AnyRequest:
    """Return the request that freezes layers, or unfreezes them if all of them are frozen or asked to be.

    Args:
        moment: How layers are held now, and how they were asked to be.
        paths: The layers; empty: all.
    """
    if all(map(moment.is_frozen, paths or moment.state.layers)):
        return Unfreeze(layers=_escaped(paths))
    return Freeze(layers=_escaped(paths))


def hold_or_unhold(moment: Moment, paths: Collection[str]) -> AnyRequest:
    """Return the request that holds the moving statistics of layers, or unholds them if all of them are held.

    Args:
        moment: How layers are held now, and how they were asked to be.
        paths: The layers; empty: all.
    """
    if all(map(moment.is_held, paths or moment.state.layers)):
        return Unfreeze(layers=_escaped(paths), statistics=True)
    return Freeze(layers=_escaped(paths), statistics=True)


def set_momentum(momentum: float, paths: Collection[str]) -> AnyRequest:
    """Return the request that sets the momentum of layers; none: of all."""
    return Momentum(momentum=momentum, layers=_escaped(paths))


def _escaped(paths: Collection[str]) -> list[str]:
    # A path may hold what a glob would interpret.
    return [glob.escape(path) for path in paths]
