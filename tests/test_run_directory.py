"""Run directories: who may read them, what they are called, how they are found."""

import os
import stat
from pathlib import Path

import pytest

from helpers import a_run, make_run
from tuimon.errors import UsageError
from tuimon.protocol import commands
from tuimon.runs.run_directory import RunDirectory, default_runs_directory, file_name, newest_run, runs_in


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_run_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run = RunDirectory.create(tmp_path / "new" / "runs", "my run")
        path = run.put_request(commands.signed(commands.Freeze(), attempt=0))
    finally:
        os.umask(before)
    assert (mode(run.path), mode(run.commands), mode(path)) == (0o700, 0o700, 0o600)
    assert mode(run.path.parent) == 0o755, "nobody else can put runs beside it"
    assert run.name.endswith("-my-run")
    assert run.path.is_absolute()


def test_a_clash_gets_a_number(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20261120-211503")
    names = [RunDirectory.create(runs, "x").name for _ in range(3)]
    assert names == ["20261120-211503-x", "20261120-211503-x-2", "20261120-211503-x-3"]


def test_a_runs_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a run directory cannot be made there"):
        RunDirectory.create(tmp_path / "file", "x")


@pytest.mark.parametrize(("name", "expected"), [("a b/c", "a-b-c"), ("../../x", "x"), ("", "run"), ("ü", "run")])
def test_names_are_file_names(name: str, expected: str) -> None:
    assert file_name(name) == expected


def test_a_run_is_found_by_directory_log_and_name(runs: Path) -> None:
    run = make_run(runs, a_run(), "one")
    for name in (str(run.path), str(run.session_log), "one"):
        assert RunDirectory.find(name, runs) == run


def test_a_name_without_its_date_is_the_newest_run_of_it(runs: Path) -> None:
    found = {}
    names = ("two-2", "one-2", "one", "one-more", "one.two")
    for number, name in enumerate(f"2026112{number}-101500-{name}" for number, name in enumerate(names)):
        found[name] = make_run(runs, a_run(), name)
        os.utime(found[name].session_log, (number, number))
    assert RunDirectory.find("one", runs) == found["20261122-101500-one"]
    assert RunDirectory.find("one more", runs) == found["20261123-101500-one-more"]
    # A number at the end is a part of the name, but for runs that were made in the same second.
    with pytest.raises(UsageError):
        RunDirectory.find("two", runs)
    second = make_run(runs, a_run(), "20261122-101500-one-2")
    os.utime(second.session_log, (9, 9))
    assert RunDirectory.find("one", runs) == second
    make_run(runs, a_run(), "20261121-101500-run")
    for name in ("o.e", "runs/one", "", "101500-one", ".", "!!", "日本", "x" * 300, "a\0b"):
        with pytest.raises(UsageError):
            RunDirectory.find(name, runs)


def test_what_is_no_run_is_said_with_the_runs_nearby(runs: Path, tmp_path: Path) -> None:
    make_run(runs, a_run(), "one")
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match=r"other: is not a run .* Runs nearby: one\."):
        RunDirectory.find(str(tmp_path / "other"), runs)
    with pytest.raises(UsageError, match='no run named "nope" in '):
        RunDirectory.find("nope", runs)


def test_the_newest_run_is_that_with_the_newest_line(runs: Path) -> None:
    older, newer = make_run(runs, a_run(), "b"), make_run(runs, a_run(), "a")
    os.utime(older.session_log, (100, 100))
    assert [run.name for run in runs_in(runs)] == ["b", "a"]
    assert newest_run(runs) == newer
    with pytest.raises(UsageError, match="no run here yet"):
        newest_run(runs / "nowhere")


def test_the_runs_directory_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_runs_directory() == Path("runs")
    monkeypatch.setenv("TUIMON_RUNS_DIR", "/somewhere/else")
    assert default_runs_directory() == Path("/somewhere/else")


def test_requests_keep_their_order_and_come_back(runs: Path) -> None:
    run = RunDirectory.at(runs / "x")
    sent = [commands.signed(request, attempt=0) for request in (commands.Freeze(layers=["bn_*"]), commands.Unfreeze())]
    paths = [run.put_request(request) for request in sent]
    assert sorted(paths) == paths
    assert sorted(run.commands.iterdir()) == paths, "nothing hidden is left behind"
    assert [commands.decode(path.read_bytes()) for path in paths] == sent
