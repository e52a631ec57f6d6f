"""`tuimon run` with alerts in its config."""

import json
import subprocess
from pathlib import Path

import pytest

from alerting.phone import Kept, Phone
from helpers import command, environment, read_log, until
from test_run import CONFIG as TRAINING
from test_run import MODEL, end, has_trained
from tuimon.errors import UsageError
from tuimon.launch import config
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import Alerts

MINE = """
def build():
    raise ValueError("no model today")
"""
CONFIG = '[model]\nbuild = "mine:build"\n[data]\nbuild = "mine:build"\n'


def test_a_run_that_fails_is_told_and_its_log_has_no_password(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.py").chmod(0o644)
    path = tmp_path / "sample.toml"
    path.write_text(f"{CONFIG}[alerts]\ncommand = {json.dumps([*kept.command, 'passw0rd'])}\n")
    done = subprocess.run(
        command("run", path, "--headless", "--runs-dir", runs),
        cwd=tmp_path,
        # What a batch job leaves running is killed: all is sent before it ends.
        env=environment(ENVIRONMENT="BATCH", SLURM_JOB_ID="7"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (message,) = kept.messages
    (directory,) = runs.iterdir()
    run = RunDirectory(directory)
    assert message["text"] == f"{run.name}: failed after 0 steps: ValueError: no model today"
    first = read_log(run)[0]
    assert isinstance(first, events.RunStarted)
    assert set(first.config) == {"run", "model", "data", "training", "monitor"}
    assert "passw0rd" not in run.session_log.read_text()
    # For `--resume`, which only the user can read.
    assert "passw0rd" in run.config.read_text()
    assert run.config.stat().st_mode & 0o777 == 0o600


def test_what_a_config_leaves_out_is_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(f'{CONFIG}[alerts]\non = ["end"]\n')
    read = config.read(path)
    assert read.alerts is not None
    assert read.alerts.over(Alerts(command="mail", every_seconds=5)) == Alerts(command="mail", on=["end"])
    config.write(read, tmp_path / "again.toml")
    assert config.read(tmp_path / "again.toml").alerts == read.alerts
    path.write_text(CONFIG)
    assert config.read(path).alerts is None
    for text, words in (
        (
            'on = ["ends"]',
            "alerts.on[0]: invalid enum value 'ends'; there are alert, end, crash, stall, silence, order",
        ),
        ('comand = "mail"', 'alerts.comand: no such key (did you mean "command"?)'),
        ('command = "mail \'me"', "alerts.command: no closing quotation"),
        ("every_seconds = -1", "alerts.every_seconds: expected float >= 0.0"),
    ):
        path.write_text(f"{CONFIG}[alerts]\n{text}\n")
        with pytest.raises(UsageError) as raised:
            config.read(path)
        assert words in str(raised.value)


@pytest.mark.full
def test_a_trainer_that_is_killed_after_its_terminal_was_closed_is_told(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "mine.py").chmod(0o644)
    path = tmp_path / "sample.toml"
    with Phone() as phone:
        path.write_text(f"{TRAINING}[alerts]\ncommand = {json.dumps(phone.command())}\non = ['crash']\n")
        process = subprocess.Popen(
            command("run", path, "--headless", "--runs-dir", runs, "--set", "training.epochs=1000000"),
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(lambda: process.poll() is not None or (any(runs.iterdir()) and has_trained(runs)), what="the first epoch")
        process.kill()
        process.wait()
        (directory,) = runs.iterdir()
        first = read_log(RunDirectory(directory))[0]
        assert isinstance(first, events.RunStarted)
        end(first.pid)
        (message,) = until(lambda: phone.got, what="the crash")
    assert (message["event"], message["run"]) == ("crash", directory.name)
    assert message["step"] > 0
