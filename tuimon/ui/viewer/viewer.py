"""One run as a viewer knows it, whatever draws it: news comes in, requests go out, a moment is what is shown.

the log, the trainer ── news ──▶ Viewer ── moment ──▶ a screen
                keys ── ask, undo ──▶ Viewer ── requests ──▶ the run directory
"""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from tuimon.protocol.commands import AnyRequest, Stop
from tuimon.protocol.events import AnyEvent
from tuimon.runs import liveness
from tuimon.runs.beginnings import Begun
from tuimon.runs.facts_in_words import applied, rejected
from tuimon.runs.log.bad_lines import BadLines, unread
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import OVER, RunState
from tuimon.runs.thinning import ROOM
from tuimon.text import plain
from tuimon.ui.viewer import other_run
from tuimon.ui.viewer.moment import READING, Moment, Notice
from tuimon.ui.viewer.news import (
    AlertTrouble,
    CaughtUp,
    Facts,
    LinesUnread,
    LinkChanged,
    LogReplaced,
    LogUnreadable,
    News,
    OlderRead,
    RequestLost,
    TrainerExited,
    TrainerGone,
    TrainerPrinted,
    goes_on,
)
from tuimon.ui.viewer.other_run import OtherRun
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.steering import Steering
from tuimon.ui.viewer.undo import NothingToUndoError, Undo, newest_undo

NOTICE_SECONDS = 8.0
"""Seconds for which a sentence is shown."""
CHANGE_SECONDS = 30.0
"""Seconds for which it is said what went wrong without a key, or in more words: somebody may look away."""


class Clock(Protocol):
    """Tells the time, as the module `time` does."""

    def time(self) -> float:
        """Return Unix seconds."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""


class Viewer:
    """Folds the log of one run, sends requests to it, and says in a `Moment` what is to be shown.

    The run is shown as it is now, or, with a replay, as it was at the replay's time. All that happens comes in through
    `hear`; `tick` lets the time of a replay go on.

    Args:
        run: The run to watch.
        readonly: Send no requests.
        replay: Says how much of the log is shown; None for the run as it is now.
        clock: Tells the time.

    Example:
        ```python
        viewer = Viewer(run)
        viewer.hear(Facts(events))
        viewer.ask(Pause())
        assert viewer.moment().is_paused
        ```
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        readonly: bool = False,
        replay: ReplayClock | None = None,
        clock: Clock = time,
    ) -> None:
        self.replay = replay
        """Says how much of the log is shown; None for the run as it is now."""
        self.others = OtherRun(run)
        """Knows which other run has begun."""
        self._readonly = readonly
        self._clock = clock
        self._changes = self._happened = 0
        self._ticked_at = clock.monotonic()
        self._notice: Notice | None = None
        self._notice_until = 0.0
        self._link = LinkChanged(None)
        self._changed_at = -math.inf
        self._begin(run)

    def _begin(self, run: RunDirectory) -> None:
        """Know nothing of a run yet."""
        self.run = run
        """The directory of the run."""
        self.state = RunState()
        """The log of the run, folded: as far as it is known, or up to the time of the replay."""
        self.read_alerts = set[int]()
        """The alerts that somebody has read, by their numbers in the log."""
        self._steering = Steering(run, readonly=self._readonly)
        self._grown_at = self._clock.monotonic()
        self._reading: float | None = None
        self._older: float | None = None
        self._has_caught_up = False
        self._unreadable = LogUnreadable("")
        self._lines = LinesUnread(BadLines(), 0)
        self._trainer_is_gone = False
        self._trainer_exit: TrainerExited | None = None
        self._printed: tuple[str, ...] = ()

    # What is heard and what is shown

    def hear(self, news: News) -> None:
        """Take in what has happened. All news comes in here."""
        self._changes += 1
        self._happened += not goes_on(news)
        match news:
            case Facts():
                self._grown_at, self._reading = self._clock.monotonic(), news.reading
                (self.fold if self.replay is None else self.replay.load)(news.events)
            case OlderRead():
                self._older = news.share if news.whole is None else None
                self.state = news.whole or self.state
            case CaughtUp():
                self._grown_at = self._clock.monotonic() - news.silent_seconds
                self._reading, self._has_caught_up = None, True
            case LogUnreadable():
                self._unreadable = news
            case LogReplaced():
                self._begin(self.run)
                self._has_caught_up = True
                self.say(f"{news.words}: it is read anew from its beginning.", seconds=CHANGE_SECONDS)
            case LinesUnread():
                self._lines = news
            case LinkChanged() | RequestLost():
                self._hear_of_link(news)
            case TrainerGone():
                self._trainer_is_gone = news.gone
                self._give_up_asking()
            case TrainerPrinted() | TrainerExited():
                self._hear_of_process(news)
            case AlertTrouble():
                self.say(news.words, bad=True, seconds=CHANGE_SECONDS)
            case Begun():
                self.others.begins(news)

    def _hear_of_link(self, news: LinkChanged | RequestLost) -> None:
        if isinstance(news, LinkChanged):
            self._link = news
        elif asked := self._steering.forget(news.id):
            self.say(f"“{plain(asked.words, 100)}”: {plain(news.why, 200)}.", bad=True, seconds=CHANGE_SECONDS)

    def _hear_of_process(self, news: TrainerPrinted | TrainerExited) -> None:
        if isinstance(news, TrainerPrinted):
            self._printed = news.lines
        else:
            self._trainer_exit = news

    def fold(self, events: Sequence[AnyEvent]) -> None:
        """Fold the next facts of the log, and forget the requests that they answer."""
        self.state.apply(events)
        self.state.thin(ROOM)
        for answer in self._steering.settle(self.state):
            if not answer.applied:
                self.say(f"{plain(answer.title, 60)}: {rejected(answer.detail)}", bad=True, seconds=CHANGE_SECONDS)
            elif self._notice is None or not self._notice.bad:
                self._remark(f"{plain(answer.title, 100)}: {applied(0.0, '', at_step=answer.step)}.")
        self._give_up_asking()
        self._changes += 1
        # In a replay, time itself is what happens.
        self._happened += self.replay is not None

    def _give_up_asking(self) -> None:
        if (self._trainer_is_gone or self.state.ended) and (lost := self._steering.give_up()):
            why = "the run is over" if self.state.ended else "the trainer is gone"
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            self.say(f"No answer will come to “{plain(lost[0].words, 100)}”{more}: {why}.", bad=True)

    def moment(self, *, is_line_slow: bool = False) -> Moment:
        """Return what is to be shown now.

        Args:
            is_line_slow: Whether the terminal takes in less than there is to send.
        """
        silent_seconds = 0.0 if self.replay else self._clock.monotonic() - self._grown_at
        status = liveness.status(self.state, gone=self._trainer_is_gone, silent_seconds=silent_seconds)
        if self._reading is not None and not self._has_caught_up and self.replay is None:
            # What a part of the log says is no state: the run may be over.
            status = READING
        if (self._unreadable.is_removed or self._link.blind) and self.state.ended is None:
            # Nothing is told of it any more, or now.
            status = "silent"
        if self.state.run is None and self._trainer_exit is not None:
            status = "failed"
        return Moment(
            state=self.state,
            status=status,
            now=self.replay.time if self.replay else self._clock.time(),
            run_path=self.run.path,
            remote=self.run.place if self.run.is_remote else "",
            blind=self._link.blind,
            silent_seconds=silent_seconds,
            asked=tuple(self._steering.asked),
            refusal=self._steering.refusal(
                self.state,
                status,
                self._link.blind,
                replay=self.replay is not None,
                is_log_removed=self._unreadable.is_removed,
            ),
            trainer_log=self._printed,
            notice=self.notice,
            reading=self._reading,
            older=self._older,
            replay=self.replay.position if self.replay else None,
            whole=self.replay.whole if self.replay else None,
            exit_code=self._trainer_exit.code if self._trainer_exit else None,
            read=frozenset(self.read_alerts),
            other_run=self.others.other.name if self.others.other else "",
            other_is_newer=self.others.is_newer,
            is_line_slow=is_line_slow,
            is_readonly=self._readonly,
            is_log_removed=self._unreadable.is_removed,
            unread=unread(self.state, self._lines.bad, self._lines.unknown),
        )

    @property
    def version(self) -> object:
        """Differs from the version before as soon as there is something new to show.

        That is news, a sentence that begins or ends, and another second of a run that goes on.
        """
        second = int(self._clock.time()) if self.state.ended is None else None
        return self._changes, second, self.notice

    @property
    def happened(self) -> object:
        """Differs from the value before once more has happened than that training goes on: then drawing is urgent."""
        return self._happened, self.notice

    # Another run

    def change_run(self, *, by_hand: bool) -> bool:
        """Show the other run, and say so; return False where there is none.

        Args:
            by_hand: Whether a key asked for it.
        """
        before, run = plain(self.run.name, 80), self.others.change(by_hand=by_hand)
        if run is None:
            return False
        self._begin(run)
        self._changes += 1
        self._happened += 1
        self.hush()
        if not by_hand:
            self._changed_at = self._clock.monotonic()
            self._remark("This run has just begun.", (("O", f"goes back to {before}"),))
        return True

    @property
    def has_just_changed(self) -> bool:
        """True right after another run was shown that nobody asked for: a key may still be meant for the one before."""
        return self._clock.monotonic() - self._changed_at < other_run.QUIET_SECONDS

    # What the viewer says

    def say(self, text: str, *, bad: bool = False, seconds: float = NOTICE_SECONDS) -> None:
        """Show a sentence for some seconds.

        Args:
            text: What happened, and what to do.
            bad: Whether something went wrong.
            seconds: For how long.
        """
        self._notice = Notice(text, bad, seq=self.state.last_seq)
        self._notice_until = self._clock.monotonic() + seconds

    def _remark(self, text: str, keys: tuple[tuple[str, str], ...] = ()) -> None:
        """Show a sentence for which nobody asked, where there is nothing else to say."""
        self._notice = Notice(text, is_remark=True, keys=keys)
        self._notice_until = self._clock.monotonic() + NOTICE_SECONDS

    def hush(self) -> None:
        """Remove the sentence that is shown."""
        self._notice = None

    @property
    def notice(self) -> Notice | None:
        """The sentence to show now: one that was said, else what hinders the viewer, else None."""
        if self._notice is not None and self._clock.monotonic() > self._notice_until:
            self._notice = None
        if self._notice is not None:
            return self._notice
        if self._trainer_exit is not None and self._trainer_exit.reason:
            return Notice(self._trainer_exit.reason, bad=True)
        return Notice(self._unreadable.reason, bad=True) if self._unreadable.reason else None

    # Requests

    def ask(self, request: AnyRequest) -> bool:
        """Send a request; say why not and return False, where it cannot be sent."""
        return not self.refuses(_name(request)) and self._send(request)

    def _send(self, *requests: AnyRequest, undo: Undo | None = None) -> bool:
        try:
            for request in requests:
                self._steering.ask(request, self.state, self._clock.time(), undo=undo)
        except OSError as error:
            self.say(f"The request cannot be written: {error}", bad=True)
            return False
        # What was said before is about something else; the request itself is said until it is answered.
        self.hush()
        return True

    def undo(self) -> None:
        """Undo the newest request that changed what is in force; say why, if nothing can be undone."""
        if self.refuses():
            return
        try:
            undo = newest_undo(self.moment())
        except NothingToUndoError as reason:
            self.say(f"Nothing was undone: {reason}.")
            return
        if not self.refuses(*map(_name, undo.requests)):
            self._send(*undo.requests, undo=undo)

    def refuses(self, *names: str) -> bool:
        """Return whether requests cannot be sent now, and say why.

        Args:
            names: Their names on the wire; none to learn whether any request can be sent.
        """
        moment = self.moment()
        if moment.refusal:
            self.say(f"Nothing was asked: {moment.refusal}.")
            return True
        for name in names:
            if reason := plain(moment.cannot(name)):
                self.say(f"This run does not take {name}: {reason}", bad=True)
                return True
        return False

    @property
    def may_stop(self) -> bool:
        """True where this viewer may stop the run."""
        return not (self._readonly or self.replay is not None or self.moment().status in OVER)

    def stop(self) -> bool:
        """Ask training to end after this batch; return whether that could be asked."""
        try:
            self._steering.ask(Stop(after="batch"), self.state, self._clock.time())
        except OSError as error:
            self.say(f"The request to stop cannot be written: {error}", bad=True)
            return False
        return True

    # The time of a replay

    def tick(self) -> None:
        """Fold the facts of a replay that have become due. Whoever shows a replay calls this several times a second."""
        now = self._clock.monotonic()
        seconds, self._ticked_at = now - self._ticked_at, now
        if self.replay is not None and (events := self.replay.release(seconds)):
            self.fold(events)

    def toggle_playing(self) -> None:
        """Play a replay, or pause it."""
        if self.replay is not None:
            self.replay.playing = not self.replay.playing
            self._ticked_at = self._clock.monotonic()

    def go_to(self, time: float) -> None:
        """Show a replay as it was at a time of the log, in Unix seconds, and wait there."""
        if self.replay is None:
            return
        self.hush()
        self.replay.playing = False
        if time < self.replay.time:
            # Facts cannot be taken back: they are folded anew.
            self.replay.to_start()
            self.state = RunState()
        self.fold(self.replay.to_time(time))


def _name(request: AnyRequest) -> str:
    """Return the name of a request on the wire."""
    return str(request.__struct_config__.tag)
