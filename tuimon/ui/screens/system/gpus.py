"""Reads the load of this machine's GPUs from NVIDIA's management library. Only this module loads it.

`pynvml` is the module of the package nvidia-ml-py. Any number of a GPU may be missing (virtual GPUs, MIG, older
drivers). Tested against a stand-in of the library, not on a real GPU.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One GPU at one time."""

    name: str
    """Its name in the driver."""
    busy: float | None
    """The share of time in which it computed; here and below, None where not known."""
    memory_used: int | None
    """Bytes used by all processes."""
    memory_total: int | None
    """Bytes in all."""
    trainer_memory: int | None
    """Bytes used by the training process."""
    temperature: float | None
    """Degrees Celsius."""
    watts: float | None
    """The power that it draws."""


class GpuReader:
    """Asks the library. It belongs to the thread that made it."""

    def __init__(self) -> None:
        self.missing = ""
        """The reason for showing no GPUs; empty where there are GPUs."""
        self._library: Any = None
        self._handles: list[Any] = []
        try:
            import pynvml
        except ImportError:
            self.missing = "GPUs are not shown: nvidia-ml-py is not installed. Install it: pip install nvidia-ml-py"
            return
        try:
            pynvml.nvmlInit()
            self._library = pynvml
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            self.missing = f"No GPU: NVIDIA's driver was not found here ({error})."
        else:
            self.missing = "" if self._handles else "No GPU: NVIDIA's driver knows of none."

    def read(self, pid: int | None) -> tuple[Gpu, ...]:
        """Return the load of each GPU now, with the memory that process ``pid`` uses there."""
        return tuple(self._read(handle, pid) for handle in self._handles)

    def close(self) -> None:
        """Release the library."""
        if self._library is not None:
            with contextlib.suppress(self._library.NVMLError):
                self._library.nvmlShutdown()

    def _read(self, handle: Any, pid: int | None) -> Gpu:
        library = self._library
        name = self._ask(lambda: library.nvmlDeviceGetName(handle))
        use = self._ask(lambda: library.nvmlDeviceGetUtilizationRates(handle))
        memory = self._ask(lambda: library.nvmlDeviceGetMemoryInfo(handle))
        milliwatts = self._ask(lambda: library.nvmlDeviceGetPowerUsage(handle))
        return Gpu(
            name=name.decode(errors="replace") if isinstance(name, bytes) else str(name or "GPU"),
            busy=None if use is None else use.gpu / 100,
            memory_used=None if memory is None else int(memory.used),
            memory_total=None if memory is None else int(memory.total),
            trainer_memory=self._memory_of(handle, pid),
            temperature=self._ask(lambda: library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)),
            watts=None if milliwatts is None else milliwatts / 1000,
        )

    def _memory_of(self, handle: Any, pid: int | None) -> int | None:
        processes = self._ask(lambda: self._library.nvmlDeviceGetComputeRunningProcesses(handle))
        of_pid = [process.usedGpuMemory for process in processes or () if process.pid == pid]
        if processes is None or pid is None or None in of_pid:
            return None
        return int(sum(of_pid))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._library.NVMLError:
            return None
