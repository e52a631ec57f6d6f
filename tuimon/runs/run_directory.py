"""A run is a directory: where its files are, who may read them, which runs there are."""

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuimon import ownership
from tuimon.errors import UsageError
from tuimon.protocol.commands import AnyRequest, encode
from tuimon.protocol.events import RunStarted
from tuimon.runs import request_files

ENVIRONMENT_VARIABLE = "TUIMON_RUNS_DIR"
DEFAULT_RUNS_DIRECTORY = "runs"
DELETED_PREFIX = ".deleted-"
"""Begins the name of a directory that is being deleted. It is no run any more."""
STAYS_HERE = "only watch, list and send reach another machine; run this there"
"""What is said of an address where a run of this machine is wanted."""


@dataclass(frozen=True)
class Blind:
    """Nothing is known of a run on another machine since some time."""

    since: float
    """When something was known last, Unix seconds of this machine."""
    host: str
    """The other machine, as the user calls it."""
    why: str
    """What hinders, in a few words."""


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run. Those of a run on another machine are a copy (`tuimon.runs.remote.mirrored_run`)."""

    path: Path
    """Absolute."""

    @property
    def name(self) -> str:
        """``<date>-<time>-<name>``, unless somebody renamed it."""
        return self.path.name

    @property
    def session_log(self) -> Path:
        """The facts."""
        return self.path / "session.jsonl"

    @property
    def commands(self) -> Path:
        """Where requests are put."""
        return self.path / "commands"

    @property
    def checkpoints(self) -> Path:
        """Full states, for a rollback or a further attempt."""
        return self.path / "checkpoints"

    @property
    def config(self) -> Path:
        """What was run, with every default filled in."""
        return self.path / "config.toml"

    @property
    def trainer_log(self) -> Path:
        """What the training process printed."""
        return self.path / "trainer.log"

    @classmethod
    def create(cls, runs_directory: Path, name: str) -> "RunDirectory":
        """Make a new run directory, readable and writable by its owner alone.

        Raises:
            UsageError: the directory cannot be made.
        """
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{file_name(name)}"
        try:
            _make_for_runs(runs_directory)
            for count in itertools.count(1):
                path = runs_directory.resolve() / (stem if count == 1 else f"{stem}-{count}")
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    break
            return cls.at(path)
        except OSError as error:
            raise UsageError(f"{runs_directory}: a run directory cannot be made there: {error.strerror}") from error

    @classmethod
    def at(cls, path: Path) -> "RunDirectory":
        """Use ``path`` as a run directory, making what is missing."""
        path = path.absolute()
        _make_for_runs(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        (path / "commands").mkdir(mode=0o700, exist_ok=True)
        return cls(path)

    @classmethod
    def find(cls, name: str, runs_directory: Path) -> "RunDirectory":
        """Find a run: a run directory, its ``session.jsonl``, or a name under ``runs_directory``.

        The name may lack its date and time: then it is the newest run of that name.

        Raises:
            UsageError: there is none; names the runs nearby.
        """
        for path in (Path(name), runs_directory / name):
            if path.name == "session.jsonl" and path.is_file():
                return cls(path.parent.absolute())
            if is_run(path):
                return cls(path.absolute())
        is_name = os.sep not in name and re.search(r"[^\W_]", name, re.ASCII)
        if is_name and (named := _dated(file_name(name), list(runs_in(runs_directory)))):
            return named[-1]
        nearby = [*dict.fromkeys(run.name for run in itertools.chain(runs_in(Path(name)), runs_in(runs_directory)))]
        hint = f" Runs nearby: {', '.join(nearby[:5])}." if nearby else ""
        # Of a name that nothing can have, a path would raise an error.
        if os.path.exists(name):  # noqa: PTH110
            raise UsageError(f"{name}: is not a run (it has no session.jsonl).{hint}")
        if _is_elsewhere(name):
            raise UsageError(f"{name}: {STAYS_HERE}")
        raise UsageError(f'no run named "{name}" in {runs_directory}{os.sep}{"." if hint else ""}{hint}')

    @classmethod
    def of_name(cls, name: str, runs_directory: Path) -> "list[RunDirectory]":
        """Return the runs that `create` has made for a name, the newest last."""
        return _dated(file_name(name), list(runs_in(runs_directory)))

    def require_own(self) -> None:
        """Check that the run is the caller's, and that nobody else can change it or put another in its place.

        Raises:
            UsageError: it is not so, or one of its logs is a link; names the path.
            OSError: a directory on the way cannot be looked at.
        """
        ownership.require_own_directory(self.path, "the run is not resumed")
        for log in (self.session_log, self.trainer_log):
            if log.is_symlink():
                raise UsageError(f"{log}: it is a link, the run is not resumed; put the file itself there")

    def remove_if_empty(self) -> None:
        """Remove a run that has just been made and could not begin; a file with content stays, and so does the run."""
        with contextlib.suppress(OSError):
            if self.session_log.exists() and self.session_log.stat().st_size == 0:
                self.session_log.unlink()
            self.commands.rmdir()
            self.path.rmdir()

    def put_request(self, request: AnyRequest) -> Path:
        """Put a request where the trainer looks, whole at once, and return its file.

        Raises:
            OSError: it cannot be written.
        """
        return request_files.put(self.path, encode(request))

    def require_arrived(self, request: Path) -> None:
        """Check that a request lies where the trainer looks; one that was put here does.

        Raises:
            OSError: it does not, or that is not known; says why.
        """

    def withdraw(self, request: Path) -> bool:
        """Take back a request that was put; return False where the trainer has taken it.

        Raises:
            OSError: it cannot be taken back.
        """
        try:
            request.unlink()
        except FileNotFoundError:
            return False
        return True

    def is_gone(self, started: RunStarted | None) -> bool:
        """Whether it is proven that no trainer writes the log any more: see `liveness.is_gone`."""
        from tuimon.runs import liveness

        return liveness.is_gone(self.session_log, started)

    @property
    def place(self) -> str:
        """What a person types to name it: its path, or its address on another machine."""
        return str(self.path)

    @property
    def is_remote(self) -> bool:
        """Whether it is a copy of a run on another machine."""
        return False

    @property
    def blind(self) -> Blind | None:
        """Since when nothing is known of it; None where all is known."""
        return None

    def close(self) -> None:
        """Let go of what was opened to read it and to send requests; nothing for a run of this machine."""

    def take_lost(self) -> list[tuple[str, str]]:
        """Return the requests that did not arrive, or of which that is not known: id and why, each once."""
        return []


def _is_elsewhere(name: str) -> bool:
    """Whether a name that no run has is an address on another machine."""
    from tuimon.runs.remote.address import remote_address

    # What no host can be was meant as a name.
    with contextlib.suppress(UsageError):
        return remote_address(name) is not None
    return False


def _make_for_runs(directory: Path) -> None:
    """Make a directory for runs and those above it. Others must not plant runs there, whatever the umask."""
    # `mkdir` with `parents` makes those above with the umask alone.
    if not directory.parent.is_dir():
        _make_for_runs(directory.parent)
    directory.mkdir(mode=0o755, exist_ok=True)


def default_runs_directory() -> Path:
    """Return ``$TUIMON_RUNS_DIR``, or ``./runs``."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_RUNS_DIRECTORY)


def file_name(name: str) -> str:
    """Return ``name`` as a part of a file name: letters, digits, ``.``, ``_`` and ``-``.

    Example:
        >>> file_name("fine tuning/one sample")
        'fine-tuning-one-sample'
    """
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:80] or "run"


def is_run(path: Path) -> bool:
    """Whether ``path`` is a run directory: also one whose log has no line yet."""
    if path.name.startswith(DELETED_PREFIX):
        return False
    try:
        return (path / "session.jsonl").is_file() or (path / "commands").is_dir()
    except OSError:  # somebody else's, into which nobody may look
        return False


def runs_in(directory: Path) -> Iterator[RunDirectory]:
    """Yield the runs directly under ``directory``, newest last."""
    try:
        entries = [entry for entry in directory.iterdir() if is_run(entry)]
    except (OSError, ValueError):
        return
    for entry in sorted(entries, key=_age):
        yield RunDirectory(entry.absolute())


def _dated(stem: str, runs: list[RunDirectory]) -> list[RunDirectory]:
    """Return the runs of a name: those that were made in the same second have a number as well."""
    dated = re.compile(rf"(\d{{8}}-\d{{6}}-{re.escape(stem)})(-\d+)?")
    names = {run.name for run in runs}
    return [run for run in runs if (found := dated.fullmatch(run.name)) and found[1] in names]


def newest_run(runs_directory: Path) -> RunDirectory:
    """Return the newest run.

    Raises:
        UsageError: there is none.
    """
    runs = list(runs_in(runs_directory))
    if not runs:
        raise UsageError(f"{runs_directory}: there is no run here yet. Start one with: tuimon run CONFIG")
    return runs[-1]


def _age(path: Path) -> tuple[float, str]:
    # The log's time, so that a run copied from elsewhere is not taken for the newest.
    for candidate in (path / "session.jsonl", path):
        with contextlib.suppress(OSError):
            return candidate.stat().st_mtime, path.name
    return 0.0, path.name
