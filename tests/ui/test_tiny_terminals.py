"""Terminals too small for any panel: keys do no harm there, the first ones included."""

import os
from pathlib import Path

import pytest

from helpers import probe_fact, selected
from ui.facts import training
from ui.terminals import terminal
from ui.watching import LiveRun, watching

SIZES = {"1×1": (1, 1), "2×1": (2, 1), "1×5": (1, 5), "5×1": (5, 1), "8×2": (8, 2), "20×3": (20, 3), "300×1": (300, 1)}
KEYS = ("2", "enter", "x", "plus", "minus", "up", "left", "escape", "8", "down", "space", "3", "tab", "4", "end", "5")
MORE_KEYS = (
    "6",
    "7",
    "question_mark",
    "pagedown",
    "escape",
    "1",
    "enter",
    "escape",
    "g",
    "home",
    "slash",
    "a",
    "escape",
)


@pytest.mark.parametrize("size", selected(SIZES, "1×1", "8×2", "5×1"))
async def test_keys_do_no_harm(size: str, runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), probe_fact(step=3)) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.resize_terminal(*SIZES[size])
            for key in (*KEYS, *MORE_KEYS):
                app.simulate_key(key)
                await pilot.pause(0.01)
            assert app.export_screenshot()
            assert app.is_running


def test_a_key_before_the_first_screen_does_no_harm(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), probe_fact(step=3)) as run, terminal(run.directory, size=(1, 1)) as there:
        there.read_until(lambda: b"\x1b[?1049h" in there.written)
        os.write(there.ours, b"2")
        os.write(there.ours, b"?")
        there.read_until(lambda: "T" in there.shown)
        os.write(there.ours, b"\x1b[B")
        there.resize(80, 24)
        there.read_until(lambda: "esc closes" in there.shown)
        os.write(there.ours, b"\x1b")
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        assert there.process.poll() is None
