"""A trainer that stands still, a clock that is set back, a trainer in a container: silent perhaps, never crashed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

from faults import logs
from faults.place import MARK, Place, waited
from faults.results import Fault, Skipped, Tried
from faults.trainings import Keras, Plain, differs, undisturbed
from tuimon.protocol import events
from tuimon.runs.glance import Glance
from tuimon.runs.liveness import SILENT_SECONDS
from tuimon.trainer.session.session_writer import HEARTBEAT_SECONDS
from ui.terminals import terminal

PLAIN = {"epochs": 400, "steps": 4}


def _status(training: Plain) -> str:
    glance = Glance(training.run)
    glance.look()
    return glance.status(time.time())


def suspended(place: Place, times: int) -> Iterator[Tried]:
    """Suspend the trainer, and let it go on; the log is made to look old, as it is after a longer suspension."""
    training, alone = Plain(place, step_seconds=0.01, holds=True, **PLAIN), undisturbed(place, **PLAIN)
    training.start()
    for _ in range(times):
        moments = len(training.moments)
        training.signal(signal.SIGSTOP)
        early = _status(training)
        os.utime(training.run.session_log, (time.time() - SILENT_SECONDS - 5,) * 2)
        late = _status(training)
        training.signal(signal.SIGCONT)
        goes_on = training.goes_on(moments)
        wrong = "" if "crashed" not in (early, late) else "`list` says crashed of a suspended trainer"
        wrong = wrong or ("" if late == "silent" else f"`list` says {late} of a trainer that is suspended for long")
        yield Tried(wrong=wrong, disturbed="" if goes_on else "training does not go on after SIGCONT")
    log = logs.read(training.run)
    yield Tried(times=0, wrong=log.wrong, disturbed=training.finish() or differs(training, alone))


def silent(place: Place, times: int) -> Iterator[Tried]:
    """Suspend a trainer with Keras under a viewer in a terminal, until it says that the run is silent."""
    training = Keras(place, epochs=1_000_000, pause=0.01)
    training.start()
    for _ in range(times):
        with terminal(training.run, **{MARK: str(place.path)}) as there:
            there.read_until(lambda there=there: "● training" in there.shown)
            moments, since = len(training.moments), time.monotonic()
            training.signal(signal.SIGSTOP)
            there.read_until(lambda there=there: "silent" in there.shown or "crashed" in there.shown)
            seconds = time.monotonic() - since
            is_crashed = "crashed" in there.shown
            training.signal(signal.SIGCONT)
            goes_on = training.goes_on(moments)
            there.read_until(lambda there=there: "● training" in there.shown)
        yield Tried(
            said=seconds,
            wrong="a viewer says crashed of a suspended trainer" if is_crashed else "",
            disturbed="" if goes_on else "training does not go on after SIGCONT",
            note=f"silent is said after {SILENT_SECONDS:.0f} s without a fact",
        )


def clock_set_back(place: Place, times: int) -> Iterator[Tried]:
    """Set the trainer's clock back by an hour: heartbeats go on, and no viewer says that it is gone."""
    options = {"epochs": 3, "steps": 4}
    alone = undisturbed(place, **options)
    for number in range(times):
        training = Plain(place, f"plain-{number}", module="faults.set_back", holds=True, **options)
        training.start()
        # All else is written by then.
        waited(lambda training=training: _heartbeats(training) > 0, every=0.1)
        (training.beside / "back").touch()
        heard = _heartbeats(training)
        beats = waited(
            lambda training=training, heard=heard: _heartbeats(training) > heard, 3 * HEARTBEAT_SECONDS, every=0.1
        )
        status = _status(training)
        failed = training.finish()
        read = logs.read(training.run)
        lost, told = logs.losses(training.counts(), read)
        wrong = read.wrong or ("" if beats else "no heartbeats after the clock was set back")
        yield Tried(
            wrong=wrong or ("" if status == "training" else f"`list` says {status} after the clock was set back"),
            disturbed=failed or differs(training, alone),
            lost=sum(lost.values()),
            told=sum(told.values()),
        )


def _heartbeats(training: Plain) -> int:
    return len(logs.read(training.run).of(events.Heartbeat))


def in_a_container(place: Place, times: int) -> Iterator[Tried]:
    """Train with another numbering of processes, as in a container; kill it in the end."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode
    ):
        raise Skipped("no namespace can be made here")
    for number in range(times):
        training = Plain(place, f"plain-{number}", before=_UNSHARE, step_seconds=0.02, holds=True, **PLAIN)
        training.start()
        viewer = place.watch(training.run)
        waited(lambda viewer=viewer: bool(viewer.lines))
        status = _status(training)
        inside = subprocess.run(
            [*_UNSHARE, "python3", "-m", "tuimon", "list", training.run.path.parent],
            capture_output=True,
            text=True,
            check=False,
            env=place.variables(),
            cwd=place.path,
        )
        wrong = f"`list` outside says {status}" if status not in ("training", "compiling") else ""
        wrong = wrong or (
            "`list` in another container says crashed" if _is_crashed(inside.stdout, training.run.name) else ""
        )
        wrong = wrong or ("headless `watch` leaves a run that trains" if viewer.process.poll() is not None else "")
        since = time.monotonic()
        training.kill()
        said = viewer.said("crashed", since=since, seconds=20.0)
        viewer.process.kill()
        yield Tried(said=said, wrong=wrong, note="said: that it was killed in the end")


def _is_crashed(listed: str, name: str) -> bool:
    return any(line.startswith(name) and "crashed" in line for line in listed.splitlines())


_UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]

FAULTS = [
    Fault("suspended", "trainer suspended (SIGSTOP) and continued", suspended, times=20, seconds=90),
    Fault("suspended-watched", "trainer with Keras suspended until it is silent", silent, times=2, seconds=150),
    Fault("clock-set-back", "trainer's clock set back by an hour", clock_set_back, times=3, seconds=60),
    Fault("container", "trainer in a process namespace of its own", in_a_container, times=5, seconds=90),
]
