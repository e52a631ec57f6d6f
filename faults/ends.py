"""A training that is told to end with a time of grace, and an exception of tuimon's own in a hook."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from faults import ROOT, logs
from faults.place import Place
from faults.results import Fault, Tried
from faults.trainings import Keras
from tuimon.protocol import events

GRACE_SECONDS = 30.0
"""Slurm's default between SIGTERM and SIGKILL."""
SIGNALS = ("SIGTERM", "SIGUSR1")
EPOCHS = 10_000


def grace(place: Place, times: int) -> Iterator[Tried]:
    """Send the trainer a scheduler's signal: a checkpoint is saved, it ends as stopped, and a resumption goes on."""
    for number in range(times):
        name = SIGNALS[number % len(SIGNALS)]
        training = Keras(place, f"keras-{number}", epochs=EPOCHS, pause=0.01, minutes=1000)
        training.start()
        viewer = place.watch(training.run)
        since = time.monotonic()
        training.signal(signal.Signals[name])
        assert training.process is not None
        try:
            code: int | None = training.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        log = logs.read(training.run)
        said = viewer.said("stopped after", "crashed", since=since, seconds=20.0)
        viewer.process.kill()
        yield Tried(said=said, wrong=log.wrong, disturbed=_what_is_wrong(training, name, code, log))
        training.kill()


def _what_is_wrong(training: Keras, name: str, code: int | None, log: logs.Log) -> str:
    if code is None:
        return f"after {name} training goes on beyond {GRACE_SECONDS:.0f} s"
    if log.ended != "stopped":
        return f"after {name} the run is {log.ended or 'crashed'}, not stopped"
    saved = log.of(events.CheckpointSaved)
    if not saved:
        return f"after {name} no checkpoint is saved"
    lost = log.facts[-1].step - saved[-1].step
    if lost or training.checkpoint_error():
        return f"after {name} {lost} steps are lost"
    training.start(resumes=True)
    return "" if logs.read(training.run).of(events.RunResumed) else f"after {name} a resumption begins anew"


def hooks(place: Place, _: int) -> Iterator[Tried]:
    """Raise an exception at calls of tuimon's own functions while Keras trains: the tests' own table."""
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not full"]
    line.append("tests/trainer/test_injected_faults.py")
    process = place.start(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(timeout=600)
    lines = output.strip().splitlines()
    last = lines[-1].strip("= ") if lines else "no output"
    passed = re.search(r"(\d+) passed", last)
    failed = next((text for text in lines if text.startswith("FAILED")), "")
    disturbed = "" if process.returncode == 0 else (failed or last)[:200]
    yield Tried(times=int(passed[1]) if passed else 0, disturbed=disturbed, note=f"tests of it: {last}")


FAULTS = [
    Fault(
        "grace",
        "a scheduler's signal to the trainer (SIGTERM, SIGUSR1); `tuimon run` with Keras",
        grace,
        times=4,
        seconds=150,
    ),
    Fault("hooks", "an exception of tuimon's own in a hook, by the tests", hooks, times=1, seconds=240),
]
