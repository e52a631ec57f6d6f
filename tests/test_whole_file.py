"""A file is there whole or not at all, and what has its name is not harmed."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuimon.atomic_file import whole_directory, whole_file
from tuimon.errors import UsageError


def test_it_has_its_name_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    path.write_text("before")
    with whole_file(path) as file:
        file.write("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_mistake_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    path.write_text("before")

    def lines() -> Iterator[str]:
        yield "after"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.writelines(lines())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    path.write_text("before")
    path.chmod(0o600)
    with whole_file(path) as file:
        file.write("after")
    assert path.stat().st_mode & 0o777 == 0o600


def test_names_may_be_as_long_as_they_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120 + "x" * 15)
    with whole_file(path) as file:
        file.write("whole")
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "on another disk" / "loss.csv", tmp_path / "loss.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    with whole_file(link) as file:
        file.write("whole")
    assert link.is_symlink()
    assert target.read_text() == "whole"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with whole_file(pipe) as file:
        file.write("whole")
    reader.join()
    assert read == ["whole"]
    assert pipe.is_fifo()


def test_a_link_that_somebody_has_laid_is_not_written_through(tmp_path: Path) -> None:
    theirs, path = tmp_path / "theirs", tmp_path / "loss.csv"
    theirs.write_text("precious")
    (tmp_path / f".loss.csv.{os.getpid()}.unfinished").symlink_to(theirs)
    with whole_file(path) as file:
        file.write("ours")
    assert theirs.read_text() == "precious"
    assert path.read_text() == "ours"
    assert not path.is_symlink()


def never(path: Path) -> bool:
    return False


def test_a_directory_has_its_name_once_its_files_are_written(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    for _ in range(2):
        with whole_directory(path, is_former=lambda former: (former / "deep" / "loss.csv").is_file()) as directory:
            (directory / "deep").mkdir()
            (directory / "deep" / "loss.csv").write_text("whole")
            assert not (path / "deep").exists() or (path / "deep" / "loss.csv").read_text() == "whole"
        assert list(tmp_path.iterdir()) == [path]
        assert [file.name for file in path.rglob("*")] == ["deep", "loss.csv"]


def test_a_mistake_leaves_the_directory_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    path.mkdir()
    (path / "before").touch()

    def make() -> None:
        with whole_directory(path, is_former=lambda former: True) as directory:
            (directory / "after").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make()
    assert [file.name for file in tmp_path.rglob("*")] == ["logs", "before"]


def test_what_somebody_puts_there_meanwhile_is_not_harmed(tmp_path: Path) -> None:
    path = tmp_path / "logs"

    def make() -> None:
        with whole_directory(path, is_former=never) as directory:
            (directory / "ours").touch()
            path.mkdir()
            (path / "theirs").touch()

    with pytest.raises(UsageError, match="something else"):
        make()
    assert [file.name for file in tmp_path.rglob("*")] == ["logs", "theirs"]


def test_a_link_to_an_empty_directory_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "on another disk", tmp_path / "logs"
    target.mkdir()
    link.symlink_to(target)
    with whole_directory(link, is_former=never) as directory:
        (directory / "loss.csv").touch()
    assert link.is_symlink()
    assert [file.name for file in target.iterdir()] == ["loss.csv"]
