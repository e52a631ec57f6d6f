"""What the real command writes to a real terminal, and how it leaves it."""

import os
import select
import signal
import termios
from pathlib import Path

from helpers import a_run, make_run, statistics
from tuimon.protocol import events
from ui.facts import training
from ui.terminals import COLUMNS, ROWS, terminal
from ui.watching import LiveRun, text, until, watching


def test_watch_draws_and_q_leaves_the_terminal_as_it_was(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "? help  q quit" in there.shown)
        assert b"\x1b[?1049h" in there.written
        there.read_until(lambda: "Finished after" in there.shown and "› bn_1" in there.shown)
        os.write(there.ours, b"q")
        there.read_until(lambda: there.process.poll() is not None and not select.select([there.ours], [], [], 0)[0])
        assert there.process.returncode == 0
        assert there.written.rindex(b"\x1b[?1049l") > there.written.rindex(b"\x1b[?1049h")
        assert there.written.rindex(b"\x1b[?25h") > there.written.rindex(b"\x1b[?25l")
        assert termios.tcgetattr(there.theirs) == there.settings
        assert b"Traceback" not in there.written


async def test_what_is_sent_piece_by_piece_adds_up_to_the_screen(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_層")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        for step in range(3, 15):
            value = (-1.0) ** step * step
            run.write(
                events.Batches(first_step=step, metrics={"loss": [value]}, batches=1, step=step + 1, epoch=step),
                events.BatchNorm(layers={"bn_1": statistics(value), "bn_層": statistics(step)}, step=step + 1),
            )
            before = len(there.written)
            there.read_until(lambda before=before: len(there.written) > before)
        run.write(events.RunEnded(status="finished", step=15, epoch=14))
        async with watching(run.directory, (COLUMNS, ROWS)) as (app, pilot):
            await until(pilot, lambda: "✓ finished" in text(app))
            await until(pilot, lambda: "Finished after" in text(app))
            # pyte pads a wide character with an empty cell that it shows as nothing.
            await until(pilot, lambda: there.read(0) or there.shown.split() == text(app).split(), "both are the same")


def test_a_storm_of_sizes_leaves_the_screen_of_the_last_one(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        for columns, rows in [(200, 50), (31, 9), (120, 30), (300, 80), (79, 23), (COLUMNS, ROWS)] * 3:
            there.resize(columns, rows)
        run.write(events.RunEnded(status="finished", step=15, epoch=14))
        there.read_until(lambda: "✓ finished" in there.shown and "Finished after" in there.shown)
        # A terminal loses what it held when it gets smaller, whatever the viewer was sent of it meanwhile.
        there.read_until(lambda: "› bn_1" in there.shown and there.shown.endswith("the run is over"))


def test_after_a_stop_the_screen_is_drawn_anew(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        # As the shell's ctrl+z and fg do; the answer that is on its way then is read by the shell.
        there.answers_at_once = False
        os.write(there.ours, b"?")
        there.read_until(lambda: "esc closes" in there.shown and bool(there.answers))
        there.process.send_signal(signal.SIGTSTP)
        there.read_until(there.is_stopped)
        there.answers.clear()
        there.garble()
        there.answers_at_once = True
        there.process.send_signal(signal.SIGCONT)
        there.read_until(lambda: "esc closes" in there.shown)
        os.write(there.ours, b"\x1b")
        there.read_until(lambda: "✓ finished" in there.shown and "› bn_1" in there.shown and "quit" in there.shown)


def test_a_garbled_screen_is_drawn_anew_by_a_key(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        there.garble()
        assert "quit" not in there.shown
        os.write(there.ours, b"\x0c")
        there.read_until(lambda: "✓ finished" in there.shown and "› bn_1" in there.shown and "quit" in there.shown)


def test_keys_that_come_in_pieces_or_begin_a_sequence_are_keys(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        os.write(there.ours, b"?")
        there.read_until(lambda: "esc closes" in there.shown)
        there.answers_at_once = False
        os.write(there.ours, b"/")
        there.read_until(lambda: "╭" in there.shown)
        for piece in ("層".encode()[:1], "層".encode()[1:], b"x"):
            os.write(there.ours, piece)
            there.read_until(lambda: not select.select([there.theirs], [], [], 0)[0])
        there.read_until(lambda: "層x" in there.shown.replace(" ", ""))
        # An escape alone, which is a key once nothing follows it.
        os.write(there.ours, b"\x1b")
        there.read_until(lambda: "層x" not in there.shown.replace(" ", ""))


def test_bytes_that_are_no_utf_8_change_nothing(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        # An é of Latin-1, and a click at column 200 as a terminal of the eighties reports it.
        for sent in (b"\xe9", b"\x1b[M \xe8\x25", b"?"):
            os.write(there.ours, sent)
        there.read_until(lambda: "esc closes" in there.shown)
        assert b"Traceback" not in there.written
        assert there.process.poll() is None


def test_late_answers_are_no_keys(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.answers_at_once = False
        # It goes on without answers, as on a line that only takes.
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        os.write(there.ours, b"2")
        there.read_until(lambda: "metrics" in there.shown and len(there.answers) > 1)
        there.answer()
        os.write(there.ours, b"?")
        there.read_until(lambda: "esc closes" in there.shown)
        there.answers_at_once = True
        there.answer()
        os.write(there.ours, b"\x1b")
        there.read_until(lambda: "esc closes" not in there.shown and "● training" in there.shown)
        assert not run.requests()
        there.process.terminate()
        there.read_until(lambda: there.process.poll() is not None and not select.select([there.ours], [], [], 0)[0])
        # What the shell would find in its input.
        assert not select.select([there.theirs], [], [], 0)[0]
