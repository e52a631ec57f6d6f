"""A log that is removed, renamed, replaced or shortened under those who read it: they say so, and end or go on."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import (
    a_run,
    command,
    encode_log,
    environment,
    fit_started,
    fold,
    make_run,
    model_built,
    stand_in,
    started,
    until,
)
from tuimon.cli.common import progress_lines
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.beginnings import Beginnings
from tuimon.runs.glance import Glance
from tuimon.runs.live_runs import live_runs
from tuimon.runs.log.long_log import LongLog
from tuimon.runs.log.lost_log import TOLD_REMOVED, no_log_words, was_removed
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import DELETED_PREFIX, RunDirectory
from tuimon.runs.state import RunState
from tuimon.ui import run_reader
from ui.watching import LiveRun, text, watching
from ui.watching import until as until_shown

OTHER = encode_log([started(name="other", pid=2), *a_run()[1:5], events.Note(text="of the other", step=1)])


def replace(run: RunDirectory) -> None:
    (run.path / "new").write_bytes(OTHER)
    (run.path / "new").replace(run.session_log)


def write_over(run: RunDirectory) -> None:
    run.session_log.write_bytes(OTHER)


def shorten(run: RunDirectory) -> None:
    log = run.session_log.read_bytes()
    os.truncate(run.session_log, sum(map(len, log.splitlines(keepends=True)[:3])))


def remove(run: RunDirectory) -> None:
    run.session_log.unlink()


def remove_all(run: RunDirectory) -> None:
    # At once, for a reader: file by file, the log would be gone before its directory.
    shutil.rmtree(run.path.rename(run.path.with_name(f"{DELETED_PREFIX}{run.name}")))


def rename(run: RunDirectory) -> None:
    run.path.rename(run.path.with_name("renamed"))


CHANGES: dict[Callable[[RunDirectory], None], str] = {
    replace: "the log was replaced by another one",
    write_over: "the log was replaced by another one",
    shorten: "the log has become shorter than what was read of it",
    remove: "the log was removed",
    remove_all: "the run's directory was removed or renamed",
    rename: "the run's directory was removed or renamed",
}


def branched(run: RunDirectory, *, in_place: bool) -> bytes:
    """Put a log in place that begins as this one does, and goes on otherwise: an older copy that was resumed."""
    log = run.session_log.read_bytes()
    lines = log.splitlines(keepends=True)
    assert len(b"".join(lines[:4])) > 512
    other = b"".join(lines[:4]) + encode_log([events.Note(text=f"of the other, {number}") for number in range(200)])
    assert len(other) > len(log)
    if in_place:
        run.session_log.write_bytes(other)
    else:
        (run.path / "new").write_bytes(other)
        (run.path / "new").replace(run.session_log)
    return other


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("jumps", [False, True])
def test_a_longer_log_that_begins_alike_is_another_one(runs: Path, in_place: bool, jumps: bool) -> None:
    run = make_run(runs, a_run()[:9])
    tail = Tail(run.session_log)
    if jumps:
        tail.skip_to(run.session_log.stat().st_size)
        tail.read()
    else:
        # In two parts, so that the last one is shorter than what is compared.
        tail.read(run.session_log.stat().st_size - 20)
        tail.read_all()
    branched(run, in_place=in_place)
    with pytest.raises(LogChangedError, match="the log was replaced by another one"):
        tail.read()
    tail.restart()
    assert len(tail.read_all()) == 204
    assert tail.read() == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_log_that_is_another_one_is_said_and_read_anew(runs: Path, change: Callable[[RunDirectory], None]) -> None:
    run = make_run(runs, a_run()[:6])
    tail = Tail(run.session_log)
    tail.read_all()
    change(run)
    with pytest.raises(LogChangedError, match=CHANGES[change]) as raised:
        tail.read()
    assert raised.value.is_removed == (change in (remove, remove_all, rename))
    if not raised.value.is_removed:
        tail.restart()
        assert tail.read_all() == Tail(run.session_log).read_all()
        assert tail.unreadable == 0


def test_the_same_log_may_have_another_inode_or_be_back(runs: Path) -> None:
    run = make_run(runs, a_run())
    tail = Tail(run.session_log)
    found = tail.read(2000)
    # As rsync brings a further copy.
    (run.path / "copy").write_bytes(run.session_log.read_bytes())
    (run.path / "copy").replace(run.session_log)
    found += tail.read(2000)
    run.session_log.rename(run.path / "away")
    with pytest.raises(LogChangedError):
        tail.read()
    (run.path / "away").rename(run.session_log)
    found += tail.read_all()
    assert [event.seq for event in found] == list(range(len(a_run())))


def test_a_partial_last_line_may_be_cut_off(runs: Path) -> None:
    run = make_run(runs, a_run())
    log = run.session_log.read_bytes()
    run.session_log.write_bytes(log[:-10])
    tail = Tail(run.session_log)
    found = tail.read_all()
    whole = log[: log[:-10].rfind(b"\n") + 1]
    run.session_log.write_bytes(whole)
    assert tail.read() == []
    with run.session_log.open("ab") as file:
        file.write(encode_log([events.Note(text="again")]))
    assert [type(event) for event in found[-1:] + tail.read()] == [type(found[-1]), events.Note]


@pytest.mark.parametrize("change", [replace, write_over, shorten])
def test_every_kind_of_reader_begins_anew(runs: Path, change: Callable[[RunDirectory], None]) -> None:
    run = make_run(runs, a_run()[:6])
    glance, beginnings, long = Glance(run), Beginnings(runs), LongLog(run.session_log)
    glance.look()
    long.tail.read_all()
    change(run)
    glance.look()
    fresh = Glance(run)
    fresh.look()
    assert (glance.state.run, glance.state.step, glance.state.last_seq) == (
        fresh.state.run,
        fresh.state.step,
        fresh.state.last_seq,
    )
    begun = [each.run.name for _ in range(2) for each in beginnings.look()]
    assert begun == ["run"]
    with pytest.raises(LogChangedError):
        long.tail.read()


def test_a_glance_at_a_log_that_is_gone_knows_nothing(runs: Path) -> None:
    run = make_run(runs, a_run()[:6])
    glance = Glance(run)
    glance.look()
    remove(run)
    assert not glance.look()
    assert glance.state.run is None


# The commands


def plain_watch(run: RunDirectory) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("watch", run.path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove, "the log was removed, and its trainer (process {pid}) still runs"),
        (remove_all, "the run's directory was removed or renamed, and its trainer (process {pid}) still runs"),
        (
            rename,
            "the run was renamed while it trains. Watch it: tuimon watch ",
        ),
    ],
)
def test_plain_watch_ends_with_a_line(runs: Path, change: Callable[[RunDirectory], None], words: str) -> None:
    pid = os.getpid()
    with (
        LiveRun(runs, started(pid=pid, process_started=liveness.process_start(pid)), *a_run()[1:4]) as live,
        plain_watch(run := live.directory) as watch,
    ):
        assert watch.stdout is not None
        first = watch.stdout.readline()
        assert first
        change(run)
        said = watch.stdout.read()
        assert watch.wait() == 1
    assert words.format(pid=pid) in said
    assert "crashed" not in said
    assert "is not known" in said


def test_plain_watch_reads_another_log_anew_and_ends(runs: Path) -> None:
    with LiveRun(runs, started(), model_built(), fit_started()) as live, plain_watch(live.directory) as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline()
        live.directory.session_log.write_bytes(encode_log([started(pid=2), *a_run()[1:]]))
        said = watch.stdout.read()
        assert watch.wait() == 0
    assert "the log was replaced by another one: it is read anew from its beginning" in said
    assert "finished" in said


# The screens


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove, "The log was removed"),
        pytest.param(remove_all, "The run's directory was removed or renamed", marks=pytest.mark.full),
        pytest.param(rename, "The run was renamed", marks=pytest.mark.full),
    ],
)
async def test_the_screen_says_that_the_log_is_gone(
    runs: Path, change: Callable[[RunDirectory], None], words: str
) -> None:
    with LiveRun(runs, *a_run()[:7]) as live:
        async with watching(live.directory) as (app, pilot):
            await until_shown(pilot, lambda: "training" in text(app))
            change(live.directory)
            await until_shown(pilot, lambda: words in text(app) and "log removed" in text(app))
            assert app.moment().status == "silent"
            await pilot.press("F")
            await pilot.press("5", "8", "1")


@pytest.mark.parametrize("change", [pytest.param(replace, marks=pytest.mark.full), shorten])
async def test_the_screen_reads_another_log_from_its_beginning(
    runs: Path, change: Callable[[RunDirectory], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LiveRun(runs, *a_run()[:9]) as live:
        async with watching(live.directory) as (app, pilot):
            await until_shown(pilot, lambda: "training" in text(app))
            await pilot.press(*"2345678", "1")
            change(live.directory)
            words = CHANGES[change][4:]
            await until_shown(pilot, lambda: words in text(app))
            await until_shown(
                pilot, lambda: app.viewer.state.last_seq == len(Tail(live.directory.session_log).read_all()) - 1
            )
            await pilot.press(*"2345678")
    # A long log is folded behind its newest part, by a second reader.
    monkeypatch.setattr(run_reader, "LONG_BYTES", 100)
    with LiveRun(runs, *a_run()[:9], name="long") as live:
        monkeypatch.setattr(LongLog, "read_older", lambda log: None)
        async with watching(live.directory) as (app, pilot):
            change(live.directory)
            words = CHANGES[change][4:]
            await until_shown(pilot, lambda: words in text(app))


def test_a_request_whose_log_is_removed_is_told_of(runs: Path) -> None:
    run = RunDirectory.at(runs / "live")
    with (
        stand_in(run, "hold"),
        subprocess.Popen(
            command("send", run.path, "--timeout", "60", "pause"), env=environment(), stderr=subprocess.PIPE, text=True
        ) as send,
    ):
        until(lambda: list(run.commands.glob("[!.]*.json")))
        remove(run)
        assert send.stderr is not None
        assert "the log was removed" in send.stderr.read()
        assert send.wait() == 3


def test_who_watches_a_run_without_a_log_is_told_that_it_is_waited_for(runs: Path) -> None:
    """It may be starting, or have lost its log before."""
    run = RunDirectory.at(runs / "run")
    with subprocess.Popen(
        command("watch", run.path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stderr is not None
        assert watch.stderr.readline() == f"no log in {run.path} yet: waiting for its first line (Ctrl-C leaves)\n"
        remove_all(run)
        assert watch.wait() == 1


def test_a_log_without_a_line_in_place_of_another_is_not_waited_for_when_the_trainer_is_gone(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    run.session_log.touch()
    over = progress_lines.until_ended(run)
    assert not over(RunState())
    assert over(fold([started()]))
    # What is in its place now says nothing of the trainer.
    assert over(RunState())


# A run whose log was removed before anybody looked


def ran(run: RunDirectory) -> None:
    """Leave what a script's trainer leaves beside its log."""
    run.trainer_log.write_text("Epoch 1/3\n")


def ran_by_config(run: RunDirectory) -> None:
    """Leave what the trainer of `tuimon run` leaves, once it has noticed that its log is gone."""
    run.config.write_text("[run]\n")
    run.trainer_log.write_text(f"Epoch 1/3\ntuimon: {run.session_log}: {TOLD_REMOVED}\nEpoch 2/3\n")


def saved(run: RunDirectory) -> None:
    """Leave a checkpoint."""
    run.config.write_text("[run]\n")
    run.trainer_log.write_text("Epoch 1/3\n")
    (run.checkpoints / "step-9").mkdir(parents=True)


def starts(run: RunDirectory) -> None:
    """Leave what `tuimon run` makes before there is a log."""
    run.config.write_text("[run]\n")
    run.trainer_log.write_text("loading Keras\n")


@pytest.mark.parametrize("left", [ran, ran_by_config, saved])
def test_a_log_that_was_removed_before_is_said_by_the_commands(
    runs: Path, left: Callable[[RunDirectory], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(runs, a_run()[:6])
    left(run)
    assert not was_removed(run)
    remove(run)
    assert main(["doctor", "run"]) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("run log removed")
    assert "Not examined: no fact could be read. The log was removed." in said
    assert "starting" not in said
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert "the log was removed" in said
    assert "starting" not in said
    assert live_runs(runs) == []


def test_a_run_that_begins_is_not_said_to_have_lost_its_log(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.at(runs / "run")
    for left in (lambda run: None, starts):
        left(run)
        assert no_log_words(run) == ""
        assert main(["doctor", "run"]) == 3
        assert capsys.readouterr().out.startswith("run   starting")
    os.utime(run.path, (100, 100))
    assert main(["doctor", "run"]) == 3
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("run silent")
    assert "There is no log: its training has not begun to write one, or it was removed." in said


@pytest.mark.parametrize("left", [ran, pytest.param(ran_by_config, marks=pytest.mark.full)])
async def test_the_screen_of_a_run_whose_log_was_removed_before_says_so(
    runs: Path, left: Callable[[RunDirectory], None]
) -> None:
    run = make_run(runs, a_run()[:6])
    left(run)
    remove(run)
    async with watching(run) as (app, pilot):
        await until_shown(pilot, lambda: "The log of this run was removed" in text(app))
        assert "log removed" in text(app)
        assert "starting" not in text(app)
        assert app.moment().refusal == "the log was removed"
        # Its next attempt begins another one.
        run.session_log.write_bytes(encode_log(a_run()[:7]))
        await until_shown(pilot, lambda: "removed" not in text(app) and app.viewer.state.run is not None)


def test_who_watches_a_run_whose_log_was_removed_before_is_told_so(runs: Path) -> None:
    run = make_run(runs, a_run()[:6])
    ran(run)
    remove(run)
    with subprocess.Popen(
        command("watch", run.path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stderr is not None
        assert watch.stderr.readline().startswith(f"the log was removed from {run.path}: waiting for its first line")
        remove_all(run)
        assert watch.wait() == 1
