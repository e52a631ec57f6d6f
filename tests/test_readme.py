"""What the README tells people to type works."""

import contextlib
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT, environment, until
from tuimon.cli.main import main
from tuimon.launch import config
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.session_log import Tail

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("tuimon ")]


def look_and_quit(line: list[str], directory: Path, variables: dict[str, str]) -> int:
    """Run a command in a terminal, wait until its screen is there, press q, and return its exit code."""
    ours, its = pty.openpty()
    variables = {**variables, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(line, cwd=directory, env=variables, stdin=its, stdout=its, stderr=its)
    os.close(its)
    os.set_blocking(ours, False)
    screen = bytearray()

    def shows(text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            screen.extend(os.read(ours, 65536))
        return text in screen

    try:
        until(lambda: shows(b"BatchNormalization"), what="the screen")
        os.write(ours, b"q")
        until(lambda: shows(b"\x1b[?1049l"), what="the terminal as it was")
        return process.wait()
    finally:
        process.kill()
        os.close(ours)


def test_the_first_lines_are_the_two_commands_that_ci_runs() -> None:
    first = blocks("sh")[0].splitlines()
    assert [shlex.split(line, comments=True) for line in first] == [["make", "demo"], ["make", "test"]]
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^(demo|test):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE) == ["demo", "test"]


def test_a_users_own_training_is_watched_and_steered_by_the_readmes_commands(tmp_path: Path) -> None:
    script, _ = blocks("python")
    name = script.splitlines()[0].removeprefix("# ")
    # Long enough to be there for every command; `stop` ends it.
    (tmp_path / name).write_text(script.replace("epochs=100,", "epochs=1000000, verbose=0,"))
    variables = environment()
    trainer = subprocess.Popen([sys.executable, name], cwd=tmp_path, env=variables)
    try:
        until(lambda: list(runs_in(tmp_path / "runs")), what="the run directory")
        (run,) = runs_in(tmp_path / "runs")
        until(lambda: any(isinstance(event, events.EpochEnded) for event in Tail(run.session_log).read_all()))

        def type_in(*words: str) -> str:
            words = tuple(run.name if word == "RUN" else word for word in words)
            line = [sys.executable, "-m", "tuimon", *words]
            done = subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stderr) == (0, ""), words
            return done.stdout

        typed = [command[1:] for command in commands()]
        assert [words[0] for words in typed[:7]] == ["watch", "send", "send", "list", "replay", "export", "doctor"]
        sent = [words for words in typed if words[0] == "send"]
        assert [*typed[:1], *sent[:2], *typed[3:7], *sent[2:]] == typed
        for words in [*sent[:2], typed[3], ["send", "RUN", "phase", "auto"], *sent[2:]]:
            type_in(*words)
        watching = subprocess.Popen(
            [sys.executable, "-m", "tuimon", *typed[0]],
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "epoch" in until(lambda: watching.stdout and watching.stdout.readline())
        type_in("send", "RUN", "stop")
        assert "stopped" in watching.communicate()[0]
        assert trainer.wait() == 0
        replay = [run.name if word == "RUN" else word for word in typed[4]]
        assert look_and_quit([sys.executable, "-m", "tuimon", *replay], tmp_path, variables) == 0
        type_in(*typed[5])
        assert (tmp_path / "metrics.csv").read_text().startswith("step,epoch,time,metric,value\n")
        line = [sys.executable, "-m", "tuimon", *(run.name if word == "RUN" else word for word in typed[6])]
        diagnosed = subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
        assert diagnosed.returncode in (0, 1)
        assert "This rests on " in diagnosed.stdout
        asked = [event for event in Tail(run.session_log).read_all() if isinstance(event, events.CommandApplied)]
        words = [words[2] for words in sent]
        assert [event.request["command"] for event in asked] == [*words[:2], "phase", *words[2:], "stop"]
    finally:
        trainer.kill()
        trainer.wait()


def test_a_loop_of_ones_own_is_watched(tmp_path: Path) -> None:
    _, script = blocks("python")
    name = script.splitlines()[0].removeprefix("# ")
    (tmp_path / name).write_text(script)
    subprocess.run([sys.executable, name], cwd=tmp_path, env=environment(), check=True)
    (run,) = runs_in(tmp_path / "runs")
    log = Tail(run.session_log).read_all()
    assert [event.step for event in log if isinstance(event, events.EpochEnded)] == [
        20 * (epoch + 1) for epoch in range(10)
    ]


@pytest.mark.parametrize("path", [match for match in re.findall(r"\]\(([^)#]+)", README) if "://" not in match])
def test_what_the_readme_links_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", ["finetune_one_sample", "real_vs_fake"])
def test_the_answers_of_the_doctor_are_those_of_the_recorded_sessions(
    name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory.at(runs / name.replace("_", "-"))
    shutil.copyfile(ROOT / "docs" / "recorded" / f"{name}.jsonl", run.session_log)
    main(["doctor", run.name, "--runs-dir", str(runs)])
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (shown,) = (block for block in blocks("text") if block.startswith(run.name))
    for part in shown.split("\n…\n"):
        lines = [line.rstrip() for line in part.strip("\n").splitlines()]
        assert any(said[start : start + len(lines)] == lines for start in range(len(said))), part


def test_the_numbers_of_the_sample_are_those_of_the_recorded_session() -> None:
    """The README's figures, from the run that its picture shows."""
    log = Tail(ROOT / "docs" / "recorded" / "finetune_one_sample.jsonl").read_all()
    evaluated = next(event for event in log if isinstance(event, events.Evaluated))
    assert evaluated.logs["loss"] == pytest.approx(-6.10, abs=0.01)
    epochs = {event.step: event.logs for event in log if isinstance(event, events.EpochEnded)}
    assert epochs[1]["loss"] == pytest.approx(-0.28, abs=0.005)
    assert epochs[1]["val_loss"] == pytest.approx(-6.10, abs=0.005)
    assert epochs[100]["loss"] == pytest.approx(-0.29, abs=0.005)
    freeze = next(event for event in log if isinstance(event, events.CommandApplied))
    assert epochs[freeze.first_step + 1]["loss"] == pytest.approx(-6.10, abs=0.005)
    settings = config.read(ROOT / "sample_configs" / "finetune_one_sample.toml")
    assert settings.model.arguments["momentum"] == 0.9999
