"""A disk that is full, read-only, slow or gone: training goes on, and what is lost is counted."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import psutil

from faults import logs
from faults.place import Place, Watching, waited
from faults.results import Fault, Skipped, Tried
from faults.trainings import Keras, Plain, Training, differs, undisturbed
from tuimon.protocol import events

OPTIONS = {"epochs": 150, "steps": 4, "notes": 3}
TMPFS_MB = 2
EXT4_BYTES = 8 * 1024 * 1024
SAID_SECONDS = 6.0
TOLD = ("lost", "missing", "not recorded", "dropped", "cut off", "cannot be written")
"""How the trainer's own output says that facts are not in the log."""
SLOW_MICROSECONDS = 500_000
WINDOW_SECONDS = 2.0
SLOWER = 1.25
"""A step that takes so much longer than beside a healthy disk counts as disturbed; less is noise here."""


def mount_tmpfs(place: Place, name: str) -> Path:
    """Mount a disk of two megabytes, and return where."""
    path = place.directory(name)
    _mount(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "none", str(path)])
    return path


def mount_ext4(place: Place, name: str) -> Path:
    """Mount a small ext4 file system of a file, and return where."""
    path, image = place.directory(name), place.path / f"{name}.img"
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin") is None:
        raise Skipped("there is no mkfs.ext4 here")
    with image.open("wb") as file:
        file.truncate(EXT4_BYTES)
    _mount(["/usr/sbin/mkfs.ext4", "-q", "-F", str(image)])
    _mount(["mount", "-o", "loop", str(image), str(path)])
    return path


def _mount(line: list[str]) -> None:
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Skipped(f"{line[0]}: {error.strerror}") from error
    if done.returncode:
        raise Skipped(f"nothing can be mounted here: {done.stderr.strip()}")


def fill(disk: Path) -> Path:
    """Take all room of a disk but none of what is there; return the file that has it."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return path


def _told_outside(training: Plain) -> bool:
    """Whether the trainer's own output says that facts are lost."""
    try:
        text = (training.beside / "printed").read_text(errors="replace").lower()
    except OSError:
        return False
    return "tuimon" in text and any(words in text for words in TOLD)


def _course(
    place: Place,
    disk: Path,
    number: int,
    fault: Callable[[Plain], None],
    *,
    words: tuple[str, ...],
    mends: Callable[[], None] | None,
    alone: Plain,
) -> Tried:
    """Let a training meet a fault of its disk, and return what came of it."""
    training = Plain(place, f"plain-{number}", run=disk / f"run-{number}", step_seconds=0.004, holds=True, **OPTIONS)
    training.start()
    viewer = place.watch(training.run)
    waited(lambda: bool(viewer.lines), 30.0)
    training.until_moment("e")
    since = time.monotonic()
    fault(training)
    said = viewer.said(*words, since=since, seconds=SAID_SECONDS) if words else None
    before = len(training.moments)
    goes_on = training.goes_on(before)
    if mends is not None:
        mends()
    failed = training.finish()
    disturbed = failed or differs(training, alone)
    if not goes_on:
        disturbed = disturbed or "training makes no step any more"
    tried = Tried(said=said, disturbed=disturbed, **_lost(training))
    tried.wrong = tried.wrong or _viewer_ends(viewer)
    viewer.process.kill()
    return tried


def _lost(training: Plain) -> dict[str, object]:
    """Return what is lost of a training, whether that is told, and what is wrong with its log."""
    recorded = training.counts()
    try:
        log = logs.read(training.run)
    except OSError:
        lost = sum(count for kind, count in recorded.items() if kind not in logs.UNCOUNTED)
        return {"lost": lost, "told": lost if _told_outside(training) else 0, "note": "no log is left"}
    lost, told = logs.losses(recorded, log)
    outside = _told_outside(training)
    count = sum(lost.values())
    in_log = sum(min(number, told[kind]) for kind, number in lost.items())
    note = "told by log_gap" if in_log else "told on the trainer's output" if outside and count else ""
    return {"lost": count, "told": count if outside else in_log, "wrong": log.wrong, "note": note}


def _viewer_ends(viewer: Watching) -> str:
    """Return what is wrong with a viewer after its training is over."""
    ends = waited(lambda: viewer.process.poll() is not None, 15.0)
    return viewer.traceback or ("" if ends else "headless `watch` does not end though training has")


def _course_of_full(place: Place, number: int, alone: Plain, *, is_freed: bool) -> tuple[Path, Tried]:
    """Fill a disk in the middle of a training; return it, and what came of it."""
    disk = mount_tmpfs(place, f"disk-{number}")
    return disk, _course(
        place,
        disk,
        number,
        lambda _: fill(disk) and None,
        words=("No space left", "disk", "full"),
        mends=(lambda: (disk / "filler").unlink()) if is_freed else None,
        alone=alone,
    )


def full_and_freed(place: Place, times: int) -> Iterator[Tried]:
    """Fill the disk in the middle, and free it before the end."""
    alone = undisturbed(place, **OPTIONS)
    for number in range(times):
        yield _course_of_full(place, number, alone, is_freed=True)[1]


def full_to_the_end(place: Place, times: int) -> Iterator[Tried]:
    """Fill the disk in the middle, for ever."""
    alone = undisturbed(place, **OPTIONS)
    for number in range(times):
        disk, tried = _course_of_full(place, number, alone, is_freed=False)
        listed = place.run("list", disk).stdout
        if "crashed" in listed and not tried.wrong:
            tried.wrong = "`list` says crashed of a training that has finished"
        yield tried


def read_only(place: Place, times: int) -> Iterator[Tried]:
    """Let an ext4 file system go read-only under the trainer, as it does after an error of the disk."""
    alone = undisturbed(place, **OPTIONS)
    for number in range(times):
        disk = mount_ext4(place, f"disk-{number}")
        yield _course(
            place,
            disk,
            number,
            lambda _, disk=disk: _mount(["mount", "-o", "remount,abort", str(disk)]),
            words=("Read-only", "read-only", "not grown", "silent"),
            mends=None,
            alone=alone,
        )


def _gone(kind: str) -> Callable[[Plain], None]:
    """Return what takes a run's files away."""

    def take(training: Plain) -> None:
        run = training.run
        if kind == "directory removed":
            shutil.rmtree(run.path, ignore_errors=True)
        elif kind == "directory renamed":
            run.path.rename(run.path.with_name(f"{run.path.name}-renamed"))
        elif kind == "log removed":
            run.session_log.unlink()
        elif kind == "log truncated":
            with run.session_log.open("r+b") as log:
                log.truncate(len(log.read()) // 2)
        else:
            new = run.path / "new"
            new.write_bytes(run.session_log.read_bytes()[:200])
            new.replace(run.session_log)

    return take


GONE = ("directory removed", "directory renamed", "log removed", "log truncated", "log replaced")


def gone(place: Place, times: int) -> Iterator[Tried]:
    """Take the run's directory or its log away under trainer and viewer."""
    alone = undisturbed(place, **OPTIONS)
    for number in range(times):
        kind = GONE[number % len(GONE)]
        disk = place.directory("disk")
        tried = _course(
            place,
            disk,
            number,
            _gone(kind),
            words=("removed", "gone", "replaced", "deleted", "renamed", "truncated", "not there", "moved"),
            mends=None,
            alone=alone,
        )
        if kind == "directory renamed" and tried.lost:
            renamed = logs.read(disk / f"run-{number}-renamed" / "session.jsonl")
            if renamed.ended == "finished" and not renamed.wrong:
                tried.lost, tried.told, tried.note = 0, 0, "after a rename the log goes on in the renamed directory"
        if kind == "log truncated" and re.fullmatch(r"1 of [\d,]+ whole lines cannot be read", tried.wrong):
            tried.wrong = ""  # It is the line that was cut.
        if tried.wrong == logs.HOLE:
            tried.wrong = ""  # What was taken away has numbers, too.
        if tried.wrong:
            tried.wrong = f"{kind}: {tried.wrong}"
        yield tried


def slow(place: Place, times: int) -> Iterator[Tried]:
    """Let each fdatasync take half a second, and compare the time of a Keras step with that beside a healthy disk."""
    if shutil.which("strace") is None:
        raise Skipped("there is no strace here, which delays fdatasync")
    trainings = {}
    for name, delay in (("healthy", 1), ("slow", SLOW_MICROSECONDS)):
        inject = f"inject=fdatasync,fsync:delay_enter={delay}"
        before = [
            "strace",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            inject,
        ]
        trainings[name] = Keras(place, name, epochs=1_000_000, before=before)
        trainings[name].start()
    waited(lambda: all(each.moments.count(b"e") > 20 for each in trainings.values()))
    memory = [_memory(each) for each in trainings.values()]
    ratios = []
    for number in range(times):
        order = list(trainings) if number % 2 else list(trainings)[::-1]
        rates = {name: _rate_alone(trainings, name) for name in order}
        ratios.append(rates["healthy"] / rates["slow"])
    grown = [_memory(each) - then for each, then in zip(trainings.values(), memory, strict=True)]
    log = logs.read(trainings["slow"].run)
    ratio = median(ratios)
    yield Tried(
        times=times,
        disturbed="" if ratio < SLOWER else f"a step takes {ratio:.2f} times as long beside a slow disk",
        wrong=log.wrong or ("" if log.of(events.Batches) else "a slow disk gets no facts"),
        told=sum(logs.gaps(log.facts).values()),
        note=f"a step of Keras takes {ratio:.2f} times as long as beside a healthy disk ({min(ratios):.2f} … "
        f"{max(ratios):.2f}), where each fdatasync takes {SLOW_MICROSECONDS / 1e6:g} s; memory meanwhile: "
        f"{grown[1] / 1e6:+.0f} MB, healthy {grown[0] / 1e6:+.0f} MB",
    )


def _memory(training: Training) -> int:
    return psutil.Process(training.trainer_pid()).memory_info().rss


def _rate_alone(trainings: dict[str, Keras], name: str) -> float:
    """Return the steps a second of one training while the others are suspended."""
    for other, training in trainings.items():
        if other != name:
            psutil.Process(training.trainer_pid()).suspend()
    try:
        counts = trainings[name].moments.count(b"b")
        began = time.monotonic()
        waited(lambda: False, WINDOW_SECONDS, every=0.1)
        return (trainings[name].moments.count(b"b") - counts) / (time.monotonic() - began)
    finally:
        for training in trainings.values():
            psutil.Process(training.trainer_pid()).resume()


FAULTS = [
    Fault("disk-freed", f"disk of {TMPFS_MB} MB full, then freed", full_and_freed, times=5, seconds=120),
    Fault("disk-full", f"disk of {TMPFS_MB} MB full to the end", full_to_the_end, times=3, seconds=150),
    Fault("disk-read-only", "file system goes read-only (ext4, `remount,abort`)", read_only, times=3, seconds=150),
    Fault(
        "disk-gone",
        "run directory removed or renamed, log removed, truncated or replaced while it is written",
        gone,
        times=5,
        seconds=180,
    ),
    Fault("disk-slow", "slow disk: fdatasync takes 0.5 s", slow, times=8, seconds=120, is_alone=True),
]
