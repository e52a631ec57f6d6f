"""Looks for what is wrong while a run goes on, in the process that trains."""

from collections import deque
from collections.abc import Iterator

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.rules import findings
from tuimon.protocol import events
from tuimon.runs.state import RunState

ROWS = 20_000
"""Steps and epochs that are remembered, the newest; of a run of any length."""
UNREAD = 10_000
"""Events that wait to be looked at, the newest."""


class LiveDiagnosis:
    """Hears a run's events as they are recorded, from any thread, and yields what is new among the findings.

    Args:
        state: What a run that is resumed adds up to so far.
    """

    def __init__(self, state: RunState | None = None) -> None:
        self._state = state or RunState()
        self._unread: deque[events.AnyEvent] = deque(maxlen=UNREAD)
        self._known = {(alert.rule, alert.layer) for alert in self._state.alerts}

    def hear(self, event: events.AnyEvent) -> None:
        """Take an event."""
        self._unread.append(event)

    def look(self) -> Iterator[events.Alert]:
        """Yield an alert for each finding that was not there when it was last looked."""
        new = [self._unread.popleft() for _ in range(len(self._unread))]
        if not new:
            return
        self._state.apply(new)
        self._state.forget_before(ROWS)
        found = {finding.key: finding for finding in findings(self._state)}
        known, self._known = self._known, set(found)
        for key, finding in found.items():
            if key not in known:
                yield _alert(finding)


def _alert(finding: Finding) -> events.Alert:
    return events.Alert(
        rule=finding.rule,
        severity=finding.severity,
        layer=finding.layer,
        what=finding.what,
        evidence=finding.evidence,
        advice=finding.advice,
        request=finding.request,
    )
