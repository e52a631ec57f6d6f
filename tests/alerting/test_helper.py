"""The process that sends alerts: it tells of a trainer that is killed, and outlives whoever started it."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from alerting.phone import Kept, Phone, alert
from helpers import command, environment, make_run, read_log, stand_in, until
from tuimon.alerting import helper
from tuimon.alerting.sent import Trouble
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import Alerts
from tuimon.trainer.session import new_run
from ui.facts import training
from ui.watching import LiveRun


def test_a_trainer_that_is_killed_is_told_to_the_phone_once(runs: Path) -> None:
    run = RunDirectory.at(runs / "killed")
    with Phone() as phone, stand_in(run, "hold") as trainer:
        options = Alerts(command=phone.command(), every_seconds=0)
        processes = [helper.start(run, options, since_bytes=0, with_parent=bool(number)) for number in range(2)]
        until(lambda: (run.path / "alerts").is_dir(), what="a process that watches")
        trainer.kill()
        for process in processes:
            assert process is not None
            assert until(lambda process=process: process.poll() is not None)
            assert process.returncode == 0
        assert [(message["event"], message["status"]) for message in phone.got] == [("crash", "crashed")]
        assert phone.got[0]["text"] == "killed: crashed after 0 steps: its process is gone; no error was recorded"
    assert Trouble(run.path).news() == ""


def test_it_is_killed_itself_and_another_one_goes_on(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    options = Alerts(command=kept.command, every_seconds=0)
    with LiveRun(runs, *training()) as run:
        first = helper.start(run.directory, options, since_bytes=0)
        assert first is not None
        run.write(alert("R1"))
        until(lambda: len(kept.messages) == 1)
        # What the user's command may hold is in no command line that others see.
        assert kept.command[-1] not in Path(f"/proc/{first.pid}/cmdline").read_text()
        first.kill()
        first.wait()
        run.write(alert("R2"))
        second = helper.start(run.directory, options)
        assert second is not None
        until(lambda: len(kept.messages) == 2)
        run.write(events.RunEnded(status="finished"))
        until(lambda: second.poll() is not None)
    assert [message["event"] for message in kept.messages] == ["alert", "alert", "end"]


def test_a_process_that_ends_before_its_first_line_is_told(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    run = RunDirectory.at(runs / "early")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as trainer:
        process = helper.start(run, Alerts(command=kept.command), since_bytes=0, trainer_pid=trainer.pid)
        until(lambda: (run.path / "alerts").is_dir())
        trainer.kill()
    assert process is not None
    until(lambda: process.poll() is not None)
    (message,) = kept.messages
    assert message["text"] == "early: crashed before its first line: its process is gone; no error was recorded"


@pytest.mark.parametrize("options", [Alerts(), Alerts(command=["true"], on=[]), Alerts(command="'")])
def test_where_nothing_is_to_be_run_nothing_is_started(runs: Path, options: Alerts) -> None:
    assert helper.start(RunDirectory.at(runs / "quiet"), options) is None


def test_to_look_at_a_run_runs_nothing_that_its_config_names(runs: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        run.directory.config.write_text('[alerts]\ncommand = ["rm", "-rf", "everything"]\n')
        assert helper.start(run.directory, Alerts(command=kept.command), with_parent=True) is None
        for text in ("alerts = ", "[run]\n"):
            run.directory.config.write_text(text)
            process = helper.start(run.directory, Alerts(command=kept.command), with_parent=True)
            assert process is not None
            process.kill()
            process.wait()


def test_a_script_of_ones_own_is_watched_by_the_settings(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[alerts]\ncommand = {json.dumps(kept.command)}\n")
    monkeypatch.setenv("TUIMON_SETTINGS", str(settings))
    recorder = new_run.begin(None, runs_dir=runs, name="mine", console=False)
    recorder.record(alert())
    recorder.end("failed", ValueError("no data"))
    assert until(lambda: {message["event"] for message in kept.messages} >= {"crash"})
    assert kept.messages[-1]["text"].startswith(recorder.run.name)
    assert any("no data" in message["text"] for message in kept.messages)
    assert not [event for event in read_log(recorder.run) if isinstance(event, events.Note)]


def helpers_of(run: RunDirectory) -> list[int]:
    """Return the processes that watch a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                b"tuimon.alerting.helper" in (line := (path / "cmdline").read_bytes())
                and str(run.path).encode() in line
            ):
                found.append(int(path.name))
    return found


FITS = """
import os, sys
from pathlib import Path
from tuimon.protocol import events
from tuimon.trainer.session import new_run

recorder = new_run.begin(None, runs_dir=Path(sys.argv[1]), name="fits", console=False)
for fit in range(5):
    recorder.end("finished")
    recorder.reopen()
    plan = dict(epochs=1, initial_epoch=0, steps_per_epoch=None)
    recorder.record(events.FitStarted(optimizer="Adam", jit_compile=False, can={}, **plan))
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
print(recorder.run.path, flush=True)
sys.stdin.read()
recorder.record(events.Alert(rule="R1", severity="error", what="late", evidence={}, advice=""))
recorder.end("finished")
"""


def test_fits_in_a_loop_have_one_process_and_a_script_that_waits_for_its_children_goes_on(
    runs: Path, tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[alerts]\nevery_seconds = 0\ncommand = {json.dumps(kept.command)}\n")
    script = subprocess.Popen(
        [sys.executable, "-c", FITS, str(runs)],
        env=environment(TUIMON_SETTINGS=str(settings)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with script:
        assert script.stdout is not None
        assert script.stdin is not None
        run = RunDirectory(Path(script.stdout.readline().strip()))
        until(lambda: (run.path / "alerts").is_dir(), what="a process that watches")
        assert len(helpers_of(run)) == 1
        script.stdin.close()
        assert script.wait() == 0
    until(lambda: not helpers_of(run), what="the end of the process")
    assert [message["event"] for message in kept.messages] == ["alert", "end"]


def test_settings_that_are_wrong_are_said_in_the_log_of_a_script(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[alerts]\ncommand = "mail"\non = ["ends"]\n')
    monkeypatch.setenv("TUIMON_SETTINGS", str(settings))
    recorder = new_run.begin(None, runs_dir=runs, name="mine", console=False)
    recorder.end("finished")
    recorder.reopen()
    recorder.end("finished")
    (note,) = [event for event in read_log(recorder.run) if isinstance(event, events.Note)]
    assert note.text.startswith("no alerts are sent")
    assert str(settings) in note.text


def test_the_command_has_the_environment_of_the_user(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    kept = Kept(tmp_path)
    with LiveRun(runs, *training()) as run:
        process = helper.start(run.directory, Alerts(command=kept.command), since_bytes=0)
        run.write(events.RunEnded(status="stopped"))
        assert process is not None
        until(lambda: process.poll() is not None)
    assert "'MY_TOKEN': 's3cret'" in kept.environment
    assert "OPENBLAS_NUM_THREADS" not in kept.environment
    assert "PYTHONUNBUFFERED" not in kept.environment


def test_a_watch_without_a_screen_sends_and_says_what_goes_wrong(runs: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[alerts]\ncommand = ["no-such-mailer"]\n')
    with LiveRun(runs, *training()) as run:
        watching = subprocess.Popen(
            command("watch", run.directory.path),
            env=environment(TUIMON_SETTINGS=str(settings)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: (run.directory.path / "alerts").is_dir())
        run.write(alert())
        until(lambda: (run.directory.path / "alerts" / "trouble.txt").exists())
        assert watching.stderr is not None
        said = watching.stderr.readline()
        run.write(events.RunEnded(status="finished", step=3))
        out, err = watching.communicate()
    assert said == "tuimon: alerts: no-such-mailer cannot be started: No such file or directory\n"
    assert err == ""
    assert "finished after 3 steps" in out


def test_the_test_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.toml"
    monkeypatch.setenv("TUIMON_SETTINGS", str(settings))
    assert main(["alerts", "test"]) == 2
    assert f"into {settings}" in capsys.readouterr().err
    for text, code, words in (
        ("import sys; print('to', 'you', sys.stdin.read()[:15])", 0, '  to you {"event":"test"\nexit status 0 after'),
        ("import sys; sys.exit(4)", 1, "exit status 4 after"),
        ("import os; os.kill(os.getpid(), 9)", 1, "signal 9 after"),
    ):
        settings.write_text(f'[alerts]\ncommand = ["{sys.executable}", "-c", """{text}"""]\n')
        assert main(["alerts", "test"]) == code
        assert words in capsys.readouterr().out
    settings.write_text('[alerts]\ncommand = "sleep 600"\ntimeout_seconds = 0.1\n')
    assert main(["alerts", "test"]) == 124
    assert "sleep took more than 0.1 s and was ended" in capsys.readouterr().out
    settings.write_text('[alerts]\ncomand = "sleep 600"\n')
    assert main(["alerts", "test"]) == 2
    assert "comand" in capsys.readouterr().err
    settings.write_text('[alerts]\ncommand = "mail \'me"\n')
    assert main(["alerts", "test"]) == 2
    assert "alerts.command: no closing quotation" in capsys.readouterr().err


IGNORES = """
import signal, sys
from pathlib import Path
from tuimon.alerting import helper
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import Alerts

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
helper.start(RunDirectory(Path(sys.argv[1])), Alerts(command=["false"]), since_bytes=0)
"""


def test_a_program_that_ignores_its_children_hides_no_failure_of_the_command(runs: Path) -> None:
    run = make_run(runs, training())
    trouble = Trouble(run.path)
    assert (
        subprocess.run([sys.executable, "-c", IGNORES, str(run.path)], env=environment(), check=False).returncode == 0
    )
    assert until(trouble.news) == "alerts: false ended with exit code 1"
