"""Reads the load of this machine's GPUs from NVIDIA's management library. Only this module loads it.

`pynvml` is the module of the package nvidia-ml-py. Any number of a GPU may be missing (virtual GPUs, MIG, older
drivers). Tested against a stand-in of the library, not on a real GPU.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from tuimon.protocol.events import GpuLoad


class GpuReader:
    """Asks the library, which may take seconds where the driver sleeps. For one thread at a time.

    Args:
        pid: The training process; None where it cannot be seen from here.
        visible: The value of ``CUDA_VISIBLE_DEVICES`` in that process; None where it is not set or not known.
    """

    def __init__(self, pid: int | None, visible: str | None = None) -> None:
        self.missing = ""
        """The reason for showing no GPUs; empty where there are GPUs."""
        self._pid = pid
        self._library: Any = None
        self._handles: list[tuple[int, Any]] = []
        try:
            import pynvml
        except ImportError:
            self.missing = "GPUs are not shown: nvidia-ml-py is not installed. Install it: pip install nvidia-ml-py"
            return
        except Exception as error:  # noqa: BLE001 - a package of the same name, or a warning that the user made an error
            self.missing = f"GPUs are not shown: {error!r}"
            return
        try:
            pynvml.nvmlInit()
            self._library = pynvml
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            self.missing = f"No GPU: NVIDIA's driver was not found here ({error})."
            return
        self.missing = "" if handles else "No GPU: NVIDIA's driver knows of none."
        may_use = range(len(handles)) if visible is None else visible_gpus(visible, list(map(self._uuid, handles)))
        self._handles = [(index, handles[index]) for index in may_use]
        if handles and not self._handles:
            self.missing = "CUDA_VISIBLE_DEVICES hides the GPUs of this machine from the training process."

    def read(self) -> list[GpuLoad]:
        """Return the load of the GPUs that the process uses; of all that it may use, where the driver tells of none."""
        memory = [self._memory_of_process(handle) for _, handle in self._handles]
        # A driver outside of a container knows the process by another number.
        is_known = any(memory)
        return [
            self._read(index, handle, of_process)
            for (index, handle), of_process in zip(self._handles, memory, strict=True)
            if of_process or not is_known
        ]

    def close(self) -> None:
        """Release the library."""
        if self._library is not None:
            with contextlib.suppress(self._library.NVMLError):
                self._library.nvmlShutdown()

    def _read(self, index: int, handle: Any, of_process: list[int | None]) -> GpuLoad:
        library = self._library
        use = self._ask(lambda: library.nvmlDeviceGetUtilizationRates(handle))
        memory = self._ask(lambda: library.nvmlDeviceGetMemoryInfo(handle))
        milliwatts = self._ask(lambda: library.nvmlDeviceGetPowerUsage(handle))
        return GpuLoad(
            index=index,
            name=_text(self._ask(lambda: library.nvmlDeviceGetName(handle))) or "GPU",
            busy=None if use is None else use.gpu / 100,
            memory_used=None if memory is None else int(memory.used),
            memory_total=None if memory is None else int(memory.total),
            process_memory=sum(filter(None, of_process)) if of_process and None not in of_process else None,
            temperature=self._ask(lambda: library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)),
            watts=None if milliwatts is None else milliwatts / 1000,
        )

    def _memory_of_process(self, handle: Any) -> list[int | None]:
        """Return the bytes that the process uses on a GPU, once for each part of it; empty where it uses none."""
        if self._pid is None:
            return []
        processes = self._ask(lambda: self._library.nvmlDeviceGetComputeRunningProcesses(handle))
        return [process.usedGpuMemory for process in processes or () if process.pid == self._pid]

    def _uuid(self, handle: Any) -> str:
        return _text(self._ask(lambda: self._library.nvmlDeviceGetUUID(handle)))

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception:  # noqa: BLE001 - not supported by this GPU, or by this version of the library
            return None


def visible_gpus(visible: str, uuids: list[str]) -> list[int]:
    """Return the numbers of the GPUs that ``CUDA_VISIBLE_DEVICES`` names, as CUDA reads it.

    The first name that fits no GPU ends the list. Numbers are taken in the order of the PCI bus: CUDA numbers GPUs of
    several kinds otherwise unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.

    Args:
        visible: The value of the variable.
        uuids: The UUID of each GPU; empty where not known.

    Returns:
        Numbers in ascending order. Parts of GPUs (``MIG-…``) cannot be told apart: then all GPUs.

    Example:
        >>> visible_gpus("1,GPU-a", ["GPU-ab12", "GPU-cd34"]), visible_gpus("-1", ["GPU-ab12"])
        ([0, 1], [])
    """
    found: set[int] = set()
    for entry in map(str.strip, visible.split(",")):
        if entry.startswith("MIG-"):
            return list(range(len(uuids)))
        if entry.isdecimal() and int(entry) < len(uuids):
            found.add(int(entry))
        elif entry.startswith("GPU-") and (named := [i for i, uuid in enumerate(uuids) if uuid.startswith(entry)]):
            found.update(named)
        else:
            break
    return sorted(found)


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
