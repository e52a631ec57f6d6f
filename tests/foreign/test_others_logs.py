"""Logs of other programs on the command line and on the screen."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from foreign import event_files
from foreign.event_files import append, event, message, simple, starts_at, varint
from helpers import ROOT, fold, read_log
from tuimon.cli.main import main
from tuimon.foreign.sources import find_one
from tuimon.foreign.translated import Followed
from tuimon.protocol import events
from tuimon.query.session import open_session
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.app import WatchApp
from ui import watching

RECORDED = Path(__file__).parent / "recorded"
HOSTILE = "loss\x1b[31m\x1b]0;owned\x07\n[bold]"


@pytest.fixture(autouse=True)
def _in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_import_prints_the_run_and_other_subcommands_take_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(RECORDED / "keras"), "--name", "old one"]) == 0
    (path,) = capsys.readouterr().out.splitlines()
    run = RunDirectory(Path(path))
    assert run.name.endswith("-old-one")
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert run.session_log.stat().st_mode & 0o777 == 0o600
    assert main(["list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert (listed["state"], listed["epoch"], listed["step"]) == ("imported", 3, 12)
    assert main(["export", path, "--to", "csv", "--out", "-"]) == 0
    assert ",val_loss," in capsys.readouterr().out
    assert main(["send", path, "stop"]) != 0
    assert "its log is another program's, nobody takes requests" in capsys.readouterr().err
    assert main(["delete", path, "--yes"]) == 0
    assert not run.path.exists()


def test_what_needs_a_run_says_how_to_make_one_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a log.csv").write_text("epoch,loss\n0,1.0\n")
    for command in (["tag", "a log.csv", "best"], ["wait", "a log.csv"], ["compare", "a log.csv", "a log.csv"]):
        assert main(command) == 2
        words = capsys.readouterr().err
        assert words.count("\n") == 1
        assert "tuimon import 'a log.csv'" in words


def test_nothing_is_said_of_an_imported_run_that_its_log_does_not_tell(capsys: pytest.CaptureFixture[str]) -> None:
    Path("log.csv").write_text("epoch,loss\n0,1.0\n1,0.5\n")
    Path("other.csv").write_text("epoch,loss,learning_rate\n0,1.0,0.1\n1,0.5,0.01\n")
    assert main(["import", "log.csv"]) == main(["import", "other.csv"]) == 0
    path, other = capsys.readouterr().out.splitlines()
    assert main(["wait", path]) == 1
    words = capsys.readouterr().err
    assert "whether that goes on is not known" in words
    assert "crashed" not in words
    assert main(["wait", path, "--until", "loss<0.1"]) == 1
    words = capsys.readouterr().err
    assert "not reached" in words
    assert "crashed" not in words
    assert main(["wait", path, "--until", "loss<0.7"]) == 0
    session = open_session(path)
    assert not {"learning rate", "learning rate, newest", "host"} & session.parameters.keys()
    assert open_session(other).parameters["learning rate"] == 0.1
    capsys.readouterr()
    assert main(["compare", path, other]) == 0
    assert "nan" not in capsys.readouterr().out


def test_the_commands_of_the_page_are_true(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(RECORDED / "keras", tmp_path / "logs" / "fit")
    (tmp_path / "training.csv").write_text("epoch,loss\n0,1.0\n")
    page = (ROOT / "docs" / "others-logs.md").read_text()
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    codes = [main(shlex.split(line, comments=True)[1:]) for line in lines]
    # The doctor of a log of losses alone has not examined all.
    assert codes == [0, 0, 3]


def test_an_imported_run_is_as_old_as_its_training(capsys: pytest.CaptureFixture[str]) -> None:
    main(["import", str(RECORDED / "keras")])
    run = RunDirectory(Path(capsys.readouterr().out.strip()))
    assert run.session_log.stat().st_mtime == pytest.approx(read_log(run)[-1].time)


def test_each_training_of_a_directory_becomes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        event_files.write(tmp_path / "logs" / name, [event(0, simple("loss", 1.0))])
    event_files.write(tmp_path / "logs" / "empty", [])
    assert main(["import", "logs"]) == 0
    written = capsys.readouterr()
    assert [path.rpartition("-logs-")[2] for path in written.out.splitlines()] == ["a", "b"]
    assert "the TensorBoard log holds no number yet" in written.err
    assert main(["watch", "logs"]) == 2
    assert f"3 trainings are here: {tmp_path}/logs/a" in capsys.readouterr().err


@pytest.mark.parametrize("subcommand", ["watch", "import", "doctor"])
def test_a_directory_with_nothing_readable_says_what_was_looked_for(
    subcommand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("nothing\n")
    assert main([subcommand, "data"]) == 2
    said = capsys.readouterr().err
    assert "data" in said
    for what in ("event files", "CSVLogger", "metrics.csv", "History.history"):
        assert what in said
    assert len(said.splitlines()) == 1


def test_nothing_stays_of_an_import_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event_files.write(tmp_path / "log", [])
    assert main(["import", "log"]) == 2
    assert "holds no number yet" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_doctor_finds_what_the_losses_tell_and_calls_the_rest_not_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{epoch},{'nan' if epoch > 7 else 1 / (1 + epoch)}\n" for epoch in range(12))
    (tmp_path / "training.csv").write_text(f"epoch,loss\n{rows}")
    assert main(["doctor", "training.csv", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert {finding["rule"] for finding in document["findings"]} == {"R12"}
    outcomes = {rule["rule"]: rule["outcome"] for rule in document["rules"]}
    assert {rule for rule, outcome in outcomes.items() if outcome == "blind"} >= {"R1", "R5", "R8", "R14", "R17", "R20"}
    assert main(["doctor", str(RECORDED / "keras")]) == 3
    said = capsys.readouterr().out
    assert "the log is of another program, which\ndid not record it" in said
    assert "probe` makes one" not in said


def test_the_doctor_advises_nothing_that_nobody_can_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{epoch},{1 / (1 + epoch)},{5 if epoch == 30 else 1 / (1 + epoch)}\n" for epoch in range(40))
    (tmp_path / "training.csv").write_text(f"epoch,loss,val_loss\n{rows}")
    assert main(["doctor", "training.csv"]) == 1
    said = capsys.readouterr().out
    assert "spiked once, in epoch 31" in said
    assert "tuimon send" not in said
    assert "press" not in said


def test_without_a_terminal_what_is_there_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(RECORDED / "keras_batches")]) == 0
    said = capsys.readouterr().out
    assert "epoch 4  step 12  loss 0.778" in said
    assert "phase" not in said
    assert f"TensorBoard log {RECORDED / 'keras_batches'}" in said


def test_names_from_a_log_are_never_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = message(1, HOSTILE.encode()) + message(8, b"\x08\x07" + message(2, b"") + message(8, HOSTILE.encode()))
    event_files.write(tmp_path / "log", [event(0, simple(HOSTILE, 1.0)), event(1, text)])
    assert main(["import", "log"]) == 0
    path = capsys.readouterr().out.strip()
    assert main(["watch", path]) == 0
    assert main(["doctor", path]) == 3
    assert "\x1b" not in capsys.readouterr().out


def test_a_log_is_read_without_the_screen_and_without_tensorflow(tmp_path: Path) -> None:
    event_files.write(tmp_path / "log", [event(0, simple("loss", 1.0))])
    statements = (
        "import sys; from tuimon.cli.main import main; main(['import', 'log']);"
        "assert not {'textual', 'rich', 'keras', 'tensorflow', 'tensorboard', 'google.protobuf'} & set(sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", statements]) == 0


async def test_a_log_that_grows_is_followed_on_the_screen_and_nothing_is_sent(tmp_path: Path) -> None:
    path = event_files.write(tmp_path / "log", [event(step, simple("loss", 4.0)) for step in range(10)])
    followed = Followed(find_one(tmp_path / "log", "tuimon watch"))
    followed.begin()
    app = WatchApp(followed.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await watching.until(pilot, lambda: app.viewer.state.step == 10)
        await watching.until(pilot, lambda: app.viewer.moment().status == "imported")
        append(path, b"".join(event(step, simple("loss", 2.0)) for step in range(10, 30)))
        await watching.until(pilot, lambda: app.viewer.state.step == 30)
        append(path, starts_at(5) + event(5, simple("loss", 1.0)))
        # What was purged is no longer shown.
        await watching.until(pilot, lambda: app.viewer.state.step == 6)
        assert app.viewer.state.batch_metrics["loss"].values.tolist() == [4.0] * 5 + [1.0]
        await watching.until(pilot, lambda: "read-only: another program's log" in watching.text(app))
        await watching.press(pilot, "S")
        assert not list(followed.run.commands.iterdir())
        assert "not built yet" not in watching.text(app)
    followed.close()


def test_a_log_with_many_tags_of_one_length_keeps_each(tmp_path: Path) -> None:
    # More kinds of records of one length than are read together.
    tags = [f"metric_{number:03}" for number in range(200)]
    event_files.write(tmp_path / "log", [event(step, simple(tag, step + 0.5)) for step in range(6) for tag in tags])
    followed = Followed(find_one(tmp_path / "log", "tuimon watch"))
    found = fold(read_log(followed.run)).batch_metrics
    assert list(found) == tags
    assert all(series.values.tolist() == [step + 0.5 for step in range(6)] for series in found.values())
    followed.close()


def test_integers_are_written_as_protocol_buffers_have_them() -> None:
    assert varint(300) == b"\xac\x02"
    assert len(varint(-1)) == 10


def test_a_run_of_another_program_has_no_facts_that_nobody_measured(tmp_path: Path) -> None:
    event_files.write(tmp_path / "log", [event(step, simple("loss", 1.0)) for step in range(5)])
    followed = Followed(find_one(tmp_path / "log", "tuimon watch"))
    assert {type(fact) for fact in read_log(followed.run)} == {events.RunStarted, events.Batches}
    followed.close()
