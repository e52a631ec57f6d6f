"""Much of everything: viewers, runs, requests, steps, metrics."""

import contextlib
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from statistics import median

import psutil

from faults import ROOT, logs
from faults.long_trainer import AN_EPOCH
from faults.place import MARK, Place, waited
from faults.results import Fault, Tried
from faults.trainings import Plain, differs, undisturbed
from helpers import a_run, make_run
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.session_writer import BUDGET_BYTES
from ui.terminals import Terminal, terminal

VIEWERS, RUNS, REQUESTS, METRICS = 20, 100, 1000, 5000
MARKS = (1_000_000, 2_000_000, 5_000_000, 10_000_000)
GROWTH_BYTES = 64 * 1024 * 1024
"""Memory that is more than so much larger at the last mark than at the first one is not flat."""
BYTES_A_STEP = 12
"""The viewer keeps each step's loss and number: `tuimon.runs.series`."""
PLAIN = {"epochs": 400, "steps": 4}


def viewers(place: Place, times: int) -> Iterator[Tried]:
    """Watch one run in so many terminals at once."""
    training, alone = Plain(place, step_seconds=0.02, holds=True, **PLAIN), undisturbed(place, **PLAIN)
    training.start()
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(terminal(training.run, **{MARK: str(place.path)})) for _ in range(times)]
        closing = threading.Event()
        readers = [threading.Thread(target=_keep_reading, args=(each, closing), daemon=True) for each in opened]
        for reader in readers:
            reader.start()
        all_show = waited(lambda: all("bn_1" in each.shown for each in opened), 60.0)
        training.let_go()
        failed = training.finish()
        since = time.monotonic()
        all_say = waited(lambda: all("finished" in each.shown for each in opened), 60.0)
        seconds = time.monotonic() - since
        alive = sum(each.process.poll() is None for each in opened)
        closing.set()
        for reader in readers:
            reader.join()
    wrong = (
        "" if all_show and all_say and alive == times else f"{times - alive} of {times} viewers ended, or say nothing"
    )
    yield Tried(
        times=times,
        said=seconds if all_say else None,
        disturbed=failed or differs(training, alone),
        wrong=wrong,
        note="all of them show the end",
        **_lost(training),
    )


def _keep_reading(there: Terminal, closing: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not closing.is_set():
            there.read(0.1)


def _lost(training: Plain) -> dict[str, int]:
    lost, told = logs.losses(training.counts(), logs.read(training.run))
    return {"lost": sum(lost.values()), "told": sum(told.values())}


def runs(place: Place, times: int) -> Iterator[Tried]:
    """List and watch a directory with so many runs, one of which trains."""
    directory = place.directory("runs")
    for number in range(times - 1):
        make_run(directory, a_run(), f"20260101-{number:06}-old")
    training = Plain(place, run=directory / "20260102-000000-live", step_seconds=0.01, holds=True, **PLAIN)
    training.start()
    seconds = []
    wrong = ""
    for _ in range(3):
        began = time.monotonic()
        done = place.run("list", directory)
        seconds.append(time.monotonic() - began)
        if done.returncode or len(done.stdout.splitlines()) != times + 1 or "training" not in done.stdout:
            wrong = f"`list` of {times} runs: exit code {done.returncode}, {len(done.stdout.splitlines())} lines"
    viewer = place.watch(directory)
    since = time.monotonic()
    said = viewer.said("epoch", since=since)
    viewer.process.kill()
    failed = training.finish()
    wrong = wrong or ("" if said is not None else "`watch DIR` does not find the live one")
    note = f"`tuimon list` takes {median(seconds):.1f} s, `watch DIR` finds the live one"
    yield Tried(times=times, said=said, wrong=wrong, disturbed=failed, note=note)


def requests(place: Place, times: int) -> Iterator[Tried]:
    """Put so many requests at once; each is answered once, and training is not disturbed."""
    training, alone = Plain(place, step_seconds=0.01, holds=True, **PLAIN), undisturbed(place, **PLAIN)
    training.start()
    ids = set()
    began = time.monotonic()
    for number in range(times):
        request = commands.signed(commands.Note(text=f"note {number}"), attempt=None)
        ids.add(request.id)
        training.run.put_request(request)
    seconds = time.monotonic() - began
    waited(lambda: not any(training.run.commands.iterdir()), 30.0, every=0.05)
    answered = time.monotonic() - began
    failed = training.finish()
    log = logs.read(training.run)
    kinds = (events.CommandApplied, events.CommandRejected)
    answers = Counter(fact.id for fact in log.facts if isinstance(fact, kinds))
    right = answers == Counter(dict.fromkeys(ids, 1))
    note = f"{times:,} requests put within {seconds:.1f} s, all answered within {answered:.1f} s"
    yield Tried(
        times=times,
        disturbed=failed or differs(training, alone),
        wrong=log.wrong or ("" if right else f"{len(ids - set(answers))} requests without an answer, or with two"),
        note=note,
        **_lost(training),
    )


def metrics(place: Place, times: int) -> Iterator[Tried]:
    """Train with so many metrics, and read the run with everything that reads one."""
    options = {"epochs": 6, "steps": 4, "metrics": times}
    training = Plain(place, step_seconds=0.05, **options)
    training.start()
    viewer = place.watch(training.run)
    failed = training.finish()
    wrong = ""
    for words in (["list", training.run.path.parent], ["doctor", training.run.path]):
        done = place.run(*words)
        if "Traceback" in done.stderr:
            wrong = f"`{words[0]}`: {done.stderr.splitlines()[-1]}"
    with terminal(training.run, **{MARK: str(place.path)}) as there:
        there.read_until(lambda: "finished" in there.shown)
        os.write(there.ours, b"2")
        there.read_until(lambda: "metric_" in there.shown)
        memory = psutil.Process(there.process.pid).memory_info().rss
    wrong = wrong or viewer.traceback
    viewer.process.kill()
    note = f"all read; the viewer takes {memory / 1e6:.0f} MB"
    yield Tried(times=times, disturbed=failed, wrong=wrong, note=note, **_lost(training))


def steps(place: Place, times: int) -> Iterator[Tried]:
    """Record so many steps, with a viewer in a terminal; the memory of both stays as it is."""
    scale = max(times, MARKS[-1] // 50) / MARKS[-1]
    marks = [int(mark * scale) // AN_EPOCH * AN_EPOCH for mark in MARKS]
    run, beside = RunDirectory.at(place.directory("runs") / "long"), place.directory("beside")
    line = [sys.executable, "-m", "faults.long_trainer", run.path, beside, *marks]
    trainer = place.start(line, cwd=ROOT)
    waited(lambda: (beside / "at-0").exists())
    memory: dict[str, list[int]] = {"trainer": [], "viewer": []}
    began = time.monotonic()
    with terminal(run, size=(100, 30), **{MARK: str(place.path)}) as there:
        there.read_until(lambda: "bn_1" in there.shown)
        (beside / "on-0").touch()
        for mark in marks:
            _read_until_epoch(there, mark // AN_EPOCH)
            memory["trainer"].append(psutil.Process(trainer.pid).memory_info().rss)
            memory["viewer"].append(psutil.Process(there.process.pid).memory_info().rss)
            (beside / f"on-{mark}").touch()
        code = trainer.wait(30.0)
        there.read_until(lambda: "finished" in there.shown)
    seconds = time.monotonic() - began
    size = run.session_log.stat().st_size
    by_design = {"trainer": 0, "viewer": BYTES_A_STEP * (marks[-1] - marks[0])}
    wrong = next(
        (
            f"the memory of the {who} grows: {_megabytes(each)} MB"
            for who, each in memory.items()
            if each[-1] - each[0] > GROWTH_BYTES + by_design[who]
        ),
        "",
    )
    if size > BUDGET_BYTES:
        wrong = wrong or f"the log has {size / 1e6:.0f} MB, more than its budget"
    log = logs.read(run)
    lost = marks[-1] - sum(fact.batches for fact in log.facts if isinstance(fact, events.Batches))
    at = ", ".join(f"{mark / 1e6:g}" for mark in marks)
    words = "; ".join(f"{who} {_megabytes(each)} MB" for who, each in memory.items())
    note = f"memory at {at} million steps: {words}, which keeps {BYTES_A_STEP} bytes for each step; "
    note += f"log of {size / 1e6:.0f} MB; in {seconds:.0f} s"
    yield Tried(
        times=marks[-1],
        lost=lost,
        told=sum(logs.gaps(log.facts).values()),
        disturbed=f"the trainer ended with exit code {code}" if code else "",
        wrong=wrong or log.wrong,
        note=note,
    )


def _read_until_epoch(there: Terminal, epoch: int) -> None:
    """Read a screen until it shows an epoch; a viewer that is behind may take long."""
    deadline = time.monotonic() + 200.0
    while (shown := _shown_epoch(there)) < epoch:
        assert time.monotonic() < deadline, f"the viewer shows epoch {shown:,} instead of {epoch:,}"
        there.read(0.2)


def _shown_epoch(there: Terminal) -> int:
    found = re.search(r"epoch +([\d,]+)/", there.shown)
    return int(found[1].replace(",", "")) if found else -1


def _megabytes(memory: list[int]) -> str:
    return ", ".join(f"{each / 1e6:.0f}" for each in memory)


FAULTS = [
    Fault("many-viewers", "viewers on one run", viewers, times=VIEWERS, seconds=150),
    Fault("many-runs", "runs in one directory, one of them live", runs, times=RUNS, seconds=60),
    Fault("many-requests", "requests within a second", requests, times=REQUESTS, seconds=90),
    Fault("many-metrics", "metrics of one run", metrics, times=METRICS, seconds=120),
    Fault("many-steps", "steps recorded at speed, and watched", steps, times=MARKS[-1], seconds=240),
]
