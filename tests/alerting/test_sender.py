"""What is sent of a run: once, as rarely as the user wants it, and by one process only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alerting.phone import Kept, alert
from helpers import a_run, fold, make_run, numbered, started, until
from tuimon.alerting.happenings import Happenings
from tuimon.alerting.sender import Sender
from tuimon.alerting.sent import Claim, Sent, Trouble
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.settings import Alerts
from ui.facts import HOSTILE, training
from ui.watching import LiveRun


def look(sender: Sender, kept: Kept, count: int) -> list[dict[str, Any]]:
    """Let a sender look until so many messages were sent, and return them."""

    def looked() -> bool:
        sender.look()
        return len(kept.messages) >= count

    until(looked, what=f"{count} messages")
    return kept.messages


def test_a_flood_is_one_message_with_a_count(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        sender = Sender(run.directory, Alerts(command=kept.command, every_seconds=3600), since_bytes=0)
        run.write(alert())
        look(sender, kept, 1)
        run.write(*(alert(layer=f"bn_{number}") for number in range(3000)))
        sender.look()
        sender.look()
        assert len(kept.messages) == 1
        # The end does not wait for the alerts before it, and tells of them.
        run.write(events.RunEnded(status="finished", step=3))
        first, second = look(sender, kept, 2)
        assert sender.is_over
    assert (first["event"], first["count"]) == ("alert", 1)
    assert first["text"] == "live: step 0: R5 the gap is large: freeze"
    assert first["fact"]["type"] == "alert"
    assert (second["event"], second["count"], second["counts"]) == ("end", 3001, {"alert": 3000, "end": 1})
    assert second["text"] == "live: finished after 3 steps   loss 0.3  val_loss 0.6 (and 3,000 alerts more)"
    assert second["metrics"] == {"loss": 0.3, "val_loss": 0.6}
    assert len(second["texts"]) == 20


def test_two_that_watch_send_each_thing_once(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    with LiveRun(runs, *training()) as run:
        senders = [Sender(run.directory, options, since_bytes=0) for _ in range(2)]
        for number in range(4):
            run.write(alert(layer=f"bn_{number}"))
            for sender in senders[:: 1 if number % 2 else -1]:
                sender.look()
        run.die()
        for _ in range(2):
            until(lambda: [sender.look() for sender in senders] and all(sender.is_over for sender in senders))
    assert [message["event"] for message in kept.messages] == [*["alert"] * 4, "crash"]
    assert [message["fact"] and message["fact"]["layer"] for message in kept.messages] == [
        *(f"bn_{number}" for number in range(4)),
        None,
    ]


def test_one_that_takes_over_goes_on_where_the_other_was_killed(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    with LiveRun(runs, *training()) as run:
        first = Sender(run.directory, options, since_bytes=0)
        run.write(alert("R1"))
        look(first, kept, 1)
        run.write(alert("R2"))
        # Nobody looked meanwhile.
        second = Sender(run.directory, options)
        assert "R2" in look(second, kept, 2)[1]["text"]
        run.die()
        look(second, kept, 3)
        until(lambda: second.look() or second.is_over)
        third = Sender(run.directory, options)
        third.look()
        assert third.is_over
    assert len(kept.messages) == 3


def test_what_was_before_anybody_watched_is_no_news(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    with LiveRun(runs, *training(), alert("R1")) as run:
        sender = Sender(run.directory, options)
        sender.look()
        assert kept.messages == []
        run.write(alert("R2"))
        assert "R2" in look(sender, kept, 1)[0]["text"]
    # A run that has crashed long ago, and one that has ended.
    crashed, ended = make_run(runs, [started(), *training()[1:]], "old"), make_run(runs, a_run(), "ended")
    for run_of_old in (crashed, ended):
        sender = Sender(run_of_old, options)
        sender.look()
        assert sender.is_over
    assert len(kept.messages) == 1


def test_a_further_fit_is_no_end(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        sender = Sender(run.directory, Alerts(command=kept.command), since_bytes=0)
        run.write(events.RunEnded(status="finished", step=3))
        sender.look()
        run.write(training()[2], events.StateChanged(state="training"))
        sender.look()
        assert not sender.is_over
        run.write(events.RunEnded(status="failed", reason="ValueError: no data", step=3))
        (message,) = look(sender, kept, 1)
    assert (message["event"], message["status"]) == ("crash", "failed")
    assert "failed after 3 steps: ValueError: no data" in message["text"]


def test_a_further_attempt_may_crash_as_well(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    run = LiveRun(runs, *training())
    Sender(run.directory, options, since_bytes=0)
    run.die()
    sender = Sender(run.directory, options)
    look(sender, kept, 1)
    facts = run.directory.session_log.read_bytes()
    again = LiveRun(runs)
    again._seq = facts.count(b"\n")
    again.write(started(attempt=1))
    sender = Sender(run.directory, options)
    sender.look()
    assert not sender.is_over
    again.die()
    assert [message["event"] for message in look(sender, kept, 2)] == ["crash", "crash"]


def test_a_file_system_without_locks_does_not_hide_the_end_of_a_process(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as trainer:
        start = liveness.process_start(trainer.pid)
        assert start is not None
        facts = [started(pid=trainer.pid, process_started=start, lock_error="ENOLCK"), *training()[1:]]
        run = make_run(runs, facts, "nfs")
        monkeypatch.setattr(liveness, "lock_is_free", lambda log: None)
        sender = Sender(run, options, since_bytes=0, trainer=(trainer.pid, start))
        sender.look()
        assert not sender.is_over
        trainer.kill()
    look(sender, kept, 1)
    assert sender.is_over
    assert kept.messages[0]["event"] == "crash"


def test_the_crash_before_a_further_attempt_is_no_news_nor_is_one_of_a_run_that_another_process_trains(
    runs: Path, tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    run = make_run(runs, training(), "again")
    size = run.session_log.stat().st_size
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as trainer:
        start = liveness.process_start(trainer.pid)
        assert start is not None
        sender = Sender(run, options, since_bytes=size, trainer=(trainer.pid, start))
        sender.look()
        other = LiveRun(runs, name="again")
        trainer.kill()
    until(lambda: sender.look() or liveness.process_start(trainer.pid) is None)
    sender._looks_for_gone_at = 0.0
    sender.look()
    assert kept.messages == []
    assert not sender.is_over
    other.die()
    look(sender, kept, 1)


def test_a_link_in_the_place_of_the_messages_is_not_followed(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with LiveRun(runs, *training()) as run:
        (run.directory.path / "alerts").symlink_to(elsewhere)
        sender = Sender(run.directory, Alerts(command=kept.command), since_bytes=0)
        run.write(alert())
        look(sender, kept, 1)
    assert list(elsewhere.iterdir()) == []


def test_only_what_is_wanted_is_sent(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        options = Alerts(command=kept.command, on=["alert"], severity="error", every_seconds=0)
        sender = Sender(run.directory, options, since_bytes=0)
        run.write(alert("R1"), alert("R2", severity="error"))
        assert "R2" in look(sender, kept, 1)[0]["text"]
        run.write(events.RunEnded(status="finished"))
        until(lambda: sender.look() or sender.is_over)
    assert len(kept.messages) == 1


def test_text_of_a_run_is_never_obeyed(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    trap = tmp_path / "obeyed"
    words = f"$(touch {trap}) `touch {trap}`; touch {trap} {HOSTILE}\0"
    name = f"$(touch {trap.name})"
    with LiveRun(runs, *training(), name=name) as run:
        sender = Sender(run.directory, Alerts(command=kept.command, every_seconds=0), since_bytes=0)
        run.write(alert(what=words, layer=words))
        (message,) = look(sender, kept, 1)
    assert not trap.exists()
    assert not list(runs.rglob(trap.name))
    for text in (message["text"], message["run"], *message["texts"]):
        assert text.isprintable()
    assert f"$(touch {trap})" in message["text"]
    # The fact itself is as it was written.
    assert message["fact"]["what"] == words
    variables = kept.environment
    assert "'TUIMON_EVENT': 'alert'" in variables
    assert json.dumps(str(run.directory.path))[1:-1] in variables
    assert "\\x1b" not in variables


def test_what_goes_wrong_is_told_once_and_then_all_is_well(runs: Path, tmp_path: Path) -> None:
    with LiveRun(runs, *training()) as run:
        trouble = Trouble(run.directory.path)
        options = Alerts(command=["no-such-mailer", "secret"], every_seconds=0)
        sender = Sender(run.directory, options, since_bytes=0)
        for number in range(2):
            run.write(alert(layer=f"bn_{number}"))
            sender.look()
        assert trouble.news() == "alerts: no-such-mailer cannot be started: No such file or directory"
        assert trouble.news() == ""
        kept = Kept(tmp_path)
        well = Sender(run.directory, Alerts(command=kept.command, every_seconds=0))
        run.write(alert())
        look(well, kept, 1)
        assert trouble.news() == ""
        assert "secret" not in "".join(path.read_text() for path in (run.directory.path / "alerts").iterdir())


def test_a_run_that_is_renamed_is_still_watched(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        sender = Sender(run.directory, Alerts(command=kept.command), since_bytes=0)
        elsewhere = runs / "elsewhere"
        run.directory.path.rename(elsewhere)
        run.write(alert())
        (message,) = look(sender, kept, 1)
        assert (message["run"], message["path"]) == ("elsewhere", str(elsewhere))
        for path in sorted(elsewhere.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        elsewhere.rmdir()
        assert sender.is_over


def test_a_run_of_somebody_else_is_left_as_it_is(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.alerting.sent._is_own", lambda directory: False)
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        sender = Sender(run.directory, Alerts(command=kept.command, every_seconds=0))
        for number in range(2):
            run.write(alert(f"R{number}"))
            look(sender, kept, number + 1)
        assert not (run.directory.path / "alerts").exists()


def test_one_message_has_one_sender_also_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for number in range(2):
        directory = tmp_path / str(number)
        directory.mkdir()
        first, second = Sent(directory), Sent(directory)
        assert first.newest() is None
        assert second.newest() is None
        assert first.claim(Claim(through=1))
        assert not second.claim(Claim(through=2))
        newest = second.newest()
        assert newest is not None
        assert newest.through == 1
        assert second.claim(Claim(through=3))
        monkeypatch.setattr(os, "link", no_link)


def test_a_stall_and_a_silence_are_told_once() -> None:
    state = fold(
        numbered(
            [
                *training()[:4],
                *(
                    events.Batches(first_step=step, metrics={}, batches=1, step=step + 1, time=2000.0 + step)
                    for step in range(20)
                ),
            ],
            start=1990.0,
        )
    )
    found = Happenings(Alerts(stall_seconds=60))
    heard = 100.0
    found.in_facts([events.Heartbeat(seq=state.last_seq)], state, now=heard)
    assert found.in_time(state, gone=False, now=heard + 30, wall=0.0) == []
    # Heartbeats go on, steps do not.
    beat = events.Heartbeat(seq=state.last_seq + 1, time=2019.0 + 70, step=20)
    state.apply([beat])
    found.in_facts([beat], state, now=heard + 70)
    (stall,) = found.in_time(state, gone=False, now=heard + 70, wall=0.0)
    assert (stall.kind, stall.text) == ("stall", "stalls at step 20: no step for 1:10; the trainer lives")
    assert found.in_time(state, gone=False, now=heard + 80, wall=0.0) == []
    (silence,) = found.in_time(state, gone=False, now=heard + 131, wall=0.0)
    assert (silence.kind, silence.text) == ("silence", "silent after step 20: its log has not grown for 1:01")
    assert found.in_time(state, gone=False, now=heard + 300, wall=0.0) == []
