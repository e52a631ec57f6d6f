"""A viewer whose terminal is gone is gone as well, and takes nothing with it."""

import os
import pty
import subprocess
from pathlib import Path

from helpers import a_run, command, environment, make_run, stand_in, until
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.terminal.hangup import EXIT_CODE


def test_a_viewer_ends_when_its_terminal_hangs_up(runs: Path) -> None:
    run = make_run(runs, a_run()[:-1])
    ours, theirs = pty.openpty()
    variables = environment(TERM="xterm-256color", COLUMNS="80", LINES="24")
    # Without a session of its own the terminal is not its controlling one, and no signal comes.
    viewer = subprocess.Popen(command("watch", run.path), stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    screen = bytearray()

    def shows_the_layers() -> bool:
        screen.extend(os.read(ours, 65536))
        return b"bn_1" in screen

    try:
        until(shows_the_layers, what="the screen")
        os.close(ours)
        assert viewer.wait(60) == EXIT_CODE
    finally:
        viewer.kill()
        viewer.wait()


def test_training_goes_on_when_the_viewer_is_killed(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    ours, theirs = pty.openpty()
    variables = environment(TERM="xterm-256color", COLUMNS="80", LINES="24")
    with stand_in(run, "apply") as trainer:
        for _ in range(2):
            viewer = subprocess.Popen(
                command("watch", run.path), stdin=theirs, stdout=theirs, stderr=theirs, env=variables
            )
            screen = bytearray()

            def shows_the_layers(screen: bytearray = screen) -> bool:
                screen.extend(os.read(ours, 65536))
                return b"bn_1" in screen

            until(shows_the_layers, what="the screen")
            viewer.kill()
            viewer.wait()
        assert trainer.poll() is None
    os.close(theirs)
    os.close(ours)
