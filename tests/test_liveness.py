"""A run is crashed only on proof."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import (
    NO_LOCKS,
    a_run,
    environment,
    fold,
    make_run,
    numbered,
    read_log,
    stand_in,
    started,
    until,
    without_locks,
)
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState


def test_a_killed_trainer_is_gone_and_a_living_one_is_not(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "hold") as process:
        state = fold(read_log(run))
        assert not liveness.is_gone(run.session_log, state.run)
        assert liveness.status(state, gone=False, silent_seconds=0) == "training"
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: liveness.is_gone(run.session_log, state.run))
        assert liveness.status(state, gone=True, silent_seconds=0) == "crashed"


def test_between_two_fits_the_lock_is_free_and_the_process_lives(runs: Path) -> None:
    mine = started(pid=os.getpid(), process_started=liveness.process_start(os.getpid()))
    run = make_run(runs, [mine])
    assert liveness.lock_is_free(run.session_log)
    assert not liveness.is_gone(run.session_log, mine)
    assert liveness.is_gone(run.session_log, started(pid=os.getpid(), process_started=1.0))  # The pid was used again.


def test_a_process_that_nobody_has_waited_for_does_not_live() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    until(lambda: liveness.process_start(child) is None)
    os.waitpid(child, 0)


def test_of_another_machine_nothing_is_concluded(runs: Path) -> None:
    run = make_run(runs, [started(boot_id="another")])
    state = fold(read_log(run))
    assert liveness.lock_is_free(run.session_log) is True
    assert not liveness.is_gone(run.session_log, state.run)
    assert liveness.status(state, gone=False, silent_seconds=1000) == "silent"
    assert not liveness.is_gone(run.session_log, None)
    assert not liveness.is_gone(run.session_log, started(boot_id=None))


def test_a_log_that_is_not_there_proves_nothing(runs: Path) -> None:
    assert liveness.lock_is_free(runs / "nowhere") is None
    assert not liveness.is_gone(runs / "nowhere", started())


@pytest.mark.parametrize("name", NO_LOCKS)
def test_without_locks_nothing_is_concluded(runs: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(runs, [started()])
    assert liveness.is_gone(run.session_log, started())
    without_locks(monkeypatch, name)
    assert liveness.lock_is_free(run.session_log) is None
    assert not liveness.is_gone(run.session_log, started())


def test_where_the_trainer_has_no_lock_a_free_one_proves_nothing(runs: Path) -> None:
    """Only the reader may have locks, and the pid of a trainer in a container is another one here."""
    mine = started(lock_error="No locks available")
    run = make_run(runs, [mine])
    assert liveness.lock_is_free(run.session_log)
    assert not liveness.is_gone(run.session_log, mine)
    (read,) = read_log(run)
    assert read == mine
    assert not liveness.is_gone(run.session_log, fold([read]).run)


def test_how_a_run_ended_is_known_for_good() -> None:
    facts = numbered(a_run())
    state = RunState()
    assert liveness.status(state, gone=False, silent_seconds=0) == "starting"
    state.apply(facts)
    assert liveness.status(state, gone=True, silent_seconds=1e9) == "finished"


TRAINER = """
import sys
from pathlib import Path
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.recorder import Recorder
recorder = Recorder(RunDirectory.at(Path(sys.argv[1])), name="inside")
print("ready", flush=True)
sys.stdin.read()
"""
READER = """
import sys
from pathlib import Path
from tuimon.runs import liveness
from tuimon.runs.log.session_log import newest_start
log = Path(sys.argv[1])
print(liveness.is_gone(log, newest_start(log)), liveness.may_live_here(log, newest_start(log)))
"""


def read_by(*command: str, log: Path) -> str:
    asked = [*command, sys.executable, "-c", READER, str(log)]
    return subprocess.run(asked, env=environment(), capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("where", ["trainer", "trainer with a /proc", "reader"])
def test_in_a_pid_namespace_a_run_is_gone_only_when_it_is(runs: Path, where: str) -> None:
    inside = ["unshare", "--pid", "--fork", *([] if where == "trainer" else ["--mount-proc"])]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("nobody may make a pid namespace here")
    run = RunDirectory.at(runs / "run")
    trainer = [*([] if where == "reader" else inside), sys.executable, "-c", TRAINER, str(run.path)]
    reader = inside if where == "reader" else []
    with subprocess.Popen(
        trainer, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            until(lambda: run.session_log.stat().st_size)
            assert read_by(*reader, log=run.session_log) == "False True"
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)
    assert read_by(*reader, log=run.session_log) == "True False"


def test_a_process_has_a_start() -> None:
    assert liveness.process_start(os.getpid()) is not None or liveness.boot_id() is None
    assert liveness.process_start(2**22 + 1) is None
