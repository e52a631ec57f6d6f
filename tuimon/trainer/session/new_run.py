"""Begins a run of a user's own script, or a further attempt at one: finds its directory, opens its log."""

import warnings
from pathlib import Path

from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.alert_helper import AlertHelper
from tuimon.trainer.session.console import Console
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.session.system_sampler import SystemSampler


def begin(run_dir: Path | None, *, runs_dir: Path, name: str, console: bool = True) -> Recorder:
    """Begin a run in ``run_dir``, or else in a new directory under ``runs_dir``.

    If ``run_dir`` holds a run already, ``-2`` (``-3``, …) is appended to its name, with a warning. While the log is
    open, the load of the machine is recorded, and with ``console`` what the script prints is kept beside the log. A
    process of its own sends alerts, if the user wants any.

    Raises:
        UsageError: The directory cannot be made.
        OSError: The log cannot be opened; a new directory is removed again.
    """
    run = _free(run_dir) if run_dir is not None else RunDirectory.create(runs_dir, name)
    try:
        recorder = Recorder(run, name=name, console="python" if console else "off")
    except OSError:
        if run_dir is None:
            run.remove_if_empty()
        raise
    return _accompanied(recorder, console=console, is_new=True)


def go_on(run: RunDirectory, *, name: str, console: bool = True) -> Recorder:
    """Begin a further attempt at a run that has a log.

    Raises:
        LogTakenError: Another trainer writes this run.
        OSError: The log cannot be opened.
    """
    recorder = Recorder(run, name=name, resumes=True, console="python" if console else "off")
    return _accompanied(recorder, console=console, is_new=False)


def beginnings(run_dir: Path | None, *, runs_dir: Path, name: str) -> list[RunDirectory]:
    """Return the runs that `begin` has begun with these arguments, the newest last."""
    if run_dir is None:
        return RunDirectory.of_name(name, runs_dir)
    return [RunDirectory(path.absolute()) for path in _taken(run_dir)]


def _accompanied(recorder: Recorder, *, console: bool, is_new: bool) -> Recorder:
    recorder.accompany(SystemSampler(recorder))
    if console:
        recorder.accompany(Console(recorder.run.trainer_log))
    recorder.accompany(AlertHelper(recorder, is_new=is_new))
    return recorder


def _taken(run_dir: Path) -> list[Path]:
    """Return the directories of this name that hold a run: itself, ``-2``, ``-3`` and so on."""
    taken, path = [], run_dir
    while (path / "session.jsonl").exists():
        taken.append(path)
        path = run_dir.with_name(f"{run_dir.name}-{len(taken) + 1}")
    return taken


def _free(run_dir: Path) -> RunDirectory:
    count = len(_taken(run_dir))
    path = run_dir.with_name(f"{run_dir.name}-{count + 1}") if count else run_dir
    if count:
        warnings.warn(f"{run_dir} holds a run already: this one is {path}", stacklevel=4)
    return RunDirectory.at(path)
