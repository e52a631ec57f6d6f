"""The directory of one fault, and the processes that are started in it."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from helpers import command, environment
from tuimon.runs.run_directory import RunDirectory

MARK = "FAULT_PLACE"
"""The environment variable by which all processes of a fault are found, whoever their parent is by then."""
PATIENCE_SECONDS = 60.0
"""For another process; on a busy machine everything takes long."""


def waited(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS, *, every: float = 0.002) -> bool:
    """Wait until a condition holds, and return whether it does in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


class Watching:
    """``tuimon watch`` without a terminal: its lines, and when each came."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.rstrip("\n")))

    def said(self, *words: str, since: float, seconds: float = PATIENCE_SECONDS) -> float | None:
        """Return how long after ``since`` a line came that has one of these words; None if none did in time."""

        def found() -> float | None:
            return next((at for at, line in [*self.lines] if any(each in line for each in words)), None)

        waited(lambda: found() is not None or self.process.poll() is not None, seconds)
        self._thread.join(1.0 if self.process.poll() is not None else 0.0)
        at = found()
        return None if at is None else max(0.0, at - since)

    @property
    def traceback(self) -> str:
        """The last line of a traceback that it printed; empty if it printed none."""
        text = [line for _, line in [*self.lines]]
        return text[-1] if any(line.startswith("Traceback") for line in text) else ""


class Place:
    """A directory for one fault. Leaving it ends every process that was started in it, and unmounts what is mounted.

    Args:
        path: The directory; made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        clean(self.path)
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10.0)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def directory(self, name: str) -> Path:
        """Return a directory in it, made if it is missing."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def variables(self, **variables: str) -> dict[str, str]:
        """Return the environment of a process of this fault."""
        return environment(**{MARK: str(self.path), "HOME": str(self.path), **variables})

    def start(self, line: Sequence[object], **options: object) -> "subprocess.Popen[str]":
        """Start a process in a session of its own, without a terminal."""
        arguments: dict[str, object] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "text": True,
            "cwd": self.path,
            "env": self.variables(),
            "start_new_session": True,
            **options,
        }
        process: subprocess.Popen[str] = subprocess.Popen([str(each) for each in line], **arguments)  # type: ignore[call-overload]
        self._started.append(process)
        return process

    def run(self, *arguments: object, seconds: float = PATIENCE_SECONDS) -> "subprocess.CompletedProcess[str]":
        """Run a subcommand of tuimon to its end.

        Raises:
            subprocess.TimeoutExpired: It takes longer.
        """
        return subprocess.run(
            command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            cwd=self.path,
            env=self.variables(),
            check=False,
        )

    def watch(self, run: RunDirectory | Path) -> Watching:
        """Start a viewer that prints lines."""
        path = run.path if isinstance(run, RunDirectory) else run
        return Watching(self.start(command("watch", path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT))


def processes_of(path: Path) -> list[int]:
    """Return the processes that were started in a place and run."""
    found, mark = [], f"{MARK}={path}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        # It may be another user's, or have ended meanwhile.
        with contextlib.suppress(OSError):
            if int(environ.parent.name) != os.getpid() and mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def clean(path: Path) -> None:
    """End all processes of a place, and unmount what is mounted in it."""
    for _ in range(3):
        for process in processes_of(path):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
    for mounted in mounts_in(path):
        subprocess.run(["umount", "--lazy", mounted], check=False, capture_output=True)


def mounts_in(path: Path) -> Iterator[str]:
    """Yield where something is mounted below a directory, the deepest first."""
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines() if Path("/proc/mounts").exists() else []
    for line in reversed(lines):
        where = line.split()[1]
        if where.startswith(f"{path}{os.sep}"):
            yield where


@contextlib.contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Kill a process afterwards, if it has not ended by then."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
