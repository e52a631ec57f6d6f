"""What cannot be written in an encoding is replaced: nothing fails for it, wherever the output goes."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from helpers import a_run, command, encode_log, environment, fit_started, make_run, model_built, selected, started
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import Settings, for_terminal
from ui.terminals import terminal

NARROW = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "a strict one": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
"""Environments of programs whose output has no character such as an en dash."""
NAMES = "run-π-層-\udcff"


def named_run(runs: Path) -> RunDirectory:
    """Return a run whose names are in no single encoding, and whose directory's name is not even UTF-8."""
    epoch = events.EpochEnded(logs={"loss": 0.5, "πloss": 0.5}, learning_rate=1e-3, seconds=1.0, step=2)
    facts = [started(name="lauf-π"), model_built(), fit_started(), epoch, events.RunEnded(status="finished", step=4)]
    return make_run(runs, facts, NAMES)


@pytest.mark.parametrize("encoding", selected(NARROW, "latin-1", "C"))
@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "."),
        ("list", ".", "--json"),
        ("doctor", NAMES),
        ("watch", NAMES),
        ("export", NAMES, "--to", "csv", "--out", "-"),
        ("send", NAMES, "pause"),
        ("watch", "not-here-π-\udcff"),
        ("--help",),
        ("send", "--help"),
        ("doctor", "--help"),
        ("run", "nothing-π.toml"),
    ],
    ids=lambda arguments: "-".join(arguments[:2]).encode("ascii", "replace").decode(),
)
def test_what_cannot_be_written_is_replaced(arguments: tuple[str, ...], encoding: str, runs: Path) -> None:
    named_run(runs)
    done = subprocess.run(
        [*command(), *map(os.fsencode, arguments)],
        cwd=runs,
        env=environment(TUIMON_RUNS_DIR=".", COLUMNS="100", **NARROW[encoding]),
        capture_output=True,
        check=False,
    )
    assert b"Error" not in done.stderr
    assert done.stdout or done.stderr
    (done.stdout + done.stderr).decode("latin-1" if encoding == "latin-1" else "ascii")


def test_signs_become_the_nearest_ones(runs: Path) -> None:
    (runs / "empty").mkdir()
    (runs / "empty" / "session.jsonl").write_bytes(encode_log([started()]))
    done = subprocess.run(
        command("list", runs), env=environment(PYTHONIOENCODING="ascii"), capture_output=True, check=True, text=True
    )
    # An en dash where nothing is known.
    assert re.search(r"empty +\w+ +- +0 +- +- ", done.stdout)


@pytest.mark.parametrize(
    ("name", "colors"),
    [
        ("linux", "16"),
        ("screen.linux", "16"),
        ("vt100", "none"),
        ("vt220", "none"),
        ("cons25", "16"),
        ("ansi", "16"),
    ],
)
def test_a_terminal_with_a_short_font_gets_ascii(name: str, colors: str) -> None:
    settings = for_terminal(Settings(), {"TERM": name, "LANG": "de_DE.UTF-8"})
    assert (settings.ascii, settings.colors) == (True, colors)
    assert for_terminal(Settings(ascii=False), {"TERM": name, "LANG": "de_DE.UTF-8"}).ascii is False


@pytest.mark.parametrize(
    "name", ["xterm", "xterm-256color", "screen", "tmux-256color", "contour", "konsole", "foot", "st"]
)
def test_other_terminals_get_all_characters(name: str) -> None:
    assert for_terminal(Settings(), {"TERM": name, "LANG": "de_DE.UTF-8"}).ascii is False


@pytest.mark.parametrize(
    "variables",
    [
        {"TERM": "linux", "LANG": "C.UTF-8"},
        {"TERM": "vt100"},
        {"PYTHONIOENCODING": "latin-1", "LANG": "C.UTF-8"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "not_THERE.UTF-8", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda variables: "-".join(variables.values()),
)
def test_the_screen_is_ascii_where_it_must_be(variables: dict[str, str], runs: Path) -> None:
    with terminal(make_run(runs, a_run()), **variables) as there:
        there.read_until(lambda: "finished" in there.shown and "quit" in there.shown)
        assert there.written.isascii()
        assert b"\\u" not in there.written
        assert variables.get("TERM") != "vt100" or not re.search(rb"\x1b\[[\d;]*[349]\d[;m]", there.written)
