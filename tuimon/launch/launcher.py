"""Starts a training process that outlives the terminal, and warns where logging out ends it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tuimon.launch.exit_status import MemoryKills, in_words
from tuimon.runs.run_directory import RunDirectory

_READ_BYTES = 64 * 1024

Ask = Callable[[Sequence[str]], str | None]
"""Runs a command and returns its output; None if it is missing or fails."""

TAKEN = 75
"""Exit code of a training process whose run another process trains."""


class TrainerProcess:
    """The process that trains one run.

    Example:
        ```python
        trainer = TrainerProcess(run)
        trainer.start()
        status = trainer.wait()
        ```
    """

    def __init__(self, run: RunDirectory, *, resumes: bool = False) -> None:
        self.run = run
        """The run that it trains."""
        self.resumes = resumes
        """Whether it continues from the run's newest checkpoint."""
        self._process: subprocess.Popen[bytes] | None = None
        self._printed_before = 0
        self._memory_before = MemoryKills()

    @property
    def pid(self) -> int | None:
        """Its process id; None before the start."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process in a session of its own, so that no terminal's signals reach it; later calls do nothing.

        Raises:
            OSError: The process cannot be started, or its log cannot be written.
        """
        if self._process is not None:
            return
        # -P: no file in the working directory replaces an installed module.
        command = [sys.executable, "-P", "-m", "tuimon.trainer.keras.job", str(self.run.path)]
        command += ["--resume"] if self.resumes else []
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(self.run.trainer_log, flags, 0o600)
        self._printed_before = os.fstat(log).st_size
        self._memory_before = MemoryKills.now()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=child_environment(),
            )
        finally:
            os.close(log)

    def poll(self) -> int | None:
        """Return its exit code; None while it runs, and before the start."""
        return self._process.poll() if self._process else None

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None, "it was not started"
        return self._process.wait()

    def pass_on(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def how_it_ended(self) -> str:
        """Wait for its end and say how it came about; for a process that recorded nothing itself."""
        code = self.wait()
        memory = MemoryKills.now().words_since(self._memory_before)
        return in_words(code, output=self._printed(), memory=memory)

    def _printed(self) -> str:
        """Return the end of what this process printed, without what earlier attempts did."""
        with contextlib.suppress(OSError), self.run.trainer_log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # The trainer shortens a log that grows too large.
            file.seek(max(self._printed_before if self._printed_before <= size else 0, size - _READ_BYTES))
            return file.read().decode(errors="replace")
        return ""


def child_environment() -> dict[str, str]:
    """Return the environment of a process of tuimon's own, which imports the same tuimon."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    root = Path(__file__).absolute().parent.parent.parent
    if root.name not in ("site-packages", "dist-packages"):
        # tuimon runs from a checkout, perhaps not installed: the trainer must import the same one.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), environment.get("PYTHONPATH"))))
    return environment


def logout_warning(
    environment: Mapping[str, str] | None = None, cgroup: str | None = None, ask: Ask | None = None
) -> str | None:
    """Return a warning if logging out ends a training that is left running, with the remedy.

    systemd stops the processes of a login session if logind has `KillUserProcesses=yes`. It also stops those of the
    user's service manager, which ends with the last session of a user without linger (logind.conf(5), loginctl(1)).
    Slurm stops the processes of a step at the step's end.

    Args:
        environment: ``os.environ`` unless given.
        cgroup: The text of ``/proc/self/cgroup`` unless given.
        ask: Runs a command unless given.

    Returns:
        One line; None if nothing is known to end the training.
    """
    environment = os.environ if environment is None else environment
    if _is_in_slurm(environment):
        return _slurm_warning(environment)
    return _systemd_warning(_own_cgroup() if cgroup is None else cgroup, _output_of if ask is None else ask)


def ends_with_this_process(environment: Mapping[str, str] | None = None) -> bool:
    """Whether a training that is left running ends with this process at once: in Slurm, a service or a container.

    The first process of a container, or one that such a process or systemd has started, is waited for; what it leaves
    behind is killed.
    """
    environment = os.environ if environment is None else environment
    return 1 in (os.getpid(), os.getppid()) or _is_in_slurm(environment)


def _is_in_slurm(environment: Mapping[str, str]) -> bool:
    is_batch = environment.get("ENVIRONMENT") == "BATCH" and "SLURM_JOB_ID" in environment
    return is_batch or "SLURM_STEP_ID" in environment


def _slurm_warning(environment: Mapping[str, str]) -> str:
    job = environment.get("SLURM_JOB_ID", "")
    step = environment.get("SLURM_STEP_ID")
    here = f"step {job}.{step}" if step is not None else f"batch job {job}"
    return (
        f"Slurm ends this training with {here}. One that stays: sbatch --wrap 'tuimon run CONFIG --headless'; "
        f"to watch it: srun --overlap --pty --jobid JOB tuimon watch RUN"
    )


def _systemd_warning(cgroup: str, ask: Ask) -> str | None:
    units = cgroup.strip().rpartition(":")[2].split("/")
    if any(unit.startswith("session-") and unit.endswith(".scope") for unit in units):
        manager = "org.freedesktop.login1"
        answer = ask(
            ["busctl", "get-property", manager, "/org/freedesktop/login1", f"{manager}.Manager", "KillUserProcesses"]
        )
        if answer != "b true":
            return None
        return (
            "Logging out ends this training (logind has KillUserProcesses=yes). One that stays: "
            "loginctl enable-linger && systemd-run --user --scope tuimon run CONFIG"
        )
    if f"user@{os.getuid()}.service" in units:
        if ask(["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"]) != "no":
            return None
        return (
            "Logging out ends this training (it belongs to your systemd user manager). "
            "It stays after: loginctl enable-linger"
        )
    return None


def _own_cgroup() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/self/cgroup").read_text()
    return ""


def _output_of(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
