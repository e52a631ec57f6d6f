"""The writer of the log: bounded, numbered without holes, whatever the disk does."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import NO_LOCKS, until, without_locks
from tuimon.protocol import events
from tuimon.runs.log.session_log import Tail
from tuimon.trainer.session import log_file, session_writer
from tuimon.trainer.session.clock import Clock
from tuimon.trainer.session.log_file import LogTakenError
from tuimon.trainer.session.session_writer import SessionWriter


def epoch(number: int) -> events.EpochEnded:
    return events.EpochEnded(logs={"loss": float(number)}, learning_rate=0.1, seconds=1.0, step=number, epoch=number)


def note(text: str) -> events.Note:
    return events.Note(text=text)


class Disk:
    """Stands between the writer and the file: fails when told, after half of what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.failures = 0
        self._write = os.write
        monkeypatch.setattr(session_writer.os, "write", self.write)
        monkeypatch.setattr(session_writer, "RETRY_SECONDS", 0.02)
        monkeypatch.setattr(session_writer, "FLUSH_SECONDS", 0.02)

    def write(self, descriptor: int, data: Any) -> int:
        if not self.full:
            return self._write(descriptor, data)
        self.failures += 1
        if len(data) > 1 and self.failures % 2:
            return self._write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.full = False


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def test_events_are_numbered_without_holes(log: Path) -> None:
    writer = SessionWriter(log)
    threads = [threading.Thread(target=lambda: [writer.put(note("x")) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close()
    assert [event.seq for event in Tail(log).read_all()] == list(range(2000))
    assert writer.next_seq == 2000


def test_it_goes_on_from_where_another_ended(log: Path) -> None:
    first = SessionWriter(log)
    first.put(note("one"))
    first.close()
    second = SessionWriter(log, next_seq=first.next_seq)
    second.put(note("two"))
    second.close()
    assert [(event.seq, event.text) for event in Tail(log).read_all() if isinstance(event, events.Note)] == [
        (0, "one"),
        (1, "two"),
    ]


def test_two_trainers_never_share_a_log(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LOCK_SECONDS", 0.1)
    writer = SessionWriter(log)
    with pytest.raises(LogTakenError, match="another trainer writes it"):
        SessionWriter(log)
    writer.close()
    SessionWriter(log).close()


@pytest.mark.parametrize("name", NO_LOCKS)
def test_a_file_system_without_locks_is_written_to_all_the_same(
    log: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch, name)
    before = len([*Path("/proc/self/fd").iterdir()])
    for number in range(2):
        writer = SessionWriter(log, next_seq=None)
        assert writer.lock_error == os.strerror(getattr(errno, name))
        writer.put(note(str(number)))
        assert writer.close()
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert [event.seq for event in Tail(log).read_all()] == [0, 1]


def test_a_lock_that_is_held_has_no_error(log: Path) -> None:
    writer = SessionWriter(log)
    assert writer.lock_error is None
    writer.close()


def test_a_link_in_its_place_is_not_followed(log: Path, tmp_path: Path) -> None:
    log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        SessionWriter(log)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_tears_no_line_and_loses_nothing_that_must_be_kept(log: Path, disk: Disk) -> None:
    writer = SessionWriter(log)
    writer.put(note("before"))
    until(lambda: log.stat().st_size)
    disk.full = True
    for number in range(5):
        writer.put(epoch(number))
        writer.put(note(f"note {number}"))
    until(lambda: disk.failures >= 4)
    tail = Tail(log)
    assert [type(event) for event in tail.read_all()] == [events.Note]
    disk.full = False
    assert writer.close()
    rest = tail.read_all()
    assert tail.unreadable == 0
    assert [event.seq for event in rest] == list(range(1, 11))
    assert [event.text for event in rest if isinstance(event, events.Note)] == [f"note {n}" for n in range(5)]


def test_what_was_dropped_is_counted(log: Path, disk: Disk) -> None:
    disk.full = True
    writer = SessionWriter(log, capacity=10)
    for number in range(100):
        writer.put(epoch(number))
    for number in range(20):
        writer.put(note(str(number)))
    until(lambda: disk.failures >= 3)
    disk.full = False
    assert writer.close()
    written = Tail(log).read_all()
    gap = next(event for event in written if isinstance(event, events.LogGap))
    kept = [event for event in written if isinstance(event, events.EpochEnded)]
    assert gap.dropped["epoch_ended"] + len(kept) == 100
    assert len(kept) <= 20
    assert gap.reason == "No space left on device"
    assert len([event for event in written if isinstance(event, events.Note)]) == 20
    assert [event.seq for event in written] == list(range(len(written)))


def test_putting_never_waits_for_the_disk(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(session_writer.os, "fdatasync", lambda _: release.wait())
    monkeypatch.setattr(session_writer, "CLOSE_SECONDS", 0.1)
    writer = SessionWriter(log, capacity=1000)
    for number in range(5000):
        writer.put(epoch(number))
    assert not writer.close()  # And the end of training waits only so long.
    release.set()
    until(lambda: not writer._thread.is_alive())


def test_a_short_state_is_no_news_and_a_long_one_is(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_writer, "FLUSH_SECONDS", 0.01)
    now = [1000.0]
    writer = SessionWriter(log, clock=Clock(lambda: now[0], lambda: now[0]))
    writer.put(events.StateChanged(state="training"))
    for _ in range(3):
        writer.put(events.StateChanged(state="validating"))
        writer.put(events.StateChanged(state="training"))
    writer.put(events.StateChanged(state="validating"))
    now[0] += 1.0
    tail, seen = Tail(log), []

    def states() -> list[str]:
        seen.extend(event.state for event in tail.read_all() if isinstance(event, events.StateChanged))
        return seen

    until(lambda: states() == ["training", "validating"])
    writer.put(events.StateChanged(state="training"))
    writer.close()
    assert states() == ["training", "validating", "training"]


def test_a_heart_beats_while_nothing_happens(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_writer, "FLUSH_SECONDS", 0.01)
    now = [1000.0]
    writer = SessionWriter(log, clock=Clock(lambda: now[0], lambda: now[0]))
    ended = epoch(7)
    ended.branch = 2
    writer.put(ended)
    tail = Tail(log)
    until(lambda: tail.read_all())
    now[0] += 6.0
    beat = until(lambda: tail.read_all())[0]
    assert isinstance(beat, events.Heartbeat)
    assert (beat.step, beat.epoch, beat.branch) == (7, 7, 2)
    writer.close()


def test_a_fork_does_not_write(log: Path) -> None:
    writer = SessionWriter(log)
    writer.put(note("mine"))
    until(lambda: log.stat().st_size)
    child = os.fork()
    if child == 0:
        writer.put(note("the fork's"))
        writer.close()
        os._exit(0)
    os.waitpid(child, 0)
    writer.put(note("mine again"))
    writer.close()
    assert [event.text for event in Tail(log).read_all() if isinstance(event, events.Note)] == ["mine", "mine again"]


def test_urgent_events_are_written_at_once(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_writer, "FLUSH_SECONDS", 30.0)
    writer = SessionWriter(log)
    began = time.monotonic()
    writer.put(events.RunEnded(status="finished"))
    until(lambda: log.stat().st_size)
    assert time.monotonic() - began < 15.0
    writer.close()


def test_an_event_that_cannot_be_written_takes_no_other_with_it(log: Path) -> None:
    writer = SessionWriter(log)
    writer.put(note("before"))
    writer.put(events.Evaluated(name="x", logs={"loss": object()}))  # type: ignore[dict-item]
    writer.put(note("after"))
    until(lambda: log.stat().st_size)
    writer.put(note("later"))
    writer.close()
    written = Tail(log).read_all()
    assert [event.text for event in written if isinstance(event, events.Note)] == ["before", "after", "later"]
    assert [event.dropped for event in written if isinstance(event, events.LogGap)] == [{"evaluated": 1}]
    assert [event.seq for event in written] == list(range(4))


def test_a_log_does_not_grow_beyond_its_budget_but_for_what_must_be_known(log: Path) -> None:
    writer = SessionWriter(log, budget_bytes=2000)
    for step in range(200):
        writer.put(events.Batches(first_step=step, metrics={"loss": [0.5]}, batches=1, step=step + 1))
        if step == 20:
            until(lambda: writer._log is not None and writer._log.size > 2000)
    writer.put(epoch(200))
    assert writer.close()
    written = Tail(log).read_all()
    batches = [event for event in written if isinstance(event, events.Batches)]
    (gap,) = [event for event in written if isinstance(event, events.LogGap)]
    assert gap.dropped == {"batches": 200 - len(batches)}
    assert gap.reason == "the log has reached its 0 MB"
    assert len([event for event in written if isinstance(event, events.EpochEnded)]) == 1
    assert log.stat().st_size < 6000
