"""Reads config, command line and owner of a run, in a thread: the log does not have them."""

import contextlib
import pwd
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from tuimon.protocol.events import RunStarted
from tuimon.regular_file import read_regular
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory

_MOST_BYTES = 64 * 1024


@dataclass
class RunFiles(Message):
    """The run directory was read. None: not known."""

    config: str | None
    """The text of `config.toml`; None where there is none."""
    command: tuple[str, ...] | None
    """The command line of the training process, where it runs on this machine."""
    user: str | None
    """The owner of the log."""


def read_run_files(path: Path, started: RunStarted | None) -> RunFiles:
    """Read the run directory at ``path``, and the command line of the process that ``started`` names."""
    run = RunDirectory(path)
    config = user = command = None
    with contextlib.suppress(OSError):
        config = read_regular(run.config, _MOST_BYTES).decode(errors="replace")
    with contextlib.suppress(OSError):
        user = _user_name(run.session_log.stat().st_uid)
    if started is not None and liveness.trainer_lives(started):
        with contextlib.suppress(OSError):
            data = Path(f"/proc/{started.pid}/cmdline").read_bytes()
            command = tuple(part.decode(errors="replace") for part in data.rstrip(b"\0").split(b"\0"))
    return RunFiles(config, command, user)


def _user_name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
