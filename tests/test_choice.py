"""Which run a command takes where none is named; what it says about it, and when it takes none."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers import a_run, make_run, requests_in, stand_in, started
from tuimon.cli.common.choice import NO_ANSWER
from tuimon.cli.main import main
from tuimon.protocol import commands
from tuimon.runs.run_directory import RunDirectory

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    "arguments", [["doctor"], ["export", "--to", "csv", "--out", "-"], ["watch"], ["doctor", "--json"]]
)
def test_the_newest_run_is_taken_and_named_on_stderr(runs: Path, arguments: list[str], capsys: Capture) -> None:
    older, newer = make_run(runs, a_run(), "older"), make_run(runs, a_run(), "newer")
    os.utime(older.session_log, (100, 100))
    main([*arguments, newer.name])
    named = capsys.readouterr()
    main(arguments)
    taken = capsys.readouterr()
    assert taken.out == named.out
    assert taken.err == "tuimon: newer (finished)\n"


def test_a_live_run_is_newer_than_one_that_has_ended_since(runs: Path, capsys: Capture) -> None:
    over, live = make_run(runs, a_run(), "over"), RunDirectory.at(runs / "live")
    with stand_in(live, "hold"):
        os.utime(over.session_log)
        main(["doctor"])
        assert capsys.readouterr().err == "tuimon: live (training)\n"


@pytest.mark.parametrize("command", ["doctor", "replay", "send stop", "export --to csv --out -"])
def test_without_any_run_there_is_one_line(command: str, capsys: Capture) -> None:
    assert main(command.split()) == 2
    assert "there is no run here yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (["phase", "inference"], commands.Phase(phase="inference")),
        (["--timeout", "30", "freeze", "--layer", "bn_1"], commands.Freeze(layers=["bn_1"])),
        (["--json", "note", "stop"], commands.Note(text="stop")),
        (["--time=30", "pause"], commands.Pause()),
    ],
)
def test_a_request_goes_to_the_live_run(
    runs: Path, arguments: list[str], request_: commands.AnyRequest, capsys: Capture
) -> None:
    make_run(runs, a_run(), "over")
    live = RunDirectory.at(runs / "live")
    with stand_in(live, "apply"):
        assert main(["send", *arguments]) == 0
        said = capsys.readouterr()
        assert said.err == "tuimon: live (the only live run)\n"
    answered = [line for line in live.session_log.read_text().splitlines() if '"command_applied"' in line]
    assert len(answered) == 1
    assert f'"command":"{commands.name_of(request_)}"' in answered[0]


def test_a_request_goes_to_no_run_where_several_are_live(runs: Path, capsys: Capture) -> None:
    made = [RunDirectory.at(runs / name) for name in ("first", "second")]
    with ExitStack() as trainers:
        for run in made:
            trainers.enter_context(stand_in(run, "hold"))
        assert main(["send", "stop"]) == 2
        said = capsys.readouterr().err
        assert "2 runs are live: " in said
        assert "first" in said
        assert "second" in said
        assert said.endswith("Name the one: tuimon send RUN stop\n")
        assert [requests_in(run) for run in made] == [[], []]
        assert main(["watch"]) == 2
        assert "2 runs are live" in capsys.readouterr().err


def test_a_request_goes_to_no_run_that_is_over_or_silent(runs: Path, capsys: Capture) -> None:
    silent = make_run(runs, [started(boot_id="of another machine"), *a_run()[1:-1]], "silent")
    assert main(["send", "stop"]) == NO_ANSWER
    assert "the newest, silent, is silent" in capsys.readouterr().err
    assert requests_in(silent) == []


def test_a_run_that_is_over_has_the_same_exit_code_named_or_not(runs: Path, capsys: Capture) -> None:
    over = make_run(runs, a_run(), "over")
    codes = [main(["send", *name, "stop"]) for name in ([], ["over"], [str(over.path)])]
    assert codes == [NO_ANSWER] * 3
    assert len(capsys.readouterr().err.splitlines()) == 3
    # What cannot be asked is bad input, whether or not anybody would answer.
    assert [main(["send", *name, "lr", "0"]) for name in ([], ["over"])] == [2, 2]
    assert requests_in(over) == []


def test_an_empty_name_is_none(runs: Path, capsys: Capture) -> None:
    live = RunDirectory.at(runs / "live")
    with stand_in(live, "hold"):
        assert main(["send", "", "stop"]) == 2
    assert "no run named" in capsys.readouterr().err
    assert requests_in(live) == []


def test_a_run_that_is_called_like_a_request_is_named_by_its_path(runs: Path) -> None:
    run = RunDirectory.at(runs / "freeze")
    with stand_in(run, "apply"):
        assert main(["send", "freeze", "freeze"]) == 2
        assert main(["send", str(run.path), "--json", "freeze"]) == 0
