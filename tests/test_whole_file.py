"""A file is there whole or not at all, and what has its name is not harmed."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuimon.atomic_file import whole_file


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
