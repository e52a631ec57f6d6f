"""Reads the load of this machine and of one process on it."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuimon.machine.gpus import GpuReader
from tuimon.protocol.events import System

NO_PSUTIL = "psutil is not installed; it reads the load of the machine: pip install psutil"


class MachineReader:
    """Reads the machine, for one thread at a time.

    Shares of processors are of the time between two reads, so the first read has none.

    Args:
        pid: The training process; None where it cannot be seen from here.
        directory: The run directory, for its disk.
        visible_gpus: The value of ``CUDA_VISIBLE_DEVICES`` in that process; None where it is not set or not known.

    Raises:
        ImportError: psutil is not installed.
    """

    def __init__(self, pid: int | None, directory: Path, visible_gpus: str | None = None) -> None:
        import psutil

        self._psutil = psutil
        self._directory = directory
        self._process: Any = None
        self._cpu_times: tuple[float, float] | None = None
        self._is_first = True
        if pid is not None:
            with contextlib.suppress(psutil.Error):
                self._process = psutil.Process(pid)
        self._gpus = GpuReader(pid, visible_gpus)

    def read(self) -> System:
        """Return the load now."""
        psutil = self._psutil
        memory = self._ask(psutil.virtual_memory)
        disk = self._ask(lambda: shutil.disk_usage(self._directory))
        process_cpu, process_memory = self._of_process()
        load = System(
            cores=self._ask(psutil.cpu_count),
            cpu=self._cpu(),
            process_cpu=None if self._is_first else process_cpu,
            memory_used=None if memory is None else memory.total - memory.available,
            memory_total=None if memory is None else memory.total,
            process_memory=process_memory,
            disk_free=None if disk is None else disk.free,
            disk_total=None if disk is None else disk.total,
            gpus=self._gpus.read(),
            why_no_gpus=self._gpus.missing,
        )
        self._is_first = False
        return load

    def close(self) -> None:
        """Release the GPUs' library."""
        self._gpus.close()

    def _cpu(self) -> float | None:
        """Return the share of all processors that was busy since the read before; None if that is not known.

        Not `psutil.cpu_percent`: its last reading is one for the whole process, and the user may use it, too.
        """
        times = self._ask(self._psutil.cpu_times)
        if times is None:
            return None
        # The time of guests is part of the user's.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        before, self._cpu_times = self._cpu_times, (times.idle + getattr(times, "iowait", 0.0), whole)
        if before is None or whole <= before[1]:
            return None
        return float(min(1.0, max(0.0, 1 - (self._cpu_times[0] - before[0]) / (whole - before[1]))))

    def _of_process(self) -> tuple[float | None, int | None]:
        """Return how many processors the process kept busy, and its bytes in memory."""
        if self._process is None:
            return None, None
        try:
            return self._process.cpu_percent() / 100, self._process.memory_info().rss
        except self._psutil.Error:
            # The process has ended, or belongs to somebody else.
            return None, None

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (self._psutil.Error, OSError, NotImplementedError):
            return None
