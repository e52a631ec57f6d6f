"""Answers requests: each id has exactly one answer, through all attempts of a run."""

import itertools

from tuimon.protocol import events
from tuimon.text import plain
from tuimon.trainer.requests import inbox
from tuimon.trainer.requests.folder import Folder
from tuimon.trainer.requests.inbox import Received
from tuimon.trainer.session.recorder import Recorder

MOST_REFUSED = 1000
"""Files without a readable request that one `fit` answers; further ones are removed without an answer each."""
_TAKEN = itertools.count(1)
"""Numbers the requests of this process, as they are taken."""
_KILLED = "the attempt that took it was killed before it answered"
_LEFT = "it was meant for an attempt that has ended"


class Answers:
    """Claims requests and answers each once.

    Args:
        recorder: Writes the answers.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.open: dict[str, Received] = {}
        """The requests that were claimed and wait for their answer, by id."""
        self._recorder = recorder
        self._refused = 0

    def claim(self, received: Received) -> bool:
        """Take a request; return False if there is nothing to do: withdrawn, or answered here as a duplicate."""
        if not received.claim():
            return False
        if received.id not in self.open and received.id not in self._recorder.answered:
            received.taken = next(_TAKEN)
            self.open[received.id] = received
            return True
        if received.is_stuck:
            return False  # Its answer is there, only its file cannot be removed.
        reason = received.reason
        if received.request is not None:
            reason = f"a request with the id {plain(received.id, 100)} was here before: each needs an id of its own"
        self._reject(received, self.unused(received.stem), reason)
        return False

    def reject(self, received: Received, reason: str) -> None:
        """Answer a claimed request: it is rejected."""
        self.open.pop(received.id, None)
        self._reject(received, received.id, reason)

    def applied(self, received: Received, fact: events.CommandApplied) -> None:
        """Answer a claimed request with ``fact``."""
        self.open.pop(received.id, None)
        self._recorder.record(fact, received.delete)

    def unused(self, identity: str) -> str:
        """Return an id that has no answer yet: this one, or this one with a number."""
        count, unused = 1, identity
        while unused in self._recorder.answered or unused in self.open:
            count += 1
            unused = f"{identity}-{count}"
        return unused

    def _reject(self, received: Received, identity: str, reason: str) -> None:
        if received.request is None:
            self._refused += 1
            if self._refused > MOST_REFUSED:
                if self._refused == MOST_REFUSED + 1:
                    self._recorder.note("commands/ holds many files that are no requests: no further one is answered")
                received.delete()
                return
        fact = events.CommandRejected(id=identity, request=received.fields, sender=received.sender, reason=reason)
        self._recorder.record(fact, received.delete)


def reject_left_over(recorder: Recorder) -> None:
    """Reject the requests that a former attempt left; a stop among them would end this attempt at its first step.

    What that attempt took has its answer in the log, or else was never answered: the state it was applied to is gone.
    """
    answers, folder = Answers(recorder), Folder(recorder.run.path)
    for received in inbox.claimed(folder):
        if received.id in recorder.answered:
            received.delete()
        else:
            answers.reject(received, _KILLED)
    for received in inbox.waiting(folder):
        if answers.claim(received):
            answers.reject(received, _LEFT)
