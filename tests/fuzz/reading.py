"""Reads a log as all that read logs do, but for the app, and says what went wrong."""

import contextlib
import csv
import io
import json
import os
from pathlib import Path

import msgspec

from tuimon.cli.common.progress_lines import Progress
from tuimon.cli.main import main
from tuimon.diagnosis.rules import look
from tuimon.runs.glance import Glance
from tuimon.runs.listing.removal import doubt
from tuimon.runs.listing.summary import glanced
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.log.long_log import LongLog
from tuimon.runs.log.session_log import Tail, newest_start, whole_end
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.trainer.session.live_diagnosis import LiveDiagnosis

TEXTS = ("csv", "jsonl", "html", "svg")
"""The formats that go to stdout."""
HEALTHY = "healthy"
"""The name of the run beside the damaged one."""


def read(runs: Path, data: bytes) -> None:
    """Check that a damaged log beside a healthy run is read, with all that is whole in it.

    Args:
        runs: Holds the healthy run; the damaged one is written there.
        data: The damaged log.

    Raises:
        AssertionError: something went wrong.
    """
    run = RunDirectory.at(runs / "damaged")
    run.session_log.write_bytes(data)
    os.utime(run.session_log, (1_700_000_000, 1_700_000_000))
    tail = Tail(run.session_log)
    events = tail.read_all()
    lines = [line for line in data[: data.rfind(b"\n") + 1].split(b"\n") if line.strip(b"\0 \r")]
    assert len(events) + tail.unreadable + tail.unknown == len(lines), "lines are missing"
    state = RunState()
    for event in events:
        state.apply([event])
        _ = state.seconds_left, state.pace.seconds_without_step(event.time), state.steps_per_second
    assert not state.untaken, state.untaken
    _, errors = look(state)
    assert not errors, errors
    glance = Glance(run)
    assert "an error of tuimon" not in glance.try_look()
    summary = glanced(glance, 1_700_000_100.0)
    assert "an error of tuimon" not in summary.trouble, summary.trouble
    LiveDiagnosis(state).hear(msgspec.structs.replace(events[-1])) if events else None
    list(Progress().lines(events, 0.0))
    _ = newest_start(run.session_log), whole_end(run.session_log), doubt(run), live_runs(runs), newest(runs)
    _read_long(run, len(data))
    _read_by_commands(runs, run)


def _read_long(run: RunDirectory, size: int) -> None:
    log = LongLog(run.session_log)
    state = RunState()
    for events, _ in log.outline(size + 2**20):
        state.apply(events)
    while (whole := log.read_older()) is None:
        continue
    assert not whole.untaken


def _read_by_commands(runs: Path, run: RunDirectory) -> None:
    listed = json.loads(_printed(["list", str(runs), "--json"]))["runs"]
    assert {one["name"]: one["state"] for one in listed}[HEALTHY] == "finished"
    assert HEALTHY in _printed(["list", str(runs), "--params"])
    for words in (["doctor", str(run.path)], ["doctor", str(run.path), "--json"]):
        printed = _printed(words)
        assert "error of tuimon" not in printed, printed
        if words[-1] == "--json":
            json.loads(printed, parse_constant=_no_constant)
    exported = {to: _printed(["export", str(run.path), "--to", to, "--out", "-"], tells=True) for to in TEXTS}
    assert {len(row) for row in csv.reader(io.StringIO(exported["csv"]))} == {7}
    for line in exported["jsonl"].splitlines():
        json.loads(line, parse_constant=_no_constant)


def _printed(words: list[str], *, tells: bool = False) -> str:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(words)
    assert code in (0, 1, 3), (words, code, error.getvalue())
    # Beside an export it is said what could not be read.
    told = error.getvalue().splitlines()
    assert all(tells and line.startswith("tuimon: ") for line in told), (words, told)
    return out.getvalue()


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")
