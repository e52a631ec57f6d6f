"""Begins a run of a user's own script: finds its directory, opens its log."""

import warnings
from pathlib import Path

from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.console import Console
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.session.system_sampler import SystemSampler


def begin(run_dir: Path | None, *, runs_dir: Path, name: str, console: bool = True) -> Recorder:
    """Begin a run in ``run_dir``, or else in a new directory under ``runs_dir``.

    If ``run_dir`` holds a run already, ``-2`` (``-3``, …) is appended to its name, with a warning. While the log is
    open, the load of the machine is recorded, and with ``console`` what the script prints is kept beside the log.

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
    recorder.accompany(SystemSampler(recorder))
    if console:
        recorder.accompany(Console(run.trainer_log))
    return recorder


def _free(run_dir: Path) -> RunDirectory:
    path, count = run_dir, 1
    while (path / "session.jsonl").exists():
        count += 1
        path = run_dir.with_name(f"{run_dir.name}-{count}")
    if path != run_dir:
        warnings.warn(f"{run_dir} holds a run already: this one is {path}", stacklevel=4)
    return RunDirectory.at(path)
