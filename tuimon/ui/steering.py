"""From a key to a request: what is asked, whether it can be, and what is still without an answer."""

import glob
import time

from tuimon import commands
from tuimon.commands import AnyRequest, Freeze, Phase, Stop, Unfreeze
from tuimon.run_directory import RunDirectory
from tuimon.state import RunState
from tuimon.ui.moment import Asked, Moment


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

    def cannot(self, state: RunState, command: str) -> str | None:
        """Return why this fit does not take a command; None where it does."""
        reasons = state.fit.can if state.fit else {}
        return reasons.get(command) or None

    def toggle_layer(self, moment: Moment, path: str) -> AnyRequest:
        """Return the request that freezes one layer, or thaws it if it is frozen or asked to be."""
        # A path may hold what a glob would interpret.
        pattern = glob.escape(path)
        return Unfreeze(layers=[pattern]) if moment.is_frozen(path) else Freeze(layers=[pattern])

    def toggle_all(self, moment: Moment) -> AnyRequest:
        """Return the request that freezes all layers, or thaws them if all are frozen or asked to be."""
        return Unfreeze() if all(map(moment.is_frozen, moment.state.layers)) else Freeze()

    def ask(self, request: AnyRequest, state: RunState) -> None:
        """Put a request where the trainer looks.

        Raises:
            OSError: it cannot be written.
        """
        signed = commands.signed(request, state.run.attempt if state.run else None)
        self._run.put_request(signed)
        fields = commands.as_fields(signed)
        modes: dict[str, str] = {}
        if isinstance(signed, Freeze | Unfreeze):
            mode = "frozen" if isinstance(signed, Freeze) else "training"
            wanted = set(signed.layers)
            modes = {path: mode for path in state.layers if not wanted or glob.escape(path) in wanted}
            if wanted:
                fields["layers"] = list(modes)
        phase = signed.phase if isinstance(signed, Phase) else None
        self.asked.append(Asked(signed.id, commands.describe(fields), time.time(), modes, phase))

    def stop(self, state: RunState) -> None:
        """Ask training to end after this batch.

        Raises:
            OSError: the request cannot be written.
        """
        self.ask(Stop(after="batch"), state)

    def settle(self, state: RunState) -> None:
        """Forget what has been answered, and everything once the run is over."""
        self.asked = [] if state.ended else [asked for asked in self.asked if asked.id not in state.commands]
