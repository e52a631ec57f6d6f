"""Samples the load of this machine and of the trainer on it, once a second, in a thread."""

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
    """The load of this machine and of the trainer at one time. None: not known."""

    time: float
    """Seconds of the monotonic clock."""
    cores: int
    """The number of logical processors."""
    cpu: float
    """The share of all processors that was busy since the sample before."""
    trainer_cpu: float | None
    """The number of processors that the trainer kept busy."""
    memory_used: int
    """Bytes that are not available to others."""
    memory_total: int
    """Bytes in all."""
    trainer_memory: int | None
    """Bytes of the trainer in memory."""
    gpus: tuple[Gpu, ...]
    """The GPUs, in the order of the driver."""


@dataclass
class Sampled(Message):
    """The machine was sampled."""

    sample: Sample | None
    """The sample; None where the machine cannot be sampled."""
    gpus_missing: str = ""
    """The reason for showing no GPUs; empty where there are GPUs."""
    missing: str = ""
    """The reason for showing nothing, in words; empty with a sample."""


class Sampler:
    """Samples the machine until told to stop. It touches no widget, and posts messages.

    Args:
        pid: The process of the trainer; None where it cannot be seen from here.
        post: Takes the messages.
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
            self._post(
                Sampled(None, missing="psutil is not installed; it reads the load of the machine: pip install psutil")
            )
            return
        gpus = GpuReader()
        trainer = None
        if self._pid is not None:
            with contextlib.suppress(psutil.Error):
                trainer = psutil.Process(self._pid)
        # Each share is of the time since the call before: the first ones have no meaning.
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
        """End `run` soon. Called from another thread."""
        self._stop.set()


def _of_trainer(psutil: Any, trainer: Any) -> tuple[float | None, int | None]:
    """Return how many processors a process keeps busy and the bytes it has in memory."""
    if trainer is None:
        return None, None
    try:
        with trainer.oneshot():
            return trainer.cpu_percent() / 100, trainer.memory_info().rss
    except psutil.Error:
        # The process has ended, or belongs to somebody else.
        return None, None
