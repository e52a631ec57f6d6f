"""Begins a run of a user's own script: finds its directory, opens its log."""

import warnings
from pathlib import Path

from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.recorder import Recorder


def begin(run_dir: Path | None, *, runs_dir: Path, name: str) -> Recorder:
    """Begin a run in ``run_dir``, or else in a new directory under ``runs_dir``.

    If ``run_dir`` holds a run already, ``-2`` (``-3``, …) is appended to its name, with a warning.

    Raises:
        UsageError: The directory cannot be made.
        OSError: The log cannot be opened; a new directory is removed again.
    """
    if run_dir is not None:
        return Recorder(_free(run_dir), name=name)
    run = RunDirectory.create(runs_dir, name)
    try:
        return Recorder(run, name=name)
    except OSError:
        run.remove_if_empty()
        raise


def _free(run_dir: Path) -> RunDirectory:
    path, count = run_dir, 1
    while (path / "session.jsonl").exists():
        count += 1
        path = run_dir.with_name(f"{run_dir.name}-{count}")
    if path != run_dir:
        warnings.warn(f"{run_dir} holds a run already: this one is {path}", stacklevel=4)
    return RunDirectory.at(path)
