"""The screen tells its terminal what happens: by its bell and by notifications, through tmux and screen."""

import fcntl
import os
import shutil
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alerting.phone import alert
from helpers import command, environment
from tuimon.alerting.sent import Sent
from tuimon.protocol import events
from tuimon.settings import Sign
from tuimon.ui.terminal.notifications import sequences
from ui.facts import HOSTILE, training
from ui.terminals import Terminal
from ui.test_suspend import ShellTerminal
from ui.watching import LiveRun, text, until, watching

BASH, TMUX = shutil.which("bash"), shutil.which("tmux")
ALL: list[Sign] = ["bell", "osc9", "osc777"]


def test_nothing_of_a_text_is_obeyed() -> None:
    for multiplexer in ({}, {"TMUX": "x"}, {"STY": "x"}):
        quiet = sequences(ALL, "x", multiplexer)
        loud = sequences(ALL, f"{HOSTILE};\x9c\x1b\\\x07;4;1;50\x1b]0;title\x07" + "y" * 5000, multiplexer)
        if "STY" not in multiplexer:
            # The same codes, whatever the text is; screen gets a long one in several pieces.
            assert [quiet.count(code) for code in "\x1b\x07;"] == [loud.count(code) for code in "\x1b\x07;"]
        assert not set(loud) & {"\x9c", "\x9b", "\u202e"}
        assert len(loud) < 1000


def test_each_sign_once_and_wrapped_for_the_multiplexer() -> None:
    assert sequences(["bell", "bell"], "x", {"TMUX": "x"}) == "\x07"
    assert sequences(["osc9"], "lösse", {"STY": "1.x"}, ascii_only=True) == "\x1bP\x1b]9;losse\x07\x1b\\"
    assert sequences(["osc9"], "x", {"TMUX": "x", "STY": "y"}) == "\x1bPtmux;\x1b\x1b]9;x\x07\x1b\\"
    long = sequences(["osc777"], "é" * 5000, {"STY": "1.x"})
    pieces = [piece.removeprefix("\x1bP") for piece in long.removesuffix("\x1b\\").split("\x1b\\")]
    assert len(pieces) > 1
    assert max(len(piece.encode()) for piece in pieces) <= 250
    assert "".join(pieces).startswith("\x1b]777;notify;tuimon;éé")


async def test_the_screen_says_that_an_alert_could_not_be_sent(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        sent = Sent(run.directory.path)
        sent.say_trouble("alerts: of before")
        async with watching(run.directory) as (app, pilot):
            sent.say_trouble("alerts: no-such-mailer cannot be started")
            await until(pilot, lambda: "alerts: no-such-mailer cannot be started" in text(app))


@contextmanager
def watched(run: LiveRun, settings: Path, text: str, **variables: str) -> Iterator[Terminal]:
    settings.write_text(text)
    there = Terminal(run.directory, **{"TUIMON_SETTINGS": str(settings), "TMUX": "", "STY": "", **variables})
    try:
        there.read_until(lambda: "training" in there.shown and "q quit" in there.shown)
        yield there
    finally:
        there.process.kill()
        there.process.wait()
        os.close(there.ours)
        os.close(there.theirs)


def test_the_terminal_is_told_once_of_a_flood_and_of_a_crash(runs: Path, tmp_path: Path) -> None:
    text = 'notify = ["bell", "osc777"]\n[alerts]\nevery_seconds = 3600\n'
    with (
        LiveRun(runs, *training("bn_1"), alert("R3", what="of before")) as run,
        watched(run, tmp_path / "settings.toml", text, TMUX="/tmp/x,1,0") as there,
    ):
        before = len(there.written)
        run.write(alert("R5", what=HOSTILE))
        there.read_until(lambda: b"\x1b\x1b]777;notify;tuimon;live: step 0: R5 " in there.written[before:])
        run.write(*(alert("R5", layer=f"bn_{number}") for number in range(50)))
        run.die()
        there.read_until(lambda: b"live: crashed after 3 steps" in there.written[before:])
        sent = bytes(there.written[before:])
    assert sent.count(b"\x1bPtmux;") == 2
    told = sent[sent.rindex(b"\x1bPtmux;") :].partition(b"\x1b\\")[0].decode()
    assert "(and 50 alerts more)" in told
    assert b"of before" not in b"".join(part.partition(b"\x1b\\")[0] for part in sent.split(b"\x1bPtmux;")[1:])
    # Nothing between the two but the bell and its frame.
    assert sent.count(b"\x07\x1bPtmux;") == 2


def test_without_the_setting_the_terminal_is_left_alone(runs: Path, tmp_path: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, watched(run, tmp_path / "settings.toml", "") as there:
        run.write(alert("R5", severity="error"), events.RunEnded(status="finished", step=3))
        there.read_until(lambda: "finished" in there.shown)
    assert b"\x1b]9;" not in there.written
    assert b"]777" not in there.written


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_a_suspended_screen_tells_nothing(runs: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('notify = ["osc9"]\n[alerts]\nevery_seconds = 0\n')
    with LiveRun(runs, *training("bn_1")) as run:
        there = ShellTerminal(run.directory)
        try:
            there.read_until(lambda: "shell>" in there.shown)
            there.type(f"export TUIMON_SETTINGS={settings} TMUX= STY=\r")
            there.type(" ".join(command("watch", run.directory.path)) + "\r")
            there.read_until(lambda: "● training" in there.shown and "q quit" in there.shown)
            there.type("\x1a")
            there.read_until(lambda: b"Stopped" in there.written)
            run.write(alert("R5"))
            there.type("bg\r")
            there.read_until(lambda: there.written.count(b"watch") >= 2)
            there.type("echo freeze | rev\r")
            there.read_until(lambda: "ezeerf" in there.shown)
            assert b"]9;" not in there.written
            there.type("fg\r")
            there.read_until(lambda: b"\x1b]9;live: step 0: R5" in there.written)
        finally:
            there.process.kill()
            there.process.wait()
            os.close(there.ours)
            os.close(there.theirs)


@pytest.mark.full
@pytest.mark.skipif(TMUX is None, reason="needs tmux")
def test_it_arrives_through_a_real_tmux(runs: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('notify = ["osc9"]\n')
    configuration = tmp_path / "tmux.conf"
    configuration.write_text("set -g allow-passthrough on\n")
    tmux = [str(TMUX), "-S", str(tmp_path / "socket"), "-f", str(configuration)]
    with LiveRun(runs, *training("bn_1")) as run:
        there = Terminal(run.directory)
        there.process.kill()
        there.process.wait()
        variables = environment(TERM="xterm-256color", TUIMON_SETTINGS=str(settings), LC_ALL="C.UTF-8")
        variables.pop("TMUX", None)
        watch = " ".join(command("watch", run.directory.path))
        there.process = subprocess.Popen(
            [*tmux, "new-session", watch],
            stdin=there.theirs,
            stdout=there.theirs,
            stderr=there.theirs,
            env=variables,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        try:
            there.read_until(lambda: "training" in there.shown and "q quit" in there.shown)
            run.write(alert("R5"))
            there.read_until(lambda: b"\x1b]9;live: step 0: R5 the gap is large: freeze\x07" in there.written)
        finally:
            subprocess.run([*tmux, "kill-server"], env=variables, check=False, capture_output=True)
            there.process.kill()
            there.process.wait()
            os.close(there.ours)
            os.close(there.theirs)
