"""A directory for a while is removed, whenever a signal ends the program."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tuimon.temporary import temporary_directory


@contextmanager
def handled(number: int) -> Iterator[None]:
    def end(_number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    former = signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, former)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_it_is_made_leaves_none(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make = os.mkdir

    def interrupted(*arguments: object, **options: object) -> None:
        make(*arguments, **options)  # type: ignore[arg-type]
        os.kill(os.getpid(), number)

    monkeypatch.setattr(os, "mkdir", interrupted)
    with handled(number), pytest.raises(SystemExit):
        temporary_directory()
    assert not any(tmp_path.iterdir())


def test_it_is_there_until_it_is_let_go_of() -> None:
    with temporary_directory() as place:
        assert Path(place).is_dir()
    assert not Path(place).exists()
