"""Limits the size of ``trainer.log``: a training that prints for days must not fill the disk."""

import contextlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

MAXIMUM_LOG_BYTES = 16 * 1024 * 1024
"""Size from which the log is moved to ``trainer.log.1``, replacing the former one."""
LOOK_SECONDS = 5.0


def keep_bounded(path: Path, maximum_bytes: int = MAXIMUM_LOG_BYTES, look_seconds: float = LOOK_SECONDS) -> None:
    """Start a thread that keeps the log below a size while the process lives.

    The process prints through a descriptor in append mode, so the file can be emptied safely.
    """

    def watch() -> None:
        while True:
            threading.Event().wait(look_seconds)
            with contextlib.suppress(OSError):
                if path.stat().st_size > maximum_bytes:
                    rotate(path, maximum_bytes)

    threading.Thread(target=watch, name="tuimon-trainer-log", daemon=True).start()


def forgive_full_disk() -> None:
    """Drop printed text that the disk does not take, so that a print cannot end the training."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        buffer = io.BufferedWriter(_Forgiving(descriptor, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(buffer, encoding="utf-8", errors="replace", line_buffering=True))


class _Forgiving(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def rotate(path: Path, maximum_bytes: int = MAXIMUM_LOG_BYTES) -> None:
    """Move the last ``maximum_bytes`` of the log to ``trainer.log.1``, and empty the log.

    Raises:
        OSError: The disk does not take them, or one of the two files is a link.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "r+b") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - maximum_bytes))
        older = path.with_name(f"{path.name}.1")
        kept = os.open(older, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(kept, "wb") as file:
            file.write(log.read())
        log.truncate(0)
