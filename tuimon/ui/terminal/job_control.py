"""Suspending the program as a shell's job, where there is a shell that can bring it back."""

import os
import signal

_LAUNCHERS = frozenset(
    "bash dash env fish hatch just make nice pdm pixi poetry sh sudo time uv uvx zsh".split()  # noqa: SIM905
)
"""Programs that start others as a part of the same job."""


def can_be_continued() -> bool:
    """Return whether a shell can continue this process once it is stopped.

    A process that a terminal, an SSH connection or a container started without a shell would stay stopped for ever. The
    kernel stops none of those (POSIX: orphaned process groups), but it does where a process stops itself.
    """
    # Loaded when it is needed: the first screen does without.
    import psutil

    session, group = os.getsid(0), os.getpgrp()
    for parent in psutil.Process().parents():
        try:
            if os.getsid(parent.pid) != session:
                return False
            if os.getpgid(parent.pid) != group:
                return True
        except (ProcessLookupError, PermissionError):
            return False
    return False


def stop_launcher() -> None:
    """Stop the program that started this one as part of the same job, such as `uv run`: the shell waits for it.

    Ctrl+Z stops all processes of a job. This stops no other ones: a training process may be among them.
    """
    import psutil

    parent = psutil.Process().parent()
    if parent is not None and parent.name() in _LAUNCHERS and os.getpgid(parent.pid) == os.getpgrp():
        os.kill(parent.pid, signal.SIGTSTP)
