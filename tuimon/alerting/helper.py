"""A process that watches one run and sends its alerts: ``python -m tuimon.alerting.helper RUN_DIRECTORY``.

The trainer cannot tell of its own crash, and a terminal may be closed: so this process belongs to neither. Its orders
come as JSON on standard input, for a command line is seen by all users of a machine.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import msgspec

from tuimon.alerting.sent import Sent
from tuimon.launch.launcher import child_environment
from tuimon.regular_file import read_regular
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import Alerts

LOOK_SECONDS = 0.5
"""How often it looks at the log."""
_NICENESS = 10
"""Its work never comes before that of the training."""
_LARGEST = 1024 * 1024
_MORE_SECONDS = 5.0
"""What it takes beside the command, at most."""
_LAST_SECONDS = 60.0
"""How long it stays after SIGTERM, which often ends the trainer as well: that is told of."""
_FORGOTTEN_SECONDS = 86400.0
"""A run that is silent for so long is given up: nobody can tell where this system shows no processes."""


class Orders(msgspec.Struct, kw_only=True, frozen=True):
    """What the process is to do."""

    options: Alerts
    """The command, and what it is run for."""
    since_bytes: int | None = None
    """As `Sender` has it."""
    trainer: tuple[int, float] | None = None
    """As `Sender` has it."""
    parent: int | None = None
    """The process with which it ends, once nothing waits to be sent; None: it stays until the run is over."""
    leaves_parent: bool = False
    """Whether it is no child of the process that starts it, for long: a program may wait for all of its children."""
    variables: dict[str, str | None] = {}
    """Environment variables as they were, for the command; None: not set."""


def start(
    run: RunDirectory,
    options: Alerts,
    *,
    since_bytes: int | None = None,
    trainer_pid: int | None = None,
    with_parent: bool = False,
    leaves_parent: bool = False,
) -> "subprocess.Popen[bytes] | None":
    """Start the process, if there is a command to run; never raise, and wait for nothing.

    Args:
        run: The run.
        options: The command, and what it is run for.
        since_bytes: How long the log was before; None: what it holds now is no news.
        trainer_pid: The training process, where it is known.
        with_parent: Whether it ends with this process, which merely watches; else it stays until the run is over. A run
            whose config has alerts of its own is then left to them.
        leaves_parent: Whether it is soon no child of this process, whose program may wait for all of its children. What
            is returned is then the child that makes it; its ``stdout``, which stays empty, ends with the process.
    """
    if not options.command or options.trouble() or not options.on or (with_parent and _has_own_alerts(run)):
        return None
    # It computes nothing: NumPy's library would start a thread for each core.
    environment = {**child_environment(), "OPENBLAS_NUM_THREADS": "1"}
    start_of_trainer = liveness.process_start(trainer_pid) if trainer_pid is not None else None
    orders = Orders(
        options=options,
        since_bytes=since_bytes,
        trainer=None if trainer_pid is None or start_of_trainer is None else (trainer_pid, start_of_trainer),
        parent=os.getpid() if with_parent else None,
        # All orphans of a container are children of its first process: that one takes note of its end as a child.
        leaves_parent=leaves_parent and os.getpid() != 1,
        variables={name: os.environ.get(name) for name in environment if environment[name] != os.environ.get(name)},
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tuimon.alerting.helper", str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if leaves_parent else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        assert process.stdin is not None
        # A pipe takes this at once: it is short.
        process.stdin.write(msgspec.json.encode(orders))
        process.stdin.close()
    # Its end is taken note of, so that it does not stay in the table of processes.
    threading.Thread(target=process.wait, name="tuimon-alerts", daemon=True).start()
    return process


def _has_own_alerts(run: RunDirectory) -> bool:
    """Return whether the config of a run names alerts. Its command is not run: the directory may come from anybody."""
    # Most runs have no config, and their first screen does without.
    import tomllib

    try:
        tables = tomllib.loads(read_regular(run.config, _LARGEST).decode())
    except (OSError, ValueError, RecursionError):
        return False
    return "alerts" in tables


def wait_until_sent(run: RunDirectory, process: "subprocess.Popen[bytes] | None", options: Alerts) -> None:
    """Wait until the alerts of a run that is over are sent, whichever process does that; not for ever.

    Where a job, a service or a container ends with its last process, what is not sent by then never is.

    Args:
        run: The run.
        process: What `start` returned.
        options: What it was started with.
    """
    if process is None:
        return
    deadline = time.monotonic() + options.every_seconds + options.timeout_seconds + _MORE_SECONDS
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(deadline - time.monotonic())
    sent = Sent(run.path)
    while sent.is_sending and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS / 5)


class _Leaving:
    """Until when the process stays after SIGTERM."""

    def __init__(self) -> None:
        self.at: float | None = None
        """By `time.monotonic`; None: there was no signal."""

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note that somebody wants the process to end."""
        del number, frame
        self.at = self.at or time.monotonic() + _LAST_SECONDS


def main(arguments: list[str]) -> int:
    """Watch until the run is over; return the exit code."""
    from tuimon.alerting.sender import Sender

    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    if orders.leaves_parent and os.fork():
        return 0
    for name, value in orders.variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    # As a program has left them that ignores the ends of its children: the exit status of the command would be lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1):
        # Not SIG_IGN, which the command would inherit.
        signal.signal(number, lambda *_: None)
    leaving = _Leaving()
    signal.signal(signal.SIGTERM, leaving.handle)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    sender = Sender(
        RunDirectory(Path(arguments[0])), orders.options, since_bytes=orders.since_bytes, trainer=orders.trainer
    )
    while True:
        sender.look()
        is_alone = orders.parent is not None and os.getppid() != orders.parent
        is_time = leaving.at is not None and time.monotonic() >= leaving.at
        is_forgotten = sender.silent_seconds > _FORGOTTEN_SECONDS
        if sender.is_over or is_time or is_forgotten or (is_alone and not sender.has_pending):
            return 0
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
