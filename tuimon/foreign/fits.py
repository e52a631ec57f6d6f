"""Translates a log that tells fits and branches into facts."""

from tuimon.foreign.curves import ForeignLog, Part
from tuimon.foreign.facts import Translator
from tuimon.protocol import events

_MOST_FITS = 10_000


class FitsTranslator:
    """Makes the facts of a log with parts, all at once.

    Args:
        log: The log. Another one takes its place where it changes.
        name: What the run is called.
    """

    def __init__(self, log: ForeignLog, name: str) -> None:
        self._log = log
        self._name = name
        self._is_told = False
        self._newest = events.Note(text="")
        """Has the step, epoch, branch and time of the newest fact."""
        self._fits = 0
        self._seq = 0

    @property
    def is_void(self) -> bool:
        """Whether facts that were made hold no more: then another translator must make all of them anew."""
        return self._log.is_void

    def begin(self) -> list[events.AnyEvent]:
        """Return the first facts of the run."""
        self._log.began = min((_began(part.log) for part in self._log.parts), default=0.0)
        self._newest.time = self._log.began
        return self._in_turn(Translator(self._log, self._name).begin(), branch=0)

    def new(self, *, is_settled: bool) -> list[events.AnyEvent]:
        """Return all further facts; none the next time.

        Args:
            is_settled: Not used: an export is whole.
        """
        del is_settled
        if self._is_told:
            return []
        self._is_told = True
        made: list[events.AnyEvent] = []
        for part in self._log.parts:
            epoch = _first_epoch(part.log, self._newest.epoch if part.fit == self._fits else 0)
            made += self._fits_before(part, epoch)
            made += self._in_turn(Translator(part.log, "", epoch, self._newest.step).new(is_settled=True), part.branch)
        notes = Translator(self._log, "", self._newest.epoch, self._newest.step).new(is_settled=True)
        for note in notes:
            note.step, note.time = self._newest.step, self._newest.time
        return made + self._in_turn(notes, self._newest.branch)

    def _fits_before(self, part: Part, epoch: int) -> list[events.AnyEvent]:
        """Return how the fit of a part begins, and those before it of which nothing is told."""
        begun: list[events.AnyEvent] = []
        while self._fits < min(part.fit, _MOST_FITS):
            self._fits += 1
            first = epoch if self._fits == part.fit else 0
            begun.append(
                events.FitStarted(
                    optimizer="",
                    epochs=None,
                    initial_epoch=first,
                    steps_per_epoch=None,
                    jit_compile=False,
                    can={},
                    step=self._newest.step,
                    epoch=first,
                    time=self._newest.time,
                )
            )
        return self._in_turn(begun, part.branch)

    def _in_turn(self, made: list[events.AnyEvent], branch: int) -> list[events.AnyEvent]:
        """Number facts, and give them their branch."""
        for fact in made:
            fact.seq, self._seq = self._seq, self._seq + 1
            fact.branch = branch
            newest = self._newest
            newest.step, newest.time = max(newest.step, fact.step), max(newest.time, fact.time)
            newest.epoch, newest.branch = fact.epoch, branch
        return made


def _began(log: ForeignLog) -> float:
    return min((float(curve.times.min()) for curves in log.all for curve in curves.values() if len(curve)), default=0.0)


def _first_epoch(log: ForeignLog, otherwise: int) -> int:
    return min((int(curve.steps[0]) for curve in log.epochs.values() if len(curve)), default=otherwise)
