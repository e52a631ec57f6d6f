"""One run for a notebook or a script: its numbers as arrays, its events as tables, live or over."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tuimon.diagnosis.finding import Finding
from tuimon.errors import UsageError
from tuimon.query.columns import BatchNormalization, Columns, Metric
from tuimon.query.line import Branches
from tuimon.query.nearest import UnknownNameError, unknown
from tuimon.query.tables import Happenings, Table
from tuimon.runs import liveness
from tuimon.runs.best import Best
from tuimon.runs.listing.parameters import Value, config_of, parameters_of
from tuimon.runs.log.bad_lines import unread
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory, default_runs_directory
from tuimon.runs.state import OVER, RunState

LOOK_SECONDS = 0.2
"""How often `Session.follow` looks whether the log has grown."""
OVER_SECONDS = 1.0
"""How often it asks whether the trainer is gone: that takes the log's lock for an instant."""


class HasRun(Protocol):
    """What has a run, such as a `tuimon.Monitor`."""

    @property
    def run_dir(self) -> Path | None:
        """The run's directory; None before training begins."""


def open_session(run: str | Path | HasRun | None = None, *, runs_dir: str | Path | None = None) -> "Session":
    """Open a run to read its numbers, whether it trains or is over. Nothing is changed by it, and no thread is started.

    Args:
        run: A run directory, a ``session.jsonl``, a name under ``runs_dir`` (without its date: the newest of that name)
            or a `Monitor`. By default the newest run, a live one first.
        runs_dir: Where the runs are; by default ``$TUIMON_RUNS_DIR``, or ``./runs``.

    Returns:
        The session, with all that the log says by now.

    Raises:
        UsageError: There is no such run; names the runs nearby.
        OSError: The log cannot be read.

    Example:
        ```python
        session = tuimon.open_session("digits")
        loss = session.metric("val_loss")
        plt.plot(loss.steps, loss.values)
        ```
    """
    directory = default_runs_directory() if runs_dir is None else Path(runs_dir)
    if run is None:
        from tuimon.runs.live_runs import newest

        return Session(newest(directory)[0])
    if not isinstance(run, str | Path):
        if run.run_dir is None:
            raise UsageError("this Monitor has no run yet: it begins with fit")
        return Session(RunDirectory(Path(run.run_dir).absolute()))
    return Session(RunDirectory.find(str(run), directory))


class Session:
    """A run as its log has it. `refresh` reads what is new; what was returned before stays as it is.

    All numbers of the log are kept, none is sampled or averaged. After a rollback or a resumption, what an older branch
    did behind the checkpoint is undone: ``branch="now"``, the default for numbers, leaves that out, ``branch="all"``
    does not, ``branch=1`` is what was recorded on that branch alone. Several `fit`s of one run go on in one count of
    steps; ``fit=2`` is the second alone.

    Args:
        run: The run.

    Raises:
        OSError: The log cannot be read.

    Example:
        ```python
        session = tuimon.open_session()
        session.metrics
        session.metric("batch/loss").values
        ```
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        """Where its files are."""
        self._begin()
        self.refresh()

    def _begin(self) -> None:
        self._tail = Tail(self.run.session_log)
        self.state = RunState()
        """All facts folded, as the screens have them: for what this class does not offer."""
        self._columns, self._happenings = Columns(), Happenings()
        self._findings: tuple[int, list[Finding]] = (-1, [])

    def refresh(self) -> int:
        """Read what was written since, and return how many facts that were. Waits for nothing.

        A log in place of the former one is read from its beginning.

        Raises:
            OSError: The log was removed, or cannot be read.
        """
        count = 0
        while True:
            before = self._tail.offset
            try:
                new = self._tail.read()
            except LogChangedError as error:
                if error.is_removed:
                    raise
                self._begin()
                count = 0
                continue
            count += len(new)
            self.state.apply(new)
            for event in new:
                self._columns.apply((event,))
                self._happenings.apply(((event, self._columns.fit),))
            if self._tail.offset == before:
                return count

    def follow(self, timeout: float | None = None) -> Iterator[int]:
        """Yield the number of new facts each time there are any, until the run is over.

        What was written since the last look comes first. The session is refreshed each time. Between two looks it
        sleeps in the caller's thread: no thread is started.

        Args:
            timeout: Seconds, in all, after which it ends though the run goes on; None: never.

        Raises:
            OSError: The log was removed, or cannot be read.

        Example:
            ```python
            for _ in session.follow(timeout=600):
                print(session.step, session.metric("batch/loss").last)
            ```
        """
        end = None if timeout is None else time.monotonic() + timeout
        next_asked, is_over = 0.0, False
        while True:
            if (now := time.monotonic()) >= next_asked:
                # Before the log is read: what is said last is read, too.
                next_asked, is_over = now + OVER_SECONDS, self.is_over
            if count := self.refresh():
                yield count
                next_asked = next_asked if self.state.ended is None else 0.0
            elif is_over:
                return
            left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, end - time.monotonic())
            if left <= 0:
                return
            if not count:
                time.sleep(left)

    # What it is

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.run.name

    @property
    def status(self) -> str:
        """`training`, `paused`, `finished`, `stopped`, `failed`, `crashed`, `silent`, …, as `tuimon list` has it."""
        if self.state.ended is not None:
            return self.state.ended.status
        try:
            written = self.run.session_log.stat().st_mtime
        except OSError:
            # It was removed, and nothing is heard any more.
            written = self.state.last_time or time.time()
        silent = time.time() - written
        gone = liveness.is_gone(self.run.session_log, self.state.run)
        return liveness.status(self.state, gone=gone, silent_seconds=silent)

    @property
    def is_over(self) -> bool:
        """True once it finished, was stopped, failed or crashed; a further `fit` of its Monitor goes on with it."""
        return self.status in OVER

    @property
    def step(self) -> int:
        """Train steps completed."""
        return self.state.step

    @property
    def branch(self) -> int:
        """The branch of now: 0, and one more after each rollback or resumption."""
        return self.state.branch

    @property
    def fits(self) -> int:
        """How many `fit`s it has had."""
        return self._columns.fit

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What it was made with, such as learning rate, batch size and optimizer, as far as log and config say."""
        has_config = self.state.run is not None and bool(self.state.run.config)
        return parameters_of(self.state, None if has_config else config_of(self.run))

    @property
    def best(self) -> Mapping[str, Best]:
        """The best value of each metric of the epochs whose name says what is better, on the line that led to now."""
        return self.state.best.values

    @property
    def findings(self) -> Sequence[Finding]:
        """What the rules of `tuimon doctor` find by now, the worst first."""
        if self._findings[0] != self.state.last_seq:
            from tuimon.diagnosis.rules import findings

            self._findings = self.state.last_seq, findings(self.state)
        return self._findings[1]

    @property
    def unread(self) -> tuple[str, ...]:
        """What of the log could not be read, a sentence each; empty where all of it was read."""
        return unread(self.state, self._tail.bad_lines, self._tail.unknown)

    # Its numbers

    @property
    def metrics(self) -> list[str]:
        """The names that `metric` takes, those of epochs first: as `tuimon export` has them, but `batch_norm/`."""
        return sorted(self._columns.names, key=lambda name: "/" in name)

    def metric(self, name: str, *, branch: Branches = "now", fit: int | None = None) -> Metric:
        """Return a metric with all its values, in the order of the log.

        Args:
            name: One of `metrics`: `val_loss`, `batch/loss`, `learning_rate`, `probe/gap`, …
            branch: "now": what led to where the run is now; "all"; or the number of one branch.
            fit: The number of one `fit`, from 1; None: all.

        Raises:
            UnknownNameError: There is no such metric (a `KeyError`); names the nearest.
            ValueError: ``branch`` means none.
        """
        if name not in self.metrics:
            raise UnknownNameError(unknown(f"{self.name} has", "metric", name, self.metrics))
        return self._columns.metric(name, branch, fit)

    @property
    def layers(self) -> list[str]:
        """Paths of the BatchNormalization layers, in the order of the model."""
        return self._columns.layers

    def batch_norm(self, layer: str, *, branch: Branches = "now", fit: int | None = None) -> BatchNormalization:
        """Return moving mean and variance, gamma and beta of a layer over time: seven quantiles over the channels.

        Args:
            layer: One of `layers`.
            branch: As for `metric`.
            fit: As for `metric`.

        Raises:
            UnknownNameError: There is no such layer (a `KeyError`); names the nearest.
            ValueError: ``branch`` means none.
        """
        if layer not in self.layers:
            raise UnknownNameError(unknown(f"{self.name} has", "BatchNormalization layer", layer, self.layers))
        return self._columns.batch_norm(layer, branch, fit)

    def probes(self, *, branch: Branches = "now", fit: int | None = None) -> Table:
        """Return the probes of the gap between training mode and inference mode.

        Args:
            branch: As for `metric`.
            fit: As for `metric`.

        Returns:
            Shape ``(n,)``, with the columns of `requests` up to ``is_undone``, and then, float64 in the unit of the
            loss, NaN where not measured: ``train``, ``inference``, ``gap`` = train − inference = ``batch_norm`` +
            ``stochastic`` + ``other``, ``validation``, ``gap_error`` (standard error of ``gap``); ``examples``
            (int64); ``reason`` (str).
        """
        return self._happenings.table("probes", self._columns.line, branch, fit)

    # What happened

    def requests(self, *, branch: Branches = "all", fit: int | None = None) -> Table:
        """Return the requests that were answered, each with its answer.

        Args:
            branch: As for `metric`, but by default "all": it was asked for, also where a rollback undid it.
            fit: As for `metric`.

        Returns:
            Shape ``(n,)``, with the columns ``step`` (int64: the first step under the request; if rejected, when),
            ``epoch`` (int64, from 0), ``time`` (float64, Unix seconds), ``branch``, ``fit`` (int64), ``is_undone``
            (bool: a later rollback or resumption went back behind it), ``asked`` (str), ``by`` (str: the user),
            ``is_applied`` (bool), ``detail`` (str: the reason where it was rejected) and ``checked`` (str: what the
            next step showed; empty where not known).
        """
        return self._happenings.table("requests", self._columns.line, branch, fit)

    def alerts(self, *, branch: Branches = "all", fit: int | None = None) -> Table:
        """Return what the rules found while it trained; arguments as for `requests`.

        Returns:
            Shape ``(n,)``, with the columns of `requests` up to ``is_undone``, and ``rule``, ``severity``, ``layer``
            (empty: the whole model), ``what`` and ``advice``, all str.
        """
        return self._happenings.table("alerts", self._columns.line, branch, fit)

    def notes(self, *, branch: Branches = "all", fit: int | None = None) -> Table:
        """Return the notes that people left; arguments as for `requests`.

        Returns:
            Shape ``(n,)``, with the columns of `requests` up to ``is_undone``, and ``text`` (str).
        """
        return self._happenings.table("notes", self._columns.line, branch, fit)

    def to_pandas(self, *metrics: str, branch: Branches = "now", fit: int | None = None) -> Any:
        """Return metrics as one tidy `pandas.DataFrame`, a row for each value.

        Metrics that are logged at different steps do not make holes in each other.

        Args:
            metrics: Names of metrics; without any, all but those of single batches (`batch/`, `running/`).
            branch: As for `metric`.
            fit: As for `metric`.

        Returns:
            The columns are ``step``, ``epoch`` (from 0), ``branch``, ``fit`` (int64), ``time`` (UTC), ``metric``
            (categorical) and ``value`` (float64).

        Raises:
            ImportError: pandas is not installed; says how to install it.
            UnknownNameError: There is no such metric.
        """
        from tuimon.query.columns import FROM_ZERO
        from tuimon.query.frames import tidy

        names = metrics or [name for name in self.metrics if not name.startswith(FROM_ZERO)]
        return tidy([self.metric(name, branch=branch, fit=fit) for name in names])

    def __repr__(self) -> str:
        return f"<Session {self.name!r}: {self.status}, step {self.step:,}>"

    def _repr_html_(self) -> str:
        """Return what Jupyter shows: state, best values, findings; without scripts."""
        from tuimon.query.html import page

        return page(self)
