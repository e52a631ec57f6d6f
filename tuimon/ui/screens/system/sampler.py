"""Samples the load of this machine and of the trainer on it, once a second, in a thread."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from tuimon.machine.reader import NO_PSUTIL, MachineReader
from tuimon.protocol.events import System

SAMPLE_SECONDS = 1.0


@dataclass
class Sampled(Message):
    """The machine was sampled."""

    sample: System | None
    """The sample; None where the machine cannot be sampled."""
    missing: str = ""
    """The reason for showing nothing, in words; empty with a sample."""


class Sampler:
    """Samples the machine until told to stop. It touches no widget, and posts messages.

    Args:
        pid: The process of the trainer; None where it cannot be seen from here.
        directory: The run directory, for its disk.
        post: Takes the messages.
    """

    def __init__(self, pid: int | None, directory: Path, post: Callable[[Message], object]) -> None:
        self._pid = pid
        self._directory = directory
        self._post = post
        self._stop = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        try:
            reader = MachineReader(self._pid, self._directory)
        except ImportError:
            self._post(Sampled(None, missing=NO_PSUTIL))
            return
        while not self._stop.is_set():
            sample = reader.read()
            sample.time = time.time()
            self._post(Sampled(sample))
            self._stop.wait(SAMPLE_SECONDS)
        reader.close()

    def stop(self) -> None:
        """End `run` soon. Called from another thread."""
        self._stop.set()
