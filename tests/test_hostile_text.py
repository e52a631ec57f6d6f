"""Text from outside is shown, never obeyed: whatever a run's files, facts and name hold."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from helpers import a_run, command, environment, make_run, stand_in
from hostile import EVIL, hostile_run, obeyed
from tuimon.cli.main import COMMANDS, main
from tuimon.text import plain, shown_lines
from ui.terminals import terminal
from ui.watching import text, watching
from ui.watching import until as until_shown


def commands_on(run: str, runs: str, out: str) -> list[list[str]]:
    return [
        ["list", runs],
        ["list", runs, "--json"],
        ["list", runs, "--params", "--sort", "best"],
        ["list", runs, "--sort", EVIL],
        ["list", EVIL],
        ["watch", run],
        ["list", f"{EVIL}<3"],
        ["list", EVIL],
        ["get", run, EVIL],
        ["get", run, f"batch/{EVIL}", "--branch", "all", "-n", "9"],
        ["get", run, "loss", "--branch", EVIL],
        ["compare", run, run],
        ["compare", run, run, "--json"],
        ["compare", run, "healthy", "--runs-dir", runs, "--target", f"{EVIL}<3"],
        ["watch", "--runs-dir", runs],
        ["watch", EVIL],
        ["doctor", run],
        ["doctor", run, "--json"],
        ["replay", run],
        ["export", run, "--to", "csv", "--out", out],
        ["export", run, "--to", "html", "--out", "-"],
        ["export", run, "--to", "svg", "--out", "-"],
        ["export", run, "--to", "csv", "--out", f"/nonexistent/{EVIL}"],
        ["export", run, "--to", "jsonl", "--out", "-"],
        ["export", run, "--to", "tensorboard", "--out", f"/nonexistent/{EVIL}"],
        ["send", run, "--timeout", "0", "stop"],
        ["send", run, "--json", "--timeout", "0", "note", EVIL],
        ["send", run, "--timeout", "0", "freeze", "--layer", EVIL],
        ["tag", run, "best"],
        ["tag", run, EVIL],
        ["tag", run],
        ["run", "--resume", run],
        ["import", EVIL],
        ["import", run, "--name", EVIL],
        ["run", EVIL],
        [EVIL],
        ["completion", EVIL],
        ["wait", run, "--timeout", "60"],
        ["wait", run, "--until", "alert", "--timeout", "60"],
        ["wait", run, "--until", "epoch", "999999", "--timeout", "60"],
        ["wait", run, "--until", f"{EVIL}<1", "--timeout", "60"],
        ["wait", run, "--until", EVIL],
        ["wait", EVIL],
        ["alerts", "test"],
        ["alerts", EVIL],
        ["delete", run],
        ["delete", "--yes", run],
        ["delete", "--yes", "--force", run],
    ]


@pytest.mark.parametrize("ends", [True, False])
def test_no_command_sends_what_a_terminal_obeys(
    runs: Path, tmp_path: Path, ends: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run = hostile_run(runs, ends=ends)
    make_run(runs, a_run(), "healthy")
    calls = commands_on(str(run.path), str(runs), str(tmp_path / "out.csv"))
    assert {call[0] for call in calls} >= set(COMMANDS)
    if not ends:
        # Nobody knows whether its trainer lives: to watch it in lines is to wait.
        calls = [call for call in calls if call[0] in ("list", "doctor")]
    for call in calls:
        with contextlib.suppress(SystemExit):
            main(call)
        said = capsys.readouterr()
        assert obeyed(said.out + said.err) == [], call


def test_a_terminal_gets_safe_csv_and_a_file_gets_exact_names(runs: Path, tmp_path: Path) -> None:
    run = hostile_run(runs)
    export = command("export", run.path, "--to", "csv", "--out")
    piped = subprocess.run([*export, "-"], env=environment(), capture_output=True, check=True).stdout
    subprocess.run([*export, tmp_path / "out.csv"], env=environment(), check=True)
    assert piped == (tmp_path / "out.csv").read_bytes()
    assert EVIL.encode() in piped
    shown = subprocess.run(
        ["script", "-qec", f'{" ".join(map(str, export[:4]))} "$RUN" --to csv --out -', "/dev/null"],
        env=environment(RUN=str(run.path)),
        capture_output=True,
        check=False,
    ).stdout.decode()
    assert "step,epoch,time,metric,value" in shown
    assert obeyed(shown.replace("\r\n", "\n")) == []


def test_the_answer_to_a_request_is_safe(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tuimon.runs.run_directory import RunDirectory

    run = RunDirectory.at(runs / f"live-{EVIL}")
    with stand_in(run, "apply"):
        for more in ([], ["--json"]):
            assert main(["send", str(run.path), *more, "freeze"]) == 0
            said = capsys.readouterr()
            assert obeyed(said.out + said.err) == []


async def test_no_screen_shows_what_a_terminal_obeys(runs: Path) -> None:
    run = hostile_run(runs)
    async with watching(run) as (app, pilot):
        for key in ("1", "2", "3", "4", "5", "6", "7", "8", "question_mark", "escape", "1", "w", "escape"):
            await pilot.press(key)
            await until_shown(pilot, lambda: bool(text(app).strip()))
            assert obeyed(text(app)) == [], key
            assert "\x1b" not in app.export_screenshot(), key


def test_no_screen_sends_what_a_terminal_obeys(runs: Path) -> None:
    run = hostile_run(runs)
    with terminal(run, size=(120, 40)) as there:
        there.read_until(lambda: "quit" in there.shown)
        for key in b"2345678?":
            before = len(there.written)
            os.write(there.ours, bytes([key]))
            there.read_until(lambda before=before: len(there.written) > before)
        assert b"]0;PWNED" not in there.written
        assert b"\xc2\x9b" not in there.written
        assert "\u202e".encode() not in there.written


def test_an_escape_that_does_not_end_hides_nothing_behind_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--runs-dir", str(runs), "a\x1b]0;b"]) == 2
    words = capsys.readouterr().err
    assert "\x1b" not in words
    assert words.endswith(f'" in {runs}{os.sep}\n')
    assert shown_lines("one\x1b]0;\ntwo\x07\nthree") == "one0;\ntwo\ufffd\nthree"
    assert plain("a\x1b]0;title\x07b\x1b]8;;x\x1b\\c") == "abc"
