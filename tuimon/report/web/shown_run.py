"""Reads a run whole, for a page or a picture."""

import contextlib
import shlex
import time

from msgspec import Struct

from tuimon.diagnosis.examination import Examined, Judgement, examine, judge
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.rules import look
from tuimon.export.reading import facts
from tuimon.regular_file import read_regular
from tuimon.report.findings import ordered
from tuimon.report.layout import Subject, lacking
from tuimon.runs.listing.parameters import Value, config_of, parameters_of
from tuimon.runs.listing.tags import Tags, read_tags
from tuimon.runs.log.bad_lines import unread
from tuimon.runs.log.lost_log import status_now
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import OVER, RunState

_MOST_CONFIG_BYTES = 64 * 1024


class ShownRun(Struct, frozen=True):
    """A run at one time, and what the doctor says of it."""

    state: RunState
    subject: Subject
    found: tuple[Finding, ...]
    """The worst first."""
    examined: tuple[Examined, ...]
    judgement: Judgement
    tags: Tags
    parameters: dict[str, Value]
    config: str
    """The text of `config.toml`; empty without one."""
    read_at: float
    """When it was read, Unix seconds."""


def read_run(run: RunDirectory) -> ShownRun:
    """Read a run as it is now: one that trains goes on writing.

    Raises:
        OSError: The log cannot be read.
    """
    state, tail = RunState(), Tail(run.session_log)
    state.apply(facts(run, tail=tail))
    found, errors = look(state)
    found = ordered(found)
    status = status_now(run, state)
    examined = examine(state, found, errors, is_over=status in OVER)
    lacks = lacking(run, state, unread(state, tail.bad_lines, tail.unknown))
    subject = Subject(run.name, shlex.quote(run.name), status, lacks, errors)
    config = ""
    with contextlib.suppress(OSError):
        config = read_regular(run.config, _MOST_CONFIG_BYTES).decode(errors="replace")
    return ShownRun(
        state,
        subject,
        tuple(found),
        tuple(examined),
        judge(found, examined),
        read_tags(run.path),
        parameters_of(state, config_of(run)),
        config,
        time.time(),
    )
