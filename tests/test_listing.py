"""Many runs: which are listed in which order, their tags, and how one is deleted."""

import errno
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers import a_run, encode_log, environment, fit_started, layer, make_run, model_built, stand_in, started
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.listing import removal, tags
from tuimon.runs.listing.selection import Filter, sorted_by
from tuimon.runs.listing.summary import Summary, baseline_of
from tuimon.runs.listing.tags import Tags, change_tags, read_tags
from tuimon.runs.run_directory import DELETED_PREFIX, RunDirectory, runs_in

Capture = pytest.CaptureFixture[str]


def trained(*losses: float, rate: float = 1e-3, batch: int = 32, **fields: Any) -> list[events.AnyEvent]:
    """Return the facts of a run over with these validation losses; the accuracy is 1 less the loss."""
    facts: list[events.AnyEvent] = [
        started(**fields),
        model_built(layer("bn_1")),
        fit_started(epochs=9, batch_size=batch),
    ]
    for epoch, loss in enumerate(losses):
        logs = {"loss": loss / 2, "val_loss": loss, "val_accuracy": 1 - loss, "val_mystery": loss}
        step = 10 * (epoch + 1)
        facts.append(events.EpochEnded(logs=logs, learning_rate=rate, seconds=1.0, step=step, epoch=epoch))
    return [*facts, events.RunEnded(status="finished", step=10 * len(losses), epoch=max(0, len(losses) - 1))]


@pytest.fixture
def four(runs: Path) -> Path:
    """Return a directory of four runs: two that trained, one that found only nan, one that never began an epoch."""
    facts = {
        "1-slow": trained(0.5, 0.25, 0.75, rate=1e-4),
        "2-fast": trained(0.5, 0.125, batch=64),
        "3-nan": trained(float("nan")),
        "4-none": [*trained()[:-1], events.RunEnded(status="failed")],
    }
    for age, (name, log) in enumerate(facts.items()):
        run = make_run(runs, log, name)
        os.utime(run.session_log, (1000 + age, 1000 + age))
    return runs


def names(capsys: Capture, *arguments: str) -> list[str]:
    """Return the names that ``tuimon list`` prints, in order."""
    capsys.readouterr()
    assert main(["list", "--json", *arguments]) == 0
    return [run["name"] for run in json.loads(capsys.readouterr().out)["runs"]]


# What users of other tools complain of


def test_a_list_shows_and_sorts_the_best_value_not_the_last(four: Path, capsys: Capture) -> None:
    """Reported for Weights & Biases, MLflow and Aim: tables have the last value, and overfitted runs look bad."""
    assert main(["list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "val_loss 0.25 " in lines["1-slow"]
    assert "val_loss 0.125 " in lines["2-fast"]
    assert names(capsys, "--sort", "best")[:2] == ["2-fast", "1-slow"]


def test_runs_without_a_value_or_with_nan_come_last_in_either_direction(four: Path, capsys: Capture) -> None:
    """Reported for MLflow: sorting by a metric fails, or puts the failed runs first."""
    assert names(capsys, "--sort", "val_loss") == ["2-fast", "1-slow", "3-nan", "4-none"]
    assert names(capsys, "--sort", "val_loss", "--reverse") == ["1-slow", "2-fast", "3-nan", "4-none"]


def test_which_value_is_best_depends_on_the_metric(four: Path, capsys: Capture) -> None:
    """Reported for Aim: one choice of min or max for all columns is wrong for either losses or accuracies."""
    assert names(capsys, "--sort", "val_accuracy")[:2] == ["2-fast", "1-slow"]
    assert names(capsys, "--sort", "loss")[:2] == ["2-fast", "1-slow"]


def test_runs_are_filtered_by_a_value_not_only_by_name(four: Path, capsys: Capture) -> None:
    """Reported for TensorBoard: of a sweep of 300 runs, the bad ones cannot be left out."""
    assert names(capsys, "--filter", "val_accuracy>=0.8") == ["2-fast"]
    assert names(capsys, "--filter", "val_loss<1 lr=1e-4") == ["1-slow"]


def test_columns_do_not_depend_on_order_and_filter(four: Path, capsys: Capture) -> None:
    """Reported for MLflow: columns of parameters disappear when the table is sorted."""
    headings = set()
    for arguments in ([], ["--sort", "name"], ["--filter", "1-"], ["--filter", "lr=1e-4", "--reverse"]):
        assert main(["list", "--params", *arguments]) == 0
        headings.add(tuple(capsys.readouterr().out.splitlines()[0].split()))
    assert len(headings) == 1
    assert {"lr", "batch"} < set(headings.pop())


def test_failed_runs_are_deleted_all_at_once(four: Path, capsys: Capture) -> None:
    """Reported for TensorBoard, MLflow and Weights & Biases: they are deleted one by one, or by hand."""
    failed = names(capsys, "--state", "failed")
    assert main(["delete", *failed, "--yes"]) == 0
    assert names(capsys) == ["1-slow", "2-fast", "3-nan"]
    assert not [*four.glob(f"{DELETED_PREFIX}*"), *four.glob("4*")]


# Filter and order


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("", "1-slow 2-fast 3-nan 4-none"),
        ("SLOW", "1-slow"),
        ("-slow -nan", "2-fast 4-none"),
        ("finished -slow", "2-fast 3-nan"),
        ("state=f*", "1-slow 2-fast 3-nan 4-none"),
        ("state!=finished", "4-none"),
        ("name=?-n*", "3-nan 4-none"),
        ("batch_size=64", "2-fast"),
        ("batch>32", "2-fast"),
        ("lr=0.001", "2-fast 3-nan"),
        ("optimizer=adam epoch>=3", "1-slow"),
        ("best<0.2", "2-fast"),
        ("best < 0.2", "2-fast"),
        ("optimizer = adam epoch >=3 -fast", "1-slow"),
        ("state!= finished", "4-none"),
        # What is not known is neither less nor more nor another one.
        ("val_loss!=0.25", "2-fast"),
        ("optimizer<3", ""),
        # As it is while it is typed.
        ("val_loss<", "1-slow 2-fast 3-nan 4-none"),
        ("-", "1-slow 2-fast 3-nan 4-none"),
        ("[(*", ""),
    ],
)
def test_a_filter(four: Path, capsys: Capture, text: str, fitting: str) -> None:
    assert names(capsys, f"--filter={text}") == fitting.split()


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        (["--sort", "name", "--reverse"], "4-none 3-nan 2-fast 1-slow"),
        (["--sort", "updated"], "1-slow 2-fast 3-nan 4-none"),
        (["--sort", "lr"], "1-slow 2-fast 3-nan 4-none"),
        (["--sort", "batch_size", "--reverse"], "2-fast 1-slow 3-nan 4-none"),
        (["--reverse"], "4-none 3-nan 2-fast 1-slow"),
    ],
)
def test_an_order(four: Path, capsys: Capture, arguments: list[str], order: str) -> None:
    assert names(capsys, *arguments) == order.split()


@pytest.mark.parametrize("option", ["--sort", "--filter"])
def test_a_misspelt_key_is_said(four: Path, capsys: Capture, option: str) -> None:
    assert main(["list", option, "val_los" if option == "--sort" else "val_los<3"]) == 2
    words = capsys.readouterr().err
    assert 'no run has "val_los"; the nearest: val_loss' in words
    assert "val_loss" in words
    assert "batch_size" in words


def test_a_word_that_is_no_directory_is_told_how_to_be_searched_for(four: Path, capsys: Capture) -> None:
    assert main(["list", "--", "-slow"]) == 2
    option = capsys.readouterr().err.partition("tuimon list ")[2].removesuffix(")\n")
    assert names(capsys, *option.split()) == ["2-fast", "3-nan", "4-none"]


def test_a_filter_that_nothing_fits_is_told_from_an_empty_directory(four: Path, capsys: Capture) -> None:
    assert main(["list", "--filter", "nothing-like-this"]) == 0
    assert "none of the 4 runs" in capsys.readouterr().out


def test_true_is_not_one() -> None:
    runs = [Summary(Path(str(value)), "finished", parameters={"x": value}) for value in (True, 1, "a", 2.5)]
    assert [run.name for run in sorted_by(runs, "x")] == ["True", "1", "2.5", "a"]
    assert [run.name for run in runs if Filter("x=yes").fits(run)] == ["True"]
    assert [run.name for run in runs if Filter("x>=1").fits(run)] == ["1", "2.5"]


def test_a_learning_rate_of_an_epoch_that_was_left_out_is_not_known(runs: Path, capsys: Capture) -> None:
    long = trained(*[0.5] * 8000)
    for fact in long[6000:]:
        if isinstance(fact, events.EpochEnded):
            fact.learning_rate = 1e-6
    make_run(runs, long)
    assert main(["list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["parameters"]["learning rate"] == 1e-3


def test_a_number_that_json_does_not_have_is_a_text(runs: Path, capsys: Capture) -> None:
    make_run(runs, trained(0.5, config={}), "odd").config.write_text("[model]\nscale = inf\n")
    make_run(runs, trained(0.5, rate="nan"), "no-rate")  # type: ignore[arg-type]
    unknown = make_run(runs, trained(0.5, rate=None, config={}), "unknown")  # type: ignore[arg-type]
    unknown.config.write_text("[model]\nscale = 1.5\n")
    assert main(["list", "--json"]) == 0
    found = {run["name"]: run["parameters"] for run in json.loads(capsys.readouterr().out)["runs"]}
    assert found["odd"]["model.scale"] == "inf"
    assert "learning rate" not in found["unknown"]
    assert main(["compare", "odd", "unknown", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["model.scale"] == ["inf", 1.5]


# Tags


def test_tags_lie_beside_the_log_and_leave_it_alone(four: Path, capsys: Capture) -> None:
    run = RunDirectory(four / "1-slow")
    log = run.session_log.read_bytes(), run.session_log.stat().st_mtime_ns
    assert main(["tag", "1-slow", "good", "odd", "--note", "twice as slow"]) == 0
    assert main(["tag", "1-slow", "--remove", "odd", "--remove", "never"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1-slow: good; twice as slow"
    assert (run.session_log.read_bytes(), run.session_log.stat().st_mtime_ns) == log
    assert names(capsys, "--filter", "tag=good") == names(capsys, "--filter", "twice") == ["1-slow"]
    assert names(capsys, "--filter", "tag!=good") == ["2-fast", "3-nan", "4-none"]
    assert main(["list"]) == 0
    assert " good " in capsys.readouterr().out.splitlines()[1]
    assert main(["tag", "1-slow", "--remove", "good", "--note", ""]) == 0
    assert not (run.path / tags.FILE_NAME).exists()


@pytest.mark.parametrize("word", ["", "two words", "-x", "a=b", "x" * 41, "a\x1b[31m", "a\u202eb", "a,b"])
def test_what_is_no_tag_is_said(four: Path, capsys: Capture, word: str) -> None:
    assert main(["tag", "1-slow", "--", word]) == 2
    assert "a tag " in capsys.readouterr().err
    assert read_tags(four / "1-slow") == Tags()


def test_without_a_run_nothing_is_tagged(four: Path, capsys: Capture) -> None:
    for options in ([], ["--note", "too slow"]):
        assert main(["tag", *options]) == 2
        assert "required: RUN" in capsys.readouterr().err


def test_more_tags_than_there_is_room_for_are_refused(four: Path, capsys: Capture) -> None:
    assert main(["tag", "1-slow", *(f"tag-{number}" for number in range(21))]) == 2
    assert "at most 20" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"tags": 3}', b"\xff\xfe", b"[" * 70_000, b'{"tags": ["\\ud800"]}']
)
def test_a_damaged_file_of_tags_is_none(four: Path, capsys: Capture, content: bytes) -> None:
    (four / "1-slow" / tags.FILE_NAME).write_bytes(content)
    assert "1-slow" in names(capsys)
    assert main(["tag", "1-slow", "mended"]) == 0
    assert read_tags(four / "1-slow").tags == ("mended",)


def test_tags_of_others_are_shown_and_not_obeyed(four: Path, capsys: Capture) -> None:
    hostile = {"tags": ["\x1b[31mred", "x" * 500, *map(str, range(50))], "note": "\x1b]0;title\x07" + "n" * 9000}
    (four / "1-slow" / tags.FILE_NAME).write_text(json.dumps(hostile))
    found = read_tags(four / "1-slow")
    assert len(found.tags) == 20
    assert all(len(text) <= 500 and text.isprintable() for text in (*found.tags, found.note))
    assert main(["list"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_link_or_a_pipe_in_place_of_the_tags_is_neither_read_nor_written(four: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"tags": ["secret"]}')
    (four / "1-slow" / tags.FILE_NAME).symlink_to(elsewhere)
    os.mkfifo(four / "2-fast" / tags.FILE_NAME)
    for name in ("1-slow", "2-fast"):
        assert read_tags(four / name) == Tags()
        with pytest.raises(OSError, match="regular"):
            change_tags(four / name, ["mine"])
    assert elsewhere.read_text() == '{"tags": ["secret"]}'


def test_one_run_is_the_baseline(four: Path, capsys: Capture) -> None:
    assert main(["list"]) == 0
    assert "VS BASELINE" not in capsys.readouterr().out
    for name in ("2-fast", "1-slow"):
        assert main(["tag", name, tags.BASELINE]) == 0
    assert names(capsys, "--filter", "tag=baseline") == ["1-slow"]
    assert main(["list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " baseline " in lines["1-slow"]
    assert " 0.1250 better " in lines["2-fast"]
    assert "better" not in lines["3-nan"] + lines["4-none"]
    assert "worse" not in lines["3-nan"] + lines["4-none"]
    assert baseline_of([]) is None


# Deleting


def refused(capsys: Capture, *arguments: str) -> str:
    """Return why ``tuimon delete`` does not delete."""
    assert main(["delete", *arguments, "--yes"]) == 1
    return capsys.readouterr().err


def test_a_run_is_deleted_with_all_that_tuimon_wrote(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, a_run())
    run.checkpoints.mkdir()
    (run.checkpoints / "step-1.npz").write_bytes(bytes(2000))
    (run.commands / "1.json").write_text("{}")
    make_run(runs, a_run(), "other")
    assert removal.contents(run).checkpoints == 1
    assert main(["delete", str(run.path), "--yes"]) == 0
    assert capsys.readouterr().out == "deleted run\n"
    assert [path.name for path in runs.iterdir()] == ["other"]


def test_a_run_that_trains_is_never_deleted(runs: Path, capsys: Capture) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "hold") as trainer:
        for arguments in (["run"], ["run", "--force"]):
            assert f"it is running (process {trainer.pid}" in refused(capsys, *arguments)
        assert run.session_log.exists()
        trainer.kill()
        trainer.wait()
        assert main(["delete", "run", "--yes"]) == 0


def test_a_run_of_a_process_that_may_train_on_is_deleted_by_force_alone(runs: Path, capsys: Capture) -> None:
    here = {"pid": os.getpid(), "process_started": liveness.process_start(os.getpid())}
    make_run(runs, trained(0.5, **here))
    assert "may train on" in refused(capsys, "run")
    assert main(["delete", "run", "--yes", "--force"]) == 0


def test_what_runs_on_another_machine_is_deleted_once_it_is_known_to_be_over(runs: Path, capsys: Capture) -> None:
    far = {"boot_id": "another", "host": "gpu-7"}
    make_run(runs, trained(0.5, **far), "ended")
    make_run(runs, trained(0.5, **far)[:-1], "silent")
    growing = make_run(runs, trained(0.5, **far)[:-1], "growing")
    os.utime(growing.session_log)
    assert main(["delete", "ended", "--yes"]) == 0
    for arguments in (["growing"], ["growing", "--force"]):
        assert "it is running on gpu-7: its log grows" in refused(capsys, *arguments)
    assert "cannot be seen from here" in refused(capsys, "silent")
    assert main(["delete", "silent", "--yes", "--force"]) == 0
    assert names(capsys) == ["growing"]


def test_a_training_that_starts_is_not_taken_for_rubbish(runs: Path, capsys: Capture) -> None:
    run = RunDirectory.at(runs / "run")
    assert "may be starting" in refused(capsys, "run")
    for path in (run.path, run.commands):
        os.utime(path, (1000, 1000))
    assert main(["delete", "run", "--yes"]) == 0


def test_a_run_that_began_to_train_after_the_question_stays(
    runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(runs, a_run())
    trainers = []

    def answer(_: str) -> str:
        trainers.append(stand_in(run, "hold"))
        trainers[0].__enter__()
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    try:
        assert main(["delete", "run"]) == 1
        assert "it is running" in capsys.readouterr().err
        assert run.session_log.exists()
    finally:
        trainers[0].__exit__(None, None, None)


def test_files_that_tuimon_did_not_write_are_named(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, a_run())
    (run.path / "best.keras").write_bytes(b"weights")
    assert "best.keras" in removal.contents(run).words
    assert "best.keras" in refused(capsys, "run")
    assert main(["delete", "run", "--yes", "--force"]) == 0


def test_a_linked_run_is_deleted_where_it_lies(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    run = make_run(tmp_path, a_run(), "elsewhere")
    (runs / "link").symlink_to(run.path)
    (run.checkpoints).mkdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "data").write_text("precious")
    (run.checkpoints / "data").symlink_to(kept)
    assert "it is a link" in refused(capsys, "link", "--force")
    assert main(["delete", str(run.path), "--yes"]) == 0
    assert (kept / "data").read_text() == "precious"


@pytest.mark.parametrize("name", ["sample", "nothing", "."])
def test_a_name_that_may_mean_another_run_deletes_none(runs: Path, capsys: Capture, name: str) -> None:
    make_run(runs, a_run(), "20260101-000000-sample")
    assert main(["delete", name, "--yes"]) == 2
    assert names(capsys) == ["20260101-000000-sample"]


def test_without_an_answer_nothing_is_deleted(runs: Path, capsys: Capture) -> None:
    make_run(runs, a_run())
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tuimon", "delete", "run", "--runs-dir", str(runs)]
    piped = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert piped.returncode == 2
    assert "--yes" in piped.stderr
    for typed, code in ((b"\n", 1), (b"n\n", 1), (b"y\n", 0)):
        os.write(ours, typed)
        asked = subprocess.run(command, env=environment(), stdin=theirs, capture_output=True, text=True)
        assert (asked.returncode, "Delete this run for good? [y/N]" in asked.stdout) == (code, True), asked
        assert (runs / "run").exists() is (code == 1)
    os.close(ours)
    os.close(theirs)


def test_half_a_deletion_is_listed_nowhere_and_ended_by_the_next(
    runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(runs, a_run(), "first")
    make_run(runs, a_run(), "second")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        assert main(["delete", "first", "--yes"]) == 130
    assert names(capsys) == ["second"]
    assert list(runs.glob(f"{DELETED_PREFIX}*/session.jsonl"))
    assert main(["delete", "second", "--yes"]) == 0
    assert list(runs.iterdir()) == []


def test_what_cannot_be_renamed_stays_whole(runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(runs, a_run())
    rename: Callable[..., Path] = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == run.path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert "cannot be renamed: Permission denied" in refused(capsys, "run")
    assert run.session_log.read_bytes() == encode_log(a_run())
    assert [each.name for each in runs_in(runs)] == ["run"]
