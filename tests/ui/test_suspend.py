"""Ctrl+Z suspends the viewer as a job of a real shell, and fg brings it back."""

import fcntl
import os
import shutil
import subprocess
import termios
from pathlib import Path

import pytest

from helpers import command, environment
from tuimon.runs.run_directory import RunDirectory
from ui.facts import training
from ui.terminals import Terminal, terminal
from ui.watching import LiveRun

BASH = shutil.which("bash")


class ShellTerminal(Terminal):
    """A shell with job control in a terminal of its own."""

    def __init__(self, run: RunDirectory, *arguments: str, **variables: str) -> None:
        super().__init__(run, *arguments, **variables)
        self.process.kill()
        self.process.wait()
        self._screen.reset()
        self.process = subprocess.Popen(
            [str(BASH), "--norc", "--noprofile", "-i"],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={**environment(TERM="xterm-256color", PS1="shell> ", HISTFILE=""), "LINES": "24", "COLUMNS": "80"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_ctrl_z_suspends_and_fg_draws_the_whole_screen(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        there = ShellTerminal(run.directory)
        try:
            there.read_until(lambda: "shell>" in there.shown)
            there.type(" ".join(command("watch", run.directory.path)) + "\r")
            there.read_until(lambda: "● training" in there.shown and "q quit" in there.shown)
            for key in ("", "l", "?"):
                there.type(key)
                words = {"": "q quit", "l": "enter sends it", "?": "esc closes"}[key]
                there.read_until(lambda words=words: words in there.shown)
                before = len(there.written)
                there.type("\x1a")
                there.read_until(lambda before=before: b"Stopped" in there.written[before:])
                # As the shell needs it: what is typed is shown, the mouse is quiet, and a paste has no marks.
                left = bytes(there.written[before:])
                for mode in (b"1000", b"1003", b"1004", b"2004", b"1049"):
                    assert b"\x1b[?" + mode + b"l" in left
                there.type("echo freeze | rev\r")
                there.read_until(lambda: "ezeerf" in there.shown)
                there.type("bg\r")
                there.read_until(lambda before=before: there.written[before:].count(b"watch") >= 2)
                there.type("clear; fg\r")
                there.read_until(lambda words=words: words in there.shown and "ezeerf" not in there.shown)
                there.type("\x1b" if key else "")
                there.read_until(lambda words=words, key=key: not key or words not in there.shown)
                there.read_until(lambda: "● training" in there.shown and "› bn_1" in there.shown)
            assert run.requests() == []
            there.type("c")
            there.read_until(lambda: len(run.requests()) == 1)
        finally:
            there.process.kill()
            there.process.wait()
            os.close(there.ours)
            os.close(there.theirs)


def test_without_a_shell_ctrl_z_says_so_and_stops_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "q quit" in there.shown)
        os.write(there.ours, b"\x1a")
        there.read_until(lambda: "No shell started this program" in there.shown)
        assert not there.is_stopped()
        os.write(there.ours, b"c")
        there.read_until(lambda: len(run.requests()) == 1)
