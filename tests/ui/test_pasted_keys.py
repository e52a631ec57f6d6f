"""Keys that a terminal sends all at once, in a real terminal: they change nothing without a question."""

import os
from pathlib import Path

import pytest

from tuimon.ui.viewer.bursts import burst_length, is_pasted
from ui.facts import training
from ui.terminals import Terminal, terminal
from ui.watching import LiveRun


def is_there(there: Terminal) -> bool:
    return "● training" in there.shown and "? help  q quit" in there.shown


@pytest.mark.parametrize("pasted", ["ccF", "cc", "2c", "l0.1\r", "pt\r", "hello, world\r"])
def test_what_is_pasted_without_brackets_asks_first(runs: Path, pasted: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, pasted.encode())
        there.read_until(lambda: "Pasted?" in there.shown)
        assert run.requests() == []
        # Enter does what is marked: nothing.
        os.write(there.ours, b"\r")
        there.read_until(lambda: "Pasted?" not in there.shown and is_there(there))
        assert run.requests() == []
        # A key that comes alone is taken at once.
        os.write(there.ours, b"c")
        there.read_until(lambda: len(run.requests()) == 1)


def test_what_was_typed_over_a_slow_line_is_typed_after_all(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, b"l0.1\r")
        there.read_until(lambda: "Pasted?" in there.shown)
        os.write(there.ours, b"t")
        there.read_until(lambda: len(run.requests()) == 1)
        assert getattr(run.requests()[0], "learning_rate", None) == 0.1


def test_a_long_paste_is_dropped_with_a_word(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, b"for x in fFcgrpz:\r    print(x)\r" * 200)
        there.read_until(lambda: "and none was taken" in there.shown)
        assert run.requests() == []


def test_a_paste_into_a_question_waits_for_enter(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, b"l")
        there.read_until(lambda: "enter sends it" in there.shown)
        os.write(there.ours, b"0.25\r")
        there.read_until(lambda: "Pasted?" in there.shown)
        assert run.requests() == []
        os.write(there.ours, b"n")
        there.read_until(lambda: "Pasted?" not in there.shown and "0.25" in there.shown)
        os.write(there.ours, b"\r")
        there.read_until(lambda: len(run.requests()) == 1)


def test_a_paste_with_brackets_is_not_taken_as_keys(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, b"\x1b[200~ccF\rq\x1b[201~")
        there.read_until(lambda: "not taken as keys" in there.shown)
        assert run.requests() == []
        os.write(there.ours, b":")
        there.read_until(lambda: "find a key" in there.shown)
        os.write(there.ours, b"\x1b[200~evaluate\x1b[201~")
        there.read_until(lambda: "evaluate: Evaluate" in there.shown)


def test_a_paste_into_a_filter_is_text(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, b"2")
        there.read_until(lambda: "smoothing" in there.shown)
        os.write(there.ours, b"/")
        there.read_until(lambda: "a glob or" in there.shown)
        os.write(there.ours, b"cFgloss")
        there.read_until(lambda: "cFgloss" in there.shown)
        assert run.requests() == []


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ("2/acc", "No metric matches “acc”"),
        ("4/R2", "No event matches"),
        ("8/lr", "0 of 1 fit lr"),
        (":lr", "Set the learning rate"),
    ],
)
def test_what_comes_at_once_with_the_key_of_a_line_is_typed_into_it(runs: Path, keys: str, shown: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: is_there(there))
        os.write(there.ours, keys.encode())
        there.read_until(lambda: shown.lower() in there.shown.lower())
        assert "Pasted?" not in there.shown
        assert run.requests() == []


def test_keys_of_a_hand_and_of_a_held_key_come_alone() -> None:
    # A fast hand: 25 ms between two keys that it rolls over; a held key: 30 a second.
    assert not is_pasted([1.025, 1.05], before=1.0)
    assert not is_pasted([1.0], before=1.0 - 1 / 30)
    assert burst_length([1.0, 1.0001, 1.0002, 1.05]) == 3
