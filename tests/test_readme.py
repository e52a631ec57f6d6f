"""What the README and the docs tell people to type works."""

import contextlib
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from helpers import ROOT, environment, read_log, until
from tuimon import settings
from tuimon.cli import main as main_module
from tuimon.cli.main import main
from tuimon.launch import config
from tuimon.protocol import events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory, runs_in

GENERATED = ("protocol.md", "rules.md", "keys.md", "controls.md", "reliability.md")
PATHS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in GENERATED),
]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
"""All that people wrote for people, by path; the README first."""
README = "README.md"
MY_TRAIN, MY_LOOP = "my_train.py", "my_loop.py"
MY_LONG_TRAIN = "my_long_train.py"
"""`test_script_resume.py` runs it."""
LOOKING = ("watch", "list", "tag", "replay", "export", "doctor", "delete")
"""Subcommands that the docs name once each, beside `send`."""


def blocks(language: str, page: str | None = None) -> list[str]:
    """Return the blocks of a language: of all pages, or of one."""
    text = "\n".join(PAGES.values()) if page is None else PAGES[page]
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def scripts() -> dict[str, str]:
    """Return the Python files of the docs, by the name in their first line."""
    named = [block.partition("\n") for block in dict.fromkeys(blocks("python")) if block.startswith("# ")]
    assert len({first for first, _, _ in named}) == len(named), "a file is shown twice, and not alike"
    return {first.removeprefix("# "): block for first, _, block in named}


def lines(page: str | None = None) -> list[list[str]]:
    """Return the lines that a shell is to run, as words."""
    typed = [line for block in blocks("sh", page) for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in typed]


def commands() -> list[list[str]]:
    """Return each line of `tuimon` once, in the order of the pages that a user's own training is on."""
    pages = [README, "docs/watching.md", "docs/steering.md", *PAGES]
    found = [words[1:] for page in pages for words in lines(page) if words[0] == "tuimon"]
    return [words for number, words in enumerate(found) if words not in found[:number]]


def is_tried_elsewhere(words: list[str]) -> bool:
    """Whether a line needs an ssh server, a log or a hook: test_remote.py, tests/foreign, tests/alerting."""
    of_logs = [line[1:] for line in lines("docs/others-logs.md")]
    return words in of_logs or words[0] == "alerts" or any(word.startswith("HOST:") for word in words)


def named() -> list[str]:
    """Return the commands that the text names: in lines for a shell, also of another machine, and in between."""
    over_ssh = [shlex.join(words[words.index("tuimon") :]) for words in lines() if words[0] == "ssh"]
    between = [span for text in PAGES.values() for span in re.findall(r"`(tuimon [a-z][^`…]*)`", text)]
    rows = [row.split(" | ")[1] for row in PAGES["docs/steering.md"].splitlines() if row.startswith("| ")]
    requests = [f"tuimon send RUN {request}" for row in rows[2:] for request in re.findall(r"`([^`]+)`", row)]
    assert requests
    return sorted({*(f"tuimon {shlex.join(words)}" for words in commands()), *over_ssh, *between, *requests})


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
    assert lines(README)[:2] == [["make", "demo"], ["make", "test"]]
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^(demo|test):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE) == ["demo", "test"]


def test_every_line_for_a_shell_is_of_a_kind_that_is_tested() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in lines():
        match words:
            case ["make", target]:
                assert target in targets
            case ["pip", "install", "-e", what]:
                assert what in (".", *(f".[{extra}]" for extra in extras))
            case ["ssh", "-t", "HOST", "tuimon", *_] | ["ssh", "HOST", "tuimon", *_] | ["tuimon", *_]:
                assert words[words.index("tuimon") + 1] in ("send", "alerts", "import", *LOOKING)
            case _:
                pytest.fail(f"no test runs {words}")


@pytest.mark.parametrize("line", named())
def test_the_command_line_knows_what_the_docs_name(line: str) -> None:
    _, *words = shlex.split(line.replace(" REQUEST", " note TEXT"))
    if len(words) == 1:
        assert words[0] in main_module.COMMANDS
        return
    options = main_module.make_parser().parse_args(words)
    if options.command == "run" and options.config is not None and options.config.name != "CONFIG":
        assert (ROOT / options.config).is_file()


def test_the_readme_has_one_page() -> None:
    assert len(PAGES[README].splitlines()) <= 120


def test_a_users_own_training_is_watched_and_steered_by_the_commands_of_the_docs(tmp_path: Path) -> None:
    name, script = MY_TRAIN, scripts()[MY_TRAIN]
    # Long enough to be there for every command; `stop` ends it.
    assert "epochs=100," in script
    (tmp_path / name).write_text(script.replace("epochs=100,", "epochs=1000000, verbose=0,"))
    variables = environment()
    trainer = subprocess.Popen([sys.executable, name], cwd=tmp_path, env=variables)
    try:
        until(lambda: list(runs_in(tmp_path / "runs")), what="the run directory")
        (run,) = runs_in(tmp_path / "runs")
        until(lambda: any(isinstance(event, events.EpochEnded) for event in read_log(run)))

        def type_in(*words: str) -> str:
            words = tuple(run.name if word == "RUN" else word for word in words)
            line = [sys.executable, "-m", "tuimon", *words]
            done = subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stderr) == (0, ""), words
            return done.stdout

        typed = [words for words in commands() if not is_tried_elsewhere(words)]
        sent = [words for words in typed if words[0] == "send"]
        exports = [words for words in typed if words[0] == "export"]
        # One line of each: with more, this test would pass over some.
        assert sorted(words[0] for words in typed if words not in [*sent, *exports[1:]]) == sorted(LOOKING)
        look = {words[0]: words for words in typed if words not in sent}
        assert [words[2] for words in sent[:2]] == ["freeze", "phase"]
        for words in [*sent[:2], look["list"], look["tag"], ["send", "RUN", "phase", "auto"], *sent[2:]]:
            type_in(*words)
        watching = subprocess.Popen(
            [sys.executable, "-m", "tuimon", *look["watch"]],
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "epoch" in until(lambda: watching.stdout and watching.stdout.readline())
        type_in("send", "RUN", "stop")
        assert "stopped" in watching.communicate()[0]
        assert trainer.wait() == 0
        replay = [run.name if word == "RUN" else word for word in look["replay"]]
        assert look_and_quit([sys.executable, "-m", "tuimon", *replay], tmp_path, variables) == 0
        for words in exports:
            type_in(*words)
        assert (tmp_path / "metrics.csv").read_text().startswith("step,epoch,time,metric,value,branch,fit\n")
        assert (tmp_path / "metrics.jsonl").read_text().startswith('{"step":')
        assert {path.name for path in (tmp_path / "logs").iterdir()} >= {"train", "validation"}
        line = [sys.executable, "-m", "tuimon", *(run.name if word == "RUN" else word for word in look["doctor"])]
        diagnosed = subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
        assert diagnosed.returncode in (0, 1, 3)
        assert "This rests on " in diagnosed.stdout
        asked = [event for event in read_log(run) if isinstance(event, events.CommandApplied)]
        words = [words[2] for words in sent]
        assert [event.request["command"] for event in asked] == [*words[:2], "phase", *words[2:], "stop"]
        # Nobody is there to answer its question.
        type_in(*look["delete"], "--yes")
        assert not run.path.exists()
    finally:
        trainer.kill()
        trainer.wait()


def test_a_loop_of_ones_own_is_watched(tmp_path: Path) -> None:
    name, script = MY_LOOP, scripts()[MY_LOOP]
    (tmp_path / name).write_text(script)
    subprocess.run([sys.executable, name], cwd=tmp_path, env=environment(), check=True)
    (run,) = runs_in(tmp_path / "runs")
    log = read_log(run)
    assert [event.step for event in log if isinstance(event, events.EpochEnded)] == [
        20 * (epoch + 1) for epoch in range(10)
    ]


def test_every_python_block_is_run() -> None:
    assert set(scripts()) == {MY_TRAIN, MY_LOOP, MY_LONG_TRAIN}
    (short,) = [block for block in blocks("python") if not block.startswith("# ")]
    assert "callbacks=[tuimon.Monitor()]" in short
    assert set(short.splitlines()) <= set(scripts()[MY_TRAIN].splitlines()), (
        "the README's lines are in a file that runs"
    )


def test_the_settings_of_the_docs_are_settings(tmp_path: Path) -> None:
    (text,) = blocks("toml", "docs/settings.md")
    path = tmp_path / "settings.toml"
    # What a comment offers is offered in the same spelling.
    path.write_text(text + "".join(f"{key}\n" for key in re.findall(r"; (\w+ = [\d.]+)$", text, flags=re.MULTILINE)))
    read, warning = settings.read(path)
    assert warning == ""
    assert (read.palette, read.smoothing, read.smoothing_weight) == ("colorblind", "ema", 0.9)


def test_the_settings_of_the_quick_start_are_settings(tmp_path: Path) -> None:
    (text,) = blocks("toml", "docs/quick-start.md")
    path = tmp_path / "settings.toml"
    path.write_text(text)
    read, warning = settings.read(path)
    assert (read.alerts.command[0], warning) == ("curl", "")


def test_the_command_for_those_without_a_hook_appends_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = re.findall(r"`(command = \[.*\])`", PAGES["docs/quick-start.md"])
    path = tmp_path / "settings.toml"
    path.write_text(f"[alerts]\n{line}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TUIMON_SETTINGS", str(path))
    for _ in range(2):
        assert main(["alerts", "test"]) == 0
    told = (tmp_path / "tuimon-alerts.jsonl").read_text().splitlines()
    assert [json.loads(each)["event"] for each in told] == ["test", "test"]


def test_the_alerts_of_the_docs_are_settings(tmp_path: Path) -> None:
    (text,) = blocks("toml", "docs/alerts.md")
    path = tmp_path / "settings.toml"
    path.write_text(text)
    read, warning = settings.read(path)
    assert warning == ""
    assert read.notify == ["bell", "osc9"]
    defaults = settings.Alerts(command=read.alerts.command)
    assert read.alerts == defaults
    assert ["alerts", "test"] in commands()
    # What the text offers for mail, the desktop and ntfy.
    offered = re.findall(r"^- \w.*: `(command = .*)`$", PAGES["docs/alerts.md"], flags=re.MULTILINE)
    assert len(offered) == 3
    for line in offered:
        path.write_text(f"[alerts]\n{line}\n")
        read, warning = settings.read(path)
        assert (read.alerts.arguments[:2], warning) == (["sh", "-c"], "")


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
    """The figures of docs/why-fine-tuning-loss-is-worse.md, from the run that its picture shows."""
    log = Tail(ROOT / "docs" / "recorded" / "finetune_one_sample.jsonl").read_all()
    evaluated = next(event for event in log if isinstance(event, events.Evaluated))
    assert evaluated.logs["loss"] == pytest.approx(-6.10, abs=0.01)
    epochs = {event.step: event.logs for event in log if isinstance(event, events.EpochEnded)}
    assert epochs[1]["loss"] == pytest.approx(-0.28, abs=0.005)
    assert epochs[1]["val_loss"] == pytest.approx(-6.10, abs=0.005)
    assert epochs[100]["loss"] == pytest.approx(-0.29, abs=0.005)
    freeze = next(event for event in log if isinstance(event, events.CommandApplied))
    assert epochs[freeze.first_step + 1]["loss"] == pytest.approx(-6.10, abs=0.005)
    sample = config.read(ROOT / "sample_configs" / "finetune_one_sample.toml")
    assert sample.model.arguments["momentum"] == 0.9999
