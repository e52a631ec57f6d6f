"""Train what a config says, and watch it.

Training is a process of its own: it goes on when this one ends, and `tuimon watch` attaches to it again.
Without a terminal, or with --headless, progress is printed in lines. There, Ctrl-C asks training to stop
after its batch, and a second Ctrl-C leaves it training. SIGTERM leaves it training, too, but where its end
would end training without a word: as a service, as a container's first process, and in Slurm, SIGTERM and
SIGUSR1 reach the training process, which saves a checkpoint and ends. The exit code is 0 for a run that
finished or was asked to stop, 1 for one that failed, 128 + n for one that signal n ended, 2 for bad input.
"""

import argparse
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from tuimon.alerting import helper
from tuimon.alerting.sent import Trouble
from tuimon.cli.common import progress_lines
from tuimon.cli.common.loading import collect_later
from tuimon.cli.common.options import add_looks, add_runs_dir, has_screen, read_settings, warn
from tuimon.errors import UsageError
from tuimon.launch import config as config_file
from tuimon.launch.launcher import TAKEN, TrainerProcess, ends_with_this_process, logout_warning
from tuimon.protocol.commands import Stop, signed
from tuimon.runs import end_reasons, facts_in_words, liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.settings import Alerts
from tuimon.text import plain as plain_text

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", metavar="CONFIG", type=Path, nargs="?", help="a TOML file")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on from the newest checkpoint of a stopped or crashed run, at the start of that checkpoint's epoch",
    )
    parser.add_argument("--headless", action="store_true", help="print progress lines, open no screen")
    parser.add_argument(
        "--force",
        action="store_true",
        help="with --resume: the last attempt is over, though that cannot be told from here (its machine is gone)",
    )
    add_runs_dir(parser)
    parser.add_argument("--name", help="what the run is called (default: [run] name, else the file's name)")
    parser.add_argument(
        "--set",
        metavar="TABLE.KEY=VALUE",
        action="append",
        default=[],
        help="a value in place of the config's, such as training.epochs=3 or model.arguments.units=64",
    )
    add_looks(parser)


def execute(options: argparse.Namespace) -> int:
    """Train, watch until the end or until told to leave, and return the exit code."""
    if options.force and options.resume is None:
        raise UsageError("--force goes with --resume RUN")
    run = _resumable(options) if options.resume is not None else _prepare(options)
    trainer = TrainerProcess(run, resumes=options.resume is not None)
    settings, warning = read_settings(options)
    alerts = _alerts(run, settings.alerts)
    if options.headless or not has_screen():
        warn(warning)
        return _without_screen(run, trainer, alerts)
    # Loaded here: lines need no Textual. And before the start: what fails now starts nothing.
    collect_later()
    from tuimon.ui.app import WatchApp
    from tuimon.ui.viewer.view_memory import ViewMemory

    app = WatchApp(
        run, trainer=trainer, settings=settings, palette=options.palette, memory=ViewMemory(), warning=warning
    )
    with _alerting(trainer, alerts):
        choice = app.run()
        if choice == "stop" and trainer.poll() is None:
            return _wait_for_stop(run, trainer)
        if trainer.poll() is None:
            _show(_left(run))
            return app.return_code or 0
        return _outcome(progress_lines.read_state(run), trainer)


def _alerts(run: RunDirectory, of_user: Alerts) -> Alerts:
    """Return the alerts of a run: as its config has them, else as the user's settings do."""
    config = config_file.read(run.config, only_own=True)
    return of_user if config.alerts is None else config.alerts.over(of_user)


@contextmanager
def _alerting(trainer: TrainerProcess, alerts: Alerts) -> Iterator[None]:
    """Start training, and the process that sends its alerts; wait for the last one where it would be killed else."""
    log = trainer.run.session_log
    before = log.stat().st_size if log.exists() else 0
    trainer.start()
    process = helper.start(trainer.run, alerts, since_bytes=before, trainer_pid=trainer.pid)
    yield
    if trainer.poll() is not None and ends_with_this_process():
        helper.wait_until_sent(trainer.run, process, alerts)


def _resumable(options: argparse.Namespace) -> RunDirectory:
    """Check that a run can go on."""
    if options.config is not None or options.name is not None or options.set:
        raise UsageError("--resume goes on with the run's own config: it takes no CONFIG, --name or --set")
    run = RunDirectory.find(options.resume, options.runs_dir)
    # Checked before anything of it is read: another user may have planted it as the newest of this name.
    run.require_own()
    state = progress_lines.read_state(run)
    if state.ended is not None and state.ended.status == "finished":
        raise UsageError(f"{run.name}: it has finished; there is nothing to go on with")
    if state.ended is None and not liveness.is_gone(run.session_log, state.run):
        if liveness.may_live_here(run.session_log, state.run):
            raise UsageError(f"{run.name}: it still trains; watch it: tuimon watch {run.path}")
        if not options.force:
            raise UsageError(
                f"{run.name}: {_why_unknown(state)}; if it surely does not train any more: --resume RUN --force"
            )
    if not run.config.is_file():
        raise UsageError(f"{run.name}: it has no config.toml: run its script again, with tuimon.Monitor(resume='auto')")
    config_file.require_functions(config_file.read(run.config, only_own=True), run.config)
    if not any(run.checkpoints.glob("step-*.npz")):
        raise UsageError(
            f"{run.name}: it has no checkpoint; one is made every monitor.checkpoint_minutes, "
            "and by: tuimon send RUN checkpoint"
        )
    _require_keras()
    return run


def _why_unknown(state: RunState) -> str:
    """Return why nobody can tell here whether a run still trains."""
    if state.run is not None and state.run.lock_error and liveness.is_of_this_machine(state.run):
        return "its file system has no locks, which would tell whether it still trains"
    host = plain_text(state.run.host, 60) if state.run else "nobody knows where"
    return f"it trains on another machine, or did before a reboot ({host})"


def _require_keras() -> None:
    missing = [name for name in ("keras", "tensorflow") if find_spec(name) is None]
    if missing:
        raise UsageError(f"training needs {' and '.join(missing)}: pip install 'tuimon[tensorflow]'")


def _prepare(options: argparse.Namespace) -> RunDirectory:
    """Check all that can be checked, then make the run directory."""
    if options.config is None:
        raise UsageError("name a CONFIG to train, or a run to go on with: --resume RUN")
    config = config_file.read(options.config, options.set)
    if options.name is not None:
        config.run.name = options.name
    config_file.require_functions(config, options.config)
    _require_keras()
    run = RunDirectory.create(options.runs_dir, config.run.name)
    try:
        config_file.write(config, run.config)
    except OSError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def _without_screen(run: RunDirectory, trainer: TrainerProcess, alerts: Alerts) -> int:
    leaving = _Leaving(run, passes_on=trainer.pass_on if ends_with_this_process() else None)
    since = run.session_log.stat().st_size if trainer.resumes else 0
    trouble = Trouble(run.path)
    _show(f"run {run.path}")

    def is_over(_: RunState) -> bool:
        if words := trouble.news():
            _tell(words)
        return leaving.left != 0 or trainer.poll() is not None

    with leaving.signals(), _alerting(trainer, alerts):
        try:
            state = progress_lines.follow(run, show=_show, trainer_log=True, since=since, over=is_over)
        except BrokenPipeError:
            print(_left(run), file=sys.stderr)
            raise
    if words := trouble.news():
        _tell(words)
    if trainer.poll() is None:
        return _leave(run, leaving)
    return _outcome(state, trainer)


def _wait_for_stop(run: RunDirectory, trainer: TrainerProcess) -> int:
    leaving = _Leaving(run, asked=True)
    _show("asked to stop; Ctrl-C leaves it training")
    with leaving.signals():
        while trainer.poll() is None and not leaving.left:
            time.sleep(progress_lines.LOOK_SECONDS)
    if trainer.poll() is None:
        return _leave(run, leaving)
    state = progress_lines.read_state(run)
    if state.ended is not None:
        _show(f"{state.ended.status} after {state.step} steps: {run.path}")
    return _outcome(state, trainer)


def _leave(run: RunDirectory, leaving: "_Leaving") -> int:
    # After a hangup there may be nobody to tell.
    with contextlib.suppress(OSError):
        _show(_left(run))
    return 128 + leaving.left


def _outcome(state: RunState, trainer: TrainerProcess) -> int:
    """Tell of an end that is not the wanted one, and return the exit code: that of a signal is 128 + its number."""
    run, code = trainer.run, trainer.wait()
    if code == TAKEN:
        raise UsageError(f"{run.name}: somebody else goes on with it; watch it: tuimon watch {run.path}")
    status = state.ended.status if state.ended is not None else ""
    if status != "failed" and code == 0:
        if missing := _missing(state):
            _tell(f"{run.name}: {missing}")
        return 0
    reason = end_reasons.of_ended(state.ended) or trainer.how_it_ended()
    again = f"; go on: tuimon run --resume {run.name}" if any(run.checkpoints.glob("step-*.npz")) else ""
    if status == "stopped":
        _tell(f"{run.name} stopped by {reason}{again}")
        return code if code > 0 else 128 - code
    _tell(f"{run.name} failed: {reason}; its output: {run.trainer_log}{again}")
    return 128 - code if code < 0 else FAILED


def _missing(state: RunState) -> str:
    """Return what the log of a training that went well lacks."""
    lost = facts_in_words.lost(state)
    if state.ended is None:
        # A trainer whose disk takes nothing trains on, and its exit code is all that it leaves.
        return f"training ended well (exit code 0), but its last facts were not recorded{f'; {lost}' if lost else ''}"
    return lost


def _left(run: RunDirectory) -> str:
    return "\n".join(filter(None, (progress_lines.training_goes_on(run), logout_warning())))


def _show(line: str) -> None:
    print(line, flush=True)


class _Leaving:
    """What signals do to a `tuimon run` without a screen.

    Training gets none of them, but where it would end with this process: then it ends first, in order.
    """

    def __init__(
        self, run: RunDirectory, *, asked: bool = False, passes_on: Callable[[int], None] | None = None
    ) -> None:
        self.left = 0
        """The signal after which training is left to itself; 0: none yet."""
        self._run = run
        self._asked = asked
        self._passes_on = passes_on

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle SIGINT, SIGTERM and SIGHUP meanwhile, and SIGUSR1 where it is passed on."""
        handled = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *([signal.SIGUSR1] if self._passes_on else [])]
        before = {number: signal.getsignal(number) for number in handled}
        for number, handler in before.items():
            # Under nohup, SIGHUP stays ignored.
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._passes_on is not None and number in (signal.SIGTERM, signal.SIGUSR1):
            self._passes_on(number)
            return
        if number != signal.SIGINT or self._asked:
            self.left = number
            return
        self._asked = True
        try:
            self._run.put_request(signed(Stop(), attempt=None))
        except OSError as error:
            _tell_at_once(f"training cannot be asked to stop: {error}; Ctrl-C again leaves it training")
        else:
            _tell_at_once("asked to stop after this batch; Ctrl-C again leaves it training")


def _tell(words: str) -> None:
    print(f"tuimon: {words}", file=sys.stderr)


def _tell_at_once(words: str) -> None:
    # A handler may interrupt a print: only a new line on another stream is safe.
    sys.stderr.write(f"\ntuimon: {words}\n")
