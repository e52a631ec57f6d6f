"""Damaged logs: cut at any byte, with flipped bytes, of other versions, empty, replaced while watched."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from faults import ROOT, logs
from faults.place import MARK, Place
from faults.results import Fault, Tried
from faults.trainings import undisturbed
from tuimon.runs.run_directory import RunDirectory
from ui.terminals import terminal

CHUNK = 64
"""Damaged logs that one process reads."""
SUBCOMMANDS = ("list", "doctor", "export", "watch")
FUZZ_SECONDS = 60
CUT_BYTES = 1024


def _sound(place: Place) -> bytes:
    """Return the log of a short training, which has nearly all types of facts that one without a framework has."""
    return undisturbed(place, epochs=8, steps=4, checkpoint_minutes=1e-9, notes=1).run.session_log.read_bytes()


def cuts(log: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the log cut at each byte of its last kilobyte."""
    for end in range(len(log) - 1, len(log) - 1 - CUT_BYTES, -1):
        yield f"cut at byte {end}", log[:end]


def flips(log: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the log with one to three bytes that are others; without an end."""
    generator = random.Random(5)
    while True:
        damaged = bytearray(log)
        places = [generator.randrange(len(log)) for _ in range(generator.randint(1, 3))]
        for place in places:
            damaged[place] ^= 1 << generator.randrange(8)
        yield f"bytes {places} flipped", bytes(damaged)


def others(log: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield logs of which lines are doubled, exchanged, missing, strange or of another version."""
    lines = log.splitlines(keepends=True)
    middle = len(lines) // 2
    yield "empty", b""
    yield "a line doubled", b"".join([*lines[:middle], lines[middle], *lines[middle:]])
    yield "two lines exchanged", b"".join([*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2 :]])
    yield "a line missing", b"".join([*lines[:middle], *lines[middle + 1 :]])
    yield "the first line missing", b"".join(lines[1:])
    yield "written twice", log + log
    yield "another version", log.replace(b'"protocol":1', b'"protocol":99', 1)
    yield "an unknown type", log + b'{"type":"of_the_future","seq":9,"time":1.0,"more":[1]}\n'
    yield "zeros in the middle", b"".join([*lines[:middle], b"\0" * 4096, *lines[middle:]])
    yield "no JSON", b"what is this\n" * 100
    yield "no text", bytes(range(256)) * 40
    yield "deep nesting", log + b'{"type":"note","text":"x","future":' + b"[" * 2000 + b"]" * 2000 + b"}\n"
    yield "a step of 2 to the 63", log + b'{"type":"heartbeat","seq":1,"time":1.0,"step":9223372036854775808}\n'
    yield "a time of 1e300", log + b'{"type":"heartbeat","seq":1,"time":1e300}\n'


def _read_by_all(place: Place, number: int, damaged: list[tuple[str, bytes]]) -> Iterator[Tried]:
    """Read damaged logs by every subcommand, in one process that reports what each raises."""
    directory = place.directory(f"damaged-{number}")
    for index, (_, data) in enumerate(damaged):
        run = RunDirectory.at(directory / f"run-{index:04}")
        run.session_log.write_bytes(data)
        os.utime(run.session_log, (time.time() - 3600,) * 2)
    into = place.path / f"read-{number}.json"
    line = [sys.executable, "-m", "faults.read_damaged", str(directory), str(into), *SUBCOMMANDS]
    process = place.start(line, cwd=ROOT, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=300)
    if process.returncode:
        yield Tried(wrong=f"a reader ended with exit code {process.returncode}: {errors.strip()[-200:]}")
        return
    raised = msgspec.json.decode(into.read_bytes(), type=dict[str, str])
    for index, (what, _) in enumerate(damaged):
        words = raised.get(f"run-{index:04}", "")
        yield Tried(wrong=words and f"{_kind(what)}: {words}")
    yield Tried(times=0, wrong=raised.get("", ""))
    shutil.rmtree(directory)


def _kind(what: str) -> str:
    return "flipped bytes" if what.endswith("flipped") else what.partition(" at byte")[0]


def _read(place: Place, times: int, make: Callable[[bytes], Iterator[tuple[str, bytes]]]) -> Iterator[Tried]:
    damaged = [each for each, _ in zip(make(_sound(place)), range(times), strict=False)]
    for number, start in enumerate(range(0, len(damaged), CHUNK)):
        yield from _read_by_all(place, number, damaged[start : start + CHUNK])


def cut(place: Place, times: int) -> Iterator[Tried]:
    """Read a log that is cut at each byte of its last kilobyte."""
    yield from _read(place, times, cuts)


def flipped(place: Place, times: int) -> Iterator[Tried]:
    """Read a log with flipped bytes."""
    yield from _read(place, times, flips)


def strange(place: Place, times: int) -> Iterator[Tried]:
    """Read logs that no trainer writes."""
    yield from _read(place, times, others)


def replaced(place: Place, times: int) -> Iterator[Tried]:
    """Replace the log under a viewer by a shorter, an empty, a strange one; the viewer goes on and can be left."""
    sound = _sound(place)
    kinds = [sound[: len(sound) // 2], b"", b"what is this\n" * 50, sound + sound]
    for number in range(times):
        run = RunDirectory.at(place.directory("runs") / f"run-{number}")
        run.session_log.write_bytes(sound)
        with terminal(run, **{MARK: str(place.path)}) as there:
            there.read_until(lambda there=there: "finished" in there.shown and "quit" in there.shown)
            new = run.path / "new"
            new.write_bytes(kinds[number % len(kinds)])
            new.replace(run.session_log)
            since = time.monotonic()
            while time.monotonic() < since + 1.5:
                there.read(0.1)
            said = any(word in there.shown.lower() for word in ("replaced", "another log", "truncated", "shorter"))
            os.write(there.ours, b"q")
            there.read_until(lambda there=there: there.process.poll() is not None)
            wrong = "a traceback" if b"Traceback" in there.written else ""
            wrong = wrong or (f"exit code {there.process.returncode}" if there.process.returncode else "")
        yield Tried(wrong=wrong, note="" if said else "the viewer shows what it read before, and does not say so")


def fuzzed(place: Place, times: int) -> Iterator[Tried]:
    """Let the fuzzer of the tests read logs at random for so many seconds."""
    line = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not full", "tests/fuzz"]
    variables = place.variables(TUIMON_FUZZ_SECONDS=str(times))
    process = place.start(line, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(timeout=4 * times + 120)
    last = output.strip().splitlines()[-1] if output.strip() else ""
    failure = next((text for text in output.splitlines() if text.startswith(("FAILED", "E  "))), last)
    wrong = "" if process.returncode == 0 else f"the fuzzer found: {failure[:200]}"
    yield Tried(wrong=wrong, note=f"{times} s of random damage: {last.strip('= ')}")


def reopened(place: Place, times: int) -> Iterator[Tried]:
    """Let a trainer go on with a log that is cut at any byte: whole lines stay, the numbers have no hole."""
    from tuimon.protocol import events
    from tuimon.trainer.session.session_writer import SessionWriter

    sound = _sound(place)
    path: Path = place.path / "session.jsonl"
    for (_, data), _ in zip(cuts(sound), range(times), strict=False):
        path.write_bytes(data)
        writer = SessionWriter(path, next_seq=None)
        writer.put(events.RunEnded(status="stopped", step=10_000))
        closed = writer.close()
        log = logs.read(path)
        whole = data[: data.rfind(b"\n") + 1]
        wrong = log.wrong or ("" if closed and log.whole.startswith(whole) else "whole lines are lost")
        yield Tried(wrong=wrong)


FAULTS = [
    Fault(
        "damaged-cut", "log cut at each byte of its last kilobyte, then read by all", cut, times=CUT_BYTES, seconds=200
    ),
    Fault("damaged-reopened", "the same, then a trainer goes on with it", reopened, times=CUT_BYTES, seconds=90),
    Fault("damaged-flipped", "log with one to three flipped bits", flipped, times=640, seconds=200),
    Fault(
        "damaged-strange",
        "log with doubled, exchanged or missing lines, of another version, empty, no log at all",
        strange,
        times=14,
        seconds=60,
    ),
    Fault("damaged-replaced", "log replaced while it is watched", replaced, times=8, seconds=90),
    Fault("damaged-fuzzed", "log with random damage, by seconds", fuzzed, times=FUZZ_SECONDS, seconds=300),
]
