"""However the viewer ends, the terminal is as it was; and nothing else ends it."""

import os
import re
import select
import signal
import termios
from pathlib import Path

import pytest

from helpers import a_run, make_run, selected, stand_in, until
from tuimon.runs.run_directory import RunDirectory
from ui.facts import training
from ui.terminals import Terminal, terminal
from ui.watching import LiveRun

USUAL = {7}
"""Modes that are on in every terminal: long lines are wrapped."""


def modes_on(written: bytes) -> set[int]:
    """Return the modes that the viewer has left on, the cursor's not counted."""
    modes = {int(number): on == b"h" for number, on in re.findall(rb"\x1b\[\?(\d+)([hl])", written)}
    return {number for number, on in modes.items() if on} - {25} - USUAL


def keyboard_modes(written: bytes) -> int:
    """Return how many modes of the keyboard are left on the terminal's stack."""
    return len(re.findall(rb"\x1b\[>\d+u", written)) - written.count(b"\x1b[<u")


def read_to_the_end(there: Terminal) -> None:
    there.read_until(lambda: there.process.poll() is not None and not select.select([there.ours], [], [], 0)[0])


def assert_restored(there: Terminal) -> None:
    read_to_the_end(there)
    written = bytes(there.written)
    assert not modes_on(written)
    assert keyboard_modes(written) == 0
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l")
    assert termios.tcgetattr(there.theirs) == there.settings
    assert b"Traceback" not in written


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT"])
def test_a_signal_restores_the_terminal(name: str, runs: Path) -> None:
    number = signal.Signals[name]
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        assert modes_on(bytes(there.written)) >= {1049, 1000, 2004}
        there.process.send_signal(number)
        assert_restored(there)
        assert there.process.returncode in (-number, 128 + number)
        assert not there.answers, "an answer that the shell would get"


def test_a_signal_over_a_question_restores_the_terminal(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        os.write(there.ours, b"?")
        there.read_until(lambda: "esc closes" in there.shown)
        there.process.terminate()
        assert_restored(there)


@pytest.mark.parametrize("name", selected(["SIGTERM", "SIGINT"], "SIGINT"))
def test_a_second_signal_does_not_wait(name: str, runs: Path) -> None:
    number = signal.Signals[name]
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        # It waits for the answer to what a key has asked for.
        there.answers_at_once = False
        os.write(there.ours, b"?")
        there.read_until(lambda: bool(there.answers) and "esc closes" in there.shown)
        there.process.send_signal(number)
        there.process.send_signal(number)
        assert_restored(there)
        # Both may arrive before either is handled.
        assert there.process.returncode in (-number, 128 + number)


def test_a_terminal_that_takes_nothing_in_keeps_nobody(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        # As ctrl+s does in a terminal: nothing is read any more.
        termios.tcflow(there.theirs, termios.TCOOFF)
        there.garble()
        os.write(there.ours, b"\x0c")
        there.process.terminate()
        until(lambda: there.process.poll() is not None)
        assert there.process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
        termios.tcflow(there.theirs, termios.TCOON)
        assert termios.tcgetattr(there.theirs) == there.settings


def test_a_signal_while_the_screen_opens(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: b"\x1b[?1049h" in there.written)
        there.process.terminate()
        assert_restored(there)


def test_a_signal_before_the_screen_opens(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.process.terminate()
        assert_restored_or_untouched(there)


def assert_restored_or_untouched(there: Terminal) -> None:
    read_to_the_end(there)
    assert not modes_on(bytes(there.written))
    assert termios.tcgetattr(there.theirs) == there.settings
    assert there.process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_viewer_that_is_suspended_ends_without_a_word(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        there.process.send_signal(signal.SIGTSTP)
        there.read_until(there.is_stopped)
        there.read(0.0)
        assert not modes_on(bytes(there.written))
        there.written.clear()
        # As the shell's `kill %1` does.
        there.process.terminate()
        there.process.send_signal(signal.SIGCONT)
        read_to_the_end(there)
        # A shell reports both alike; it depends on which of the two signals Python hears first.
        assert there.process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert not there.written
        assert termios.tcgetattr(there.theirs) == there.settings


def test_an_exception_restores_the_terminal(runs: Path, tmp_path: Path) -> None:
    failing = tmp_path / "site" / "sitecustomize.py"
    failing.parent.mkdir()
    failing.write_text(
        "import sys\n"
        "if 'watch' in sys.argv or True:\n"
        "    from tuimon.ui.dialogs import help_screen\n"
        "    def fail(*_, **__): raise ZeroDivisionError('of the test')\n"
        "    help_screen.HelpScreen.__init__ = fail\n"
    )
    with terminal(make_run(runs, a_run()), PYTHONPATH=os.pathsep.join((str(failing.parent), *_path()))) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        os.write(there.ours, b"?")
        read_to_the_end(there)
        assert not modes_on(bytes(there.written))
        assert termios.tcgetattr(there.theirs) == there.settings
        assert b"ZeroDivisionError" in there.written
        assert there.process.returncode == 1


def _path() -> list[str]:
    from helpers import environment

    return environment()["PYTHONPATH"].split(os.pathsep)


def test_a_trainer_that_is_killed_leaves_the_viewer_alone(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "hold") as trainer, terminal(run) as there:
        there.read_until(lambda: "bn_1" in there.shown and "quit" in there.shown)
        trainer.kill()
        trainer.wait()
        there.read_until(lambda: "crashed" in there.shown.lower())
        assert there.process.poll() is None
        assert modes_on(bytes(there.written)) >= {1049, 1000, 2004}
        os.write(there.ours, b"q")
        assert_restored(there)
        assert there.process.returncode == 0
