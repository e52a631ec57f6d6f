"""What is known of a run whose log is not in its place any more."""

import shlex

from tuimon.protocol.events import RunStarted
from tuimon.runs import liveness
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory, runs_in


def lost_words(changed: LogChangedError, tail: Tail, started: RunStarted | None) -> str:
    """Return what happened to the log, where it is now, and that its trainer lives where that is known.

    A directory that was renamed is found beside its former place.

    Args:
        changed: What happened.
        tail: What was read before.
        started: The newest attempt; None where it is not known.

    Example:
        `the log was removed, and its trainer (process 4711) still runs`
    """
    renamed = next((run for run in runs_in(tail.path.parent.parent) if tail.is_now_at(run.session_log)), None)
    # That no process has its number proves nothing: in a container it has another one.
    lives = started is not None and liveness.trainer_lives(started)
    if renamed is not None:
        # The banner has room for the command, not for the process as well.
        return f"the run was renamed{' while it trains' * lives}. Watch it: {watch_command(renamed)}"
    return (
        f"{changed.words}, and its trainer (process {started.pid}) still runs" if started and lives else changed.words
    )


def watch_command(run: RunDirectory) -> str:
    """Return the command that watches a run."""
    return f"tuimon watch {shlex.quote(run.place)}"
