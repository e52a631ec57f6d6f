"""How busy this machine and the trainer on it are, once a second, from a thread."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from tuimon.ui.screens.system.gpus import Gpu, GpuReader

SAMPLE_SECONDS = 1.0


@dataclass(frozen=True)
class Sample:
    """This machine and the trainer at one time. None: not known."""

    time: float
    """Seconds of the monotonic clock."""
    cores: int
    """Logical processors."""
    cpu: float
    """The share of all processors that was busy since the sample before."""
    trainer_cpu: float | None
    """How many processors the trainer kept busy."""
    memory_used: int
    """Bytes that are not available to others."""
    memory_total: int
    """Bytes."""
    trainer_memory: int | None
    """Bytes of the trainer that are in memory."""
    gpus: tuple[Gpu, ...]
    """In the order of the driver."""


@dataclass
class Sampled(Message):
    """The machine was looked at."""

    sample: Sample | None
    """None where that cannot be done."""
    gpus_missing: str = ""
    """Why there are no GPUs to show; empty where there are."""
    missing: str = ""
    """Why nothing can be shown, in words; empty where it can."""


class Sampler:
    """Looks at the machine until it is stopped. Touches no widget: it posts messages.

    Args:
        pid: The trainer; None where its process cannot be seen from here.
        post: Where messages go.
    """

    def __init__(self, pid: int | None, post: Callable[[Message], object]) -> None:
        self._pid = pid
        self._post = post
        self._stop = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        try:
            import psutil
        except ImportError:
            self._post(Sampled(None, missing="psutil is not installed, which looks at the machine: pip install psutil"))
            return
        gpus = GpuReader()
        trainer = None
        if self._pid is not None:
            with contextlib.suppress(psutil.Error):
                trainer = psutil.Process(self._pid)
        # Each share is of the time since the call before: the first ones mean nothing.
        psutil.cpu_percent()
        _of_trainer(psutil, trainer)
        while not self._stop.wait(SAMPLE_SECONDS):
            memory = psutil.virtual_memory()
            trainer_cpu, trainer_memory = _of_trainer(psutil, trainer)
            sample = Sample(
                time=time.monotonic(),
                cores=psutil.cpu_count() or 1,
                cpu=psutil.cpu_percent() / 100,
                trainer_cpu=trainer_cpu,
                memory_used=memory.total - memory.available,
                memory_total=memory.total,
                trainer_memory=trainer_memory,
                gpus=gpus.read(self._pid),
            )
            self._post(Sampled(sample, gpus.missing))
        gpus.close()

    def stop(self) -> None:
        """Have `run` return."""
        self._stop.set()


def _of_trainer(psutil: Any, trainer: Any) -> tuple[float | None, int | None]:
    """Return how many processors a process keeps busy and the bytes it has in memory."""
    if trainer is None:
        return None, None
    try:
        with trainer.oneshot():
            return trainer.cpu_percent() / 100, trainer.memory_info().rss
    except psutil.Error:
        # It has ended, or is somebody else's.
        return None, None
