"""Says how a training process ended that recorded no end: by which signal, and whether for lack of memory."""

import contextlib
import signal
from pathlib import Path

from msgspec import Struct

from tuimon.runs import end_reasons

_MEANINGS = {"SIGSEGV": "segmentation fault", "SIGABRT": "aborted", "SIGBUS": "bus error", "SIGFPE": "arithmetic error"}
_CGROUPS = Path("/sys/fs/cgroup")


class MemoryKills(Struct, frozen=True):
    """How many processes the kernel has killed for lack of memory."""

    of_group: int | None = None
    """In the control group of this process, which has a limit of its own; None: not told."""
    of_machine: int | None = None
    """On the machine; None: not told."""

    @classmethod
    def now(cls) -> "MemoryKills":
        """Return the counts of this moment."""
        of_machine = _count(Path("/proc/vmstat"))
        return cls(next((n for n in map(_count, _files_of_group()) if n is not None), None), of_machine)

    def words_since(self, before: "MemoryKills") -> str:
        """Return what is known to have been killed since an earlier moment; empty where nothing is."""
        if self.of_group is not None and before.of_group is not None and self.of_group > before.of_group:
            return "out of memory: the kernel killed a process of its control group meanwhile, for lack of memory"
        if self.of_machine is not None and before.of_machine is not None and self.of_machine > before.of_machine:
            return "perhaps out of memory: the kernel killed a process on this machine meanwhile, for lack of memory"
        return ""


def in_words(code: int, *, output: str, memory: str = "") -> str:
    r"""Return how a process ended that recorded nothing itself.

    Args:
        code: Its exit code; of a signal the negative number, as `subprocess` has it.
        output: The end of what it printed.
        memory: What is known of kills for lack of memory; said of SIGKILL.

    Example:
        >>> in_words(-11, output="Fatal Python error: Segmentation fault\n")
        'segmentation fault (SIGSEGV)'
        >>> in_words(-9, output="")
        'killed by SIGKILL'
    """
    said = end_reasons.of_output(output)
    if code >= 0:
        return said or f"the training process ended with exit code {code} and recorded no reason"
    name = name_of(-code)
    if name == "SIGKILL":
        return f"killed by SIGKILL ({memory})" if memory else "killed by SIGKILL"
    if name not in _MEANINGS:
        return f"killed by {name}"
    # faulthandler prints where.
    place = said.partition(" at ")[2] if said.partition(" at ")[0] in (_MEANINGS[name], "aborted") else ""
    return f"{_MEANINGS[name]} ({name})" + (f" at {place}" if place else "")


def name_of(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:  # A real-time signal.
        return f"signal {number}"


def _files_of_group() -> list[Path]:
    """Return the files that count kills in the control group of this process, of both kernel interfaces."""
    files = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                files.append(_CGROUPS / path.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                # In a container the path may be that of the host, and the group the root.
                files.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
                files.append(_CGROUPS / "memory" / "memory.oom_control")
    return [*files, _CGROUPS / "memory.events"]


def _count(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None
