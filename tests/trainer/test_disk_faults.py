"""The writer of the log under every fault of a disk: training never waits, memory is bounded, what is lost is said."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import environment, fold, numbered, started, until
from tuimon.cli.main import main
from tuimon.cli.run import _outcome
from tuimon.numbers import count
from tuimon.protocol import events
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session import fact_queue, log_file, session_writer
from tuimon.trainer.session.clock import SUSPENDED_SECONDS, Clock
from tuimon.trainer.session.fact_queue import FactQueue
from tuimon.trainer.session.log_file import LogFile
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.session.session_writer import SessionWriter


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLUSH_SECONDS", "RETRY_SECONDS", "PLACE_SECONDS"):
        monkeypatch.setattr(session_writer, name, 0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of its own with room for about 200 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nobody may mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Take all the room that is left, and return the file that has it."""
    path = place / "filler"
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return path


def note(text: str) -> events.Note:
    return events.Note(text=text)


def batches(step: int) -> events.Batches:
    return events.Batches(first_step=step, metrics={"loss": [0.5] * 20}, batches=20, step=step + 20)


def texts(log: Path) -> list[str]:
    return [event.text for event in Tail(log).read_all() if isinstance(event, events.Note)]


def test_a_disk_that_stays_full_still_takes_how_the_run_ended(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory.at(small_disk / "run")
    recorder = Recorder(run, name="full")
    until(lambda: recorder._writer._log is not None and recorder._writer._log._reserve)
    fill(small_disk)
    for step in range(0, 20_000, 20):
        recorder.reach(step + 20)
        recorder.record(batches(step))
    until(lambda: recorder._writer._is_failing)
    recorder.end("failed", ValueError("no such thing"))
    tail = Tail(run.session_log)
    state = fold(tail.read_all())
    assert tail.unreadable == 0
    assert state.ended is not None
    assert "no such thing" in state.ended.traceback
    written = len([event for event in Tail(run.session_log).read_all() if isinstance(event, events.Batches)])
    assert state.dropped["batches"] == 1000 - written
    assert state.last_seq == len(Tail(run.session_log).read_all()) - 1
    missing = facts_in_words.lost(state)
    assert missing.endswith("facts were not recorded (No space left on device)")
    first, last = capfd.readouterr().err.splitlines()
    assert "facts are not recorded now, training goes on: No space left on device" in first
    assert missing.split(" (")[0] in last
    assert {path.name for path in run.path.iterdir()} == {"session.jsonl", "commands"}


def test_readers_learn_that_the_disk_is_full_while_it_is(
    small_disk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_writer, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(log_file, "_ROOM_SECONDS", 0.1)
    run = RunDirectory.at(small_disk / "run")
    recorder = Recorder(run, name="full")
    recorder.reach(1080)
    recorder.record(batches(1060))
    log = recorder._writer._log
    assert log is not None
    until(lambda: log._reserve is not None and run.session_log.read_bytes().count(b"\n") > 1)
    filler = fill(small_disk)
    for step in range(1080, 9000, 20):
        recorder.reach(step + 20)
        recorder.record(batches(step))
    until(lambda: facts_in_words.log_trouble(fold(Tail(run.session_log).read_all())))
    state = fold(Tail(run.session_log).read_all())
    said = f"Facts after step {count(state.step)} are not recorded so far (No space left on device)"
    assert facts_in_words.lost(state) == said
    assert main(["list", "--runs-dir", str(small_disk)]) == 0
    assert "log cannot be written" in capsys.readouterr().out
    # The room for the last lines is still kept, but for what this took, and nothing else comes into the gap.
    assert log._reserve is not None
    assert os.fstat(log._reserve).st_size >= log_file.RESERVE_BYTES // 2
    size = run.session_log.stat().st_size
    tries = recorder._writer._clock.passed() + 3 * session_writer.RETRY_SECONDS
    until(lambda: recorder._writer._clock.passed() > tries)
    assert run.session_log.stat().st_size == size
    filler.unlink()
    until(lambda: not recorder._writer._is_failing)
    recorder.note("one more")
    until(lambda: os.fstat(log._reserve or 0).st_size == log_file.RESERVE_BYTES)
    recorder.end("finished")
    facts = Tail(run.session_log).read_all()
    assert [fact.seq for fact in facts] == list(range(len(facts)))
    assert [fact.step for fact in facts] == sorted(fact.step for fact in facts)
    assert facts_in_words.lost(fold(facts)) == ""


def test_room_that_comes_back_is_used_and_nothing_is_lost(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = SessionWriter(small_disk / "session.jsonl")
    filler = fill(small_disk)
    for number in range(500):
        writer.put(note(f"note {number}"))
    until(lambda: writer._is_failing)
    filler.unlink()
    until(lambda: not writer._queue and not writer._is_failing)
    assert writer.close()
    assert texts(small_disk / "session.jsonl") == [f"note {number}" for number in range(500)]
    assert capfd.readouterr().err.splitlines()[-1].endswith("all facts are recorded by now")


def test_while_nothing_can_be_written_the_lock_is_kept(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A free lock is the proof that a trainer is gone; in a container its pid proves nothing."""
    writer = SessionWriter(log)
    writer.put(note("before"))
    until(lambda: log.stat().st_size)
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        if b"after" in bytes(data) or b"run_ended" in bytes(data):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(descriptor, data)

    monkeypatch.setattr(log_file.os, "write", write)
    writer.put(note("after"))
    writer.put(events.RunEnded(status="finished"))
    assert not writer.close()
    assert liveness.lock_is_free(log) is False
    monkeypatch.setattr(log_file.os, "write", real)
    writer.reopen()
    writer.put(events.RunEnded(status="finished"))
    assert writer.close()
    assert liveness.lock_is_free(log) is True
    (gap,) = (event for event in Tail(log).read_all() if isinstance(event, events.LogGap))
    assert gap.dropped == {"note": 1, "run_ended": 1}


def test_a_run_ended_well_whose_last_facts_are_missing(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.at(runs / "run")
    recorder = Recorder(run, name="run")
    recorder.record(events.LogGap(dropped={"batches": 1200}, reason="No space left on device"))
    recorder.end("finished")
    assert main(["list", str(runs)]) == 0
    assert "finished, not all recorded" in capsys.readouterr().out
    main(["doctor", str(run.path)])
    assert "1,200 facts were not recorded (No space left on device)." in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("way", ["emptied", "cut in a line"])
def test_a_log_that_somebody_cuts_off_goes_on_in_whole_lines(
    log: Path, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory.at(log.parent)
    recorder = Recorder(run, name="cut")
    recorder.note("before")
    until(lambda: "before" in texts(log))
    os.truncate(log, 0 if way == "emptied" else log.stat().st_size - 10)
    recorder.note("after")
    recorder.end("finished")
    tail = Tail(log)
    facts = tail.read_all()
    assert b"\0" not in log.read_bytes()
    assert tail.unreadable == (0 if way == "emptied" else 1)
    # Readers need to know whose log it is.
    assert isinstance(facts[0], events.RunStarted)
    assert len([fact for fact in facts if isinstance(fact, events.RunStarted)]) == 1
    assert "after" in texts(log)
    assert any("somebody has cut off" in text for text in texts(log))
    assert "somebody has cut off" in capfd.readouterr().err


def test_a_write_that_fails_after_the_log_was_emptied_adds_no_zeros(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(log)
    file.append(b"x" * 99 + b"\n")
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        os.truncate(log, 0)
        real(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log_file.os, "write", write)
    with pytest.raises(OSError, match="No space"):
        file.append(b"second\n")
    monkeypatch.setattr(log_file.os, "write", real)
    assert b"\0" not in log.read_bytes()
    file.append(b"third\n")
    assert b"third" in log.read_bytes().splitlines()
    file.close()


def test_a_torn_line_that_cannot_be_cut_joins_no_other(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(log)
    file.append(b"first\n")
    real_write, real_truncate = os.write, os.ftruncate

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def write(descriptor: int, data: Any) -> int:
        real_write(descriptor, data[:3])
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(log_file.os, "write", write)
    monkeypatch.setattr(log_file.os, "ftruncate", fail)
    with pytest.raises(OSError, match="Input/output"):
        file.append(b"second\n")
    monkeypatch.setattr(log_file.os, "write", real_write)
    file.append(b"second\n")
    assert log.read_bytes() == b"first\nsec\nsecond\n"
    monkeypatch.setattr(log_file.os, "write", write)
    with pytest.raises(OSError, match="Input/output"):
        file.append(b"third\n")
    monkeypatch.setattr(log_file.os, "write", real_write)
    monkeypatch.setattr(log_file.os, "ftruncate", real_truncate)
    file.append(b"third\n")
    assert log.read_bytes() == b"first\nsec\nsecond\nthird\n"
    file.close()


@pytest.mark.parametrize("what", ["log", "directory", "replaced"])
def test_a_log_that_was_removed_is_noticed(tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.at(tmp_path / "run")
    recorder = Recorder(run, name="removed")
    until(lambda: run.session_log.stat().st_size)
    if what == "directory":
        shutil.rmtree(run.path)
    else:
        run.session_log.unlink()
    if what == "replaced":
        run.session_log.write_text("mine\n")
    until(lambda: recorder._writer._is_removed)
    for _ in range(100):
        recorder.note("nowhere")
    assert not recorder._writer._queue
    recorder.end("finished")
    first, last = capfd.readouterr().err.splitlines()
    assert "it was removed; facts are not recorded any more, training goes on" in first
    assert last.endswith("102 facts were not recorded: the log was removed")
    if what == "replaced":
        assert run.session_log.read_text() == "mine\n"


def test_a_run_that_was_renamed_is_written_on_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.at(tmp_path / "run")
    recorder = Recorder(run, name="renamed")
    until(lambda: run.session_log.stat().st_size)
    moved = run.path.rename(tmp_path / "other name")
    until(lambda: recorder._writer._misplaced)
    recorder.note("after")
    recorder.end("finished")
    assert texts(moved / "session.jsonl")[-1] == "after"
    assert f"it was moved to {moved / 'session.jsonl'}" in texts(moved / "session.jsonl")[0]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(f"it was moved to {moved / 'session.jsonl'}; facts are recorded there")
    # A further fit of it is recorded there, too.
    recorder.reopen()
    recorder.note("the second fit")
    recorder.end("finished")
    assert recorder.run.path == moved
    assert "the second fit" in texts(moved / "session.jsonl")
    assert not run.path.exists()


def test_a_disk_that_never_answers_costs_bounded_time_and_memory(
    log: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    release = threading.Event()
    monkeypatch.setattr(log_file.os, "fdatasync", lambda _: release.wait())
    monkeypatch.setattr(session_writer, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(fact_queue, "CAPACITY_BYTES", 0)
    writer = SessionWriter(log, capacity=100)
    for number in range(10_000):
        writer.put(note(str(number)))
        writer.put(batches(number))
    assert len(writer._queue) <= 200
    assert not writer.close()
    assert "the disk does not answer" in capfd.readouterr().err
    # A further fit goes on at once, with the same file.
    writer.reopen()
    writer.put(note("again"))
    assert not writer.close()
    writer.reopen()
    release.set()
    assert writer.close()
    facts = Tail(log).read_all()
    assert texts(log)[-2:] == ["9999", "again"]
    dropped = sum(sum(fact.dropped.values()) for fact in facts if isinstance(fact, events.LogGap))
    kept = [fact for fact in facts if not isinstance(fact, events.LogGap)]
    assert dropped + len(kept) == 20_001
    assert [fact.seq for fact in facts] == list(range(len(facts)))


def test_what_waits_is_bounded_in_bytes_too() -> None:
    queue = FactQueue(capacity_bytes=100_000)
    for number in range(1000):
        queue.put(events.RunEnded(status="failed", traceback="x" * 1000, step=number))
    assert 150 < len(queue) < 300
    assert sum(queue.lost.values()) + len(queue) == 1000
    steps = [fact.event.step for fact in queue.take(1000)]
    # The first ones say whose log this is, the newest how it ended.
    assert (steps[0], steps[-1]) == (0, 999)


def test_what_is_told_after_a_write_may_fail_and_the_log_goes_on(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = SessionWriter(log)

    def fail() -> None:
        raise RuntimeError("a bug")

    told = threading.Event()
    writer.put(note("one"), fail)
    writer.put(note("two"), told.set)
    until(told.is_set)
    assert writer.close()
    assert texts(log) == ["one", "two"]
    assert "RuntimeError('a bug')" in capfd.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("a bug"), SystemExit(3)])
def test_a_thread_that_fails_goes_on(
    log: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real, failures = LogFile.append, [error]

    def append(self: LogFile, data: bytes) -> None:
        if failures:
            raise failures.pop()
        real(self, data)

    monkeypatch.setattr(LogFile, "append", append)
    writer = SessionWriter(log)
    writer.put(note("kept"))
    until(lambda: log.stat().st_size)
    assert writer.close()
    assert texts(log) == ["kept"]
    assert "the log's thread failed" in capfd.readouterr().err


def test_a_thread_that_fails_for_ever_gives_up_and_nothing_piles_up(
    log: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def append(self: LogFile, data: bytes) -> None:
        del self, data
        raise RuntimeError("a bug")

    monkeypatch.setattr(LogFile, "append", append)
    writer = SessionWriter(log)
    writer.put(note("lost"))
    until(lambda: writer._has_given_up)
    for _ in range(100):
        writer.put(note("lost"))
    assert not writer._queue
    assert not writer.close()
    assert "101 facts were not recorded: the log's thread failed: RuntimeError('a bug')" in capfd.readouterr().err


def test_a_log_without_a_thread_is_an_error_of_opening(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OSError, match="can't start new thread"):
        SessionWriter(log)
    assert liveness.lock_is_free(log)


def test_a_clock_that_is_set_back_stops_no_heart(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall, passed = [1_000_000.0], [0.0]
    writer = SessionWriter(log, clock=Clock(lambda: wall[0], lambda: passed[0]))
    writer.put(note("before"))
    until(lambda: texts(log) == ["before"])
    wall[0] -= 3600
    until(lambda: len(texts(log)) == 2)
    assert texts(log)[1] == "the clock of this machine was set back by 3,600 s"
    passed[0] += 6
    wall[0] += 6
    until(lambda: any(isinstance(fact, events.Heartbeat) for fact in Tail(log).read_all()))
    writer.put(events.StateChanged(state="validating"))
    passed[0] += 1
    wall[0] += 1
    until(lambda: any(isinstance(fact, events.StateChanged) for fact in Tail(log).read_all()))
    assert writer.close()


def test_a_slow_disk_is_no_suspension(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, asked = threading.Event(), threading.Event()

    def fdatasync(_: int) -> None:
        asked.set()
        release.wait()

    monkeypatch.setattr(log_file.os, "fdatasync", fdatasync)
    writer = SessionWriter(log)
    writer.put(note("slow"))
    until(asked.is_set)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.5 * SUSPENDED_SECONDS)
    assert writer.suspended_seconds == 0
    release.set()
    assert writer.close()
    assert writer.suspended_seconds == 0


SCRIPT = """
import sys, pathlib
import numpy as np
import keras
import tuimon

disk = pathlib.Path(sys.argv[1])

def fill():
    with (disk / "filler").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def fit(monitor):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(400, 4)).astype("float32")
    model.fit(x, x[:, :2], batch_size=4, epochs=3, verbose=0, callbacks=monitor)
    return np.concatenate([each.ravel() for each in model.get_weights()])

class Fill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            fill()

alone = fit([])
monitor = lambda: tuimon.Monitor(runs_dir=disk / "runs", examine_at_end=False, probe=False, console=False)
assert (fit([Fill(), monitor()]) == alone).all()
print("full", flush=True)
(disk / "filler").unlink()
assert (fit([monitor()]) == alone).all()
print("room", flush=True)
"""


def test_a_fit_on_a_disk_that_fills_up_trains_to_the_end_and_says_what_is_missing(small_disk: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(small_disk)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["full", "room"]
    full, room = (fold(Tail(path / "session.jsonl").read_all()) for path in sorted((small_disk / "runs").iterdir()))
    for state in (full, room):
        assert state.ended is not None
        assert state.ended.status == "finished"
    assert not room.dropped
    said = [line for line in done.stderr.splitlines() if line.startswith("tuimon:")]
    if full.dropped:
        assert facts_in_words.lost(full).split(" (")[0] in said[-1]
    else:
        assert said[-1].endswith("all facts are recorded by now")


def test_where_little_room_is_left_the_last_epochs_are_kept() -> None:
    queue = FactQueue()
    for step in range(0, 2000, 20):
        queue.put(batches(step))
        queue.put(events.EpochEnded(logs={"loss": 1.0}, learning_rate=0.1, seconds=1.0, step=step))
    queue.put(events.RunEnded(status="failed", traceback="x" * 100_000))
    queue.fit_into(15_000)
    kept = [fact.event for fact in queue.take(1000)]
    assert isinstance(kept[-1], events.RunEnded)
    assert kept[-2].step == 1980
    assert 2 < len(kept) < 101
    assert queue.lost["batches"] == 100
    assert len(kept) + queue.lost.total() == 201


def test_a_training_whose_last_facts_have_no_place_is_not_said_to_have_failed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ended:
        run = RunDirectory.at(runs / "run")

        def wait(self) -> int:
            return 0

    assert _outcome(fold(numbered([started()])), Ended()) == 0  # type: ignore[arg-type]
    assert "training ended well (exit code 0), but its last facts were not recorded" in capsys.readouterr().err
