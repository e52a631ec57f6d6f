"""A checkpoint's file is not trusted: nothing in it runs, unpacks to more than it holds, or is written anywhere."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.asking import AskedFit
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.checkpoints import CheckpointError, Checkpoints

META = {"version": 1, "step": 3, "epoch": 0, "epoch_first_step": 0, "dtypes": {"bn_1": "float32"}}
NAME = "step-00000009.npz"


class Harm:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def claiming(shape: str, descr: str = "<f4") -> bytes:
    """Return an array of one number whose header claims another shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\0" * 4


def checkpoint(path: Path, *, kind: int = zipfile.ZIP_STORED, **members: Any) -> None:
    """Write a checkpoint whose members are given, besides what it needs."""
    there = {"meta.json": META, "names.json": ["bn_1"], "000000.npy": npy(np.zeros(3, np.float32)), **members}
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in there.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))


def overlapping(path: Path) -> None:
    """Write an archive whose directory names the same data many times."""
    checkpoint(path, data=b"\0" * 10_000)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(100):
            info = zipfile.ZipInfo(f"again-{number}")
            data = archive.getinfo("data")
            info.header_offset, info.file_size, info.compress_size = data.header_offset, 10_000, 10_000
            info.CRC = data.CRC
            archive.filelist.append(info)
        archive._didModify = True  # type: ignore[attr-defined]


HOSTILE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "pickled objects": (
        lambda path, mark: checkpoint(path, **{"000000.npy": npy(np.array([Harm(mark)], object))}),
        "it holds pickled objects",
    ),
    "a pickle": (lambda path, mark: path.write_bytes(pickle.dumps(Harm(mark))), "not a zip file"),
    "a pickle in the place of an array": (
        lambda path, mark: checkpoint(path, **{"000000.npy": pickle.dumps(Harm(mark))}),
        "magic string",
    ),
    "a header that is code": (
        lambda path, mark: checkpoint(path, **{"000000.npy": claiming(f"__import__('os').mkdir('{mark}')"[:80])}),
        "cannot be read",
    ),
    "a bomb": (
        lambda path, _: checkpoint(path, kind=zipfile.ZIP_DEFLATED, **{"meta.json": b" " * 100_000_000 + b"{}"}),
        "it is compressed",
    ),
    "overlapping members": (lambda path, _: overlapping(path), "it claims to hold more than its file"),
    "an array of petabytes": (
        lambda path, _: checkpoint(path, **{"000000.npy": claiming("(1000000, 1000000, 1000)")}),
        "an array is not of the size that it claims",
    ),
    "a negative shape": (
        lambda path, _: checkpoint(path, **{"000000.npy": claiming("(-1, -1)")}),
        "cannot be read",
    ),
    "a number that no log carries": (
        lambda path, _: checkpoint(path, **{"meta.json": META | {"step": 10**300}}),
        "step",
    ),
    "a negative step": (lambda path, _: checkpoint(path, **{"meta.json": META | {"step": -1}}), "step"),
    "deep nesting": (
        lambda path, _: checkpoint(path, **{"meta.json": b'{"a":' * 50_000 + b"1" + b"}" * 50_000}),
        "cannot be read",
    ),
    "no array": (lambda path, _: checkpoint(path, **{"names.json": ["bn_1", "bn_2"]}), "000001.npy"),
    "a pipe": (lambda path, _: os.mkfifo(path), "no checkpoint"),
    "a link": (lambda path, _: (checkpoint(path.with_name("x")), path.symlink_to("x")), "no checkpoint"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_in_words(tmp_path: Path, what: str) -> None:
    make, words = HOSTILE[what]
    make(tmp_path / NAME, tmp_path / "mark")
    with pytest.raises(CheckpointError) as refused:
        Checkpoints(tmp_path).load(NAME)
    assert words in str(refused.value)
    assert str(refused.value).isprintable()
    assert not (tmp_path / "mark").exists()
    newest, wrong = Checkpoints(tmp_path).newest()
    assert newest is None
    assert len(wrong) == (what not in ("a pipe", "a link"))


def test_names_in_an_archive_are_no_paths(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    others = {"../outside.npy": npy(np.zeros(3)), "/tmp/outside.npy": b""}
    checkpoint(directory / NAME, **{"names.json": ["../outside"]}, **others)
    assert list(Checkpoints(directory).load(NAME).arrays) == ["../outside"]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    assert [path.name for path in directory.iterdir()] == [NAME]


def test_what_tuimon_writes_is_read(tmp_path: Path) -> None:
    checkpoint(tmp_path / NAME)
    assert Checkpoints(tmp_path).load(NAME).arrays["bn_1"].tolist() == [0, 0, 0]


@pytest.fixture
def fit(runs: Path) -> Iterator[AskedFit]:
    made = AskedFit(RunDirectory.at(runs / "run"))
    made.run.checkpoints.mkdir()
    yield made
    made.end()
    assert made.errors == []


@pytest.mark.parametrize("name", ["", NAME, f"../checkpoints/{NAME}", "../secret.npz", "/etc/passwd", "\x1b[31m\n"])
def test_a_rollback_to_what_is_no_checkpoint_changes_nothing(fit: AskedFit, name: str) -> None:
    mark = fit.run.path / "mark"
    HOSTILE["pickled objects"][0](fit.run.checkpoints / NAME, mark)
    checkpoint(fit.run.path / "secret.npz")
    fit.run.put_request(commands.signed(commands.Rollback(checkpoint=name), attempt=0))
    (answer,) = fit.step_until(fit.answers)
    assert isinstance(answer, events.CommandRejected)
    assert "checkpoint" in answer.reason
    assert answer.reason.isprintable()
    assert fit.recorder.branch == 0
    assert not mark.exists()


def test_a_rollback_to_arrays_of_another_shape_is_rejected(fit: AskedFit) -> None:
    checkpoint(fit.run.checkpoints / NAME, **{"000000.npy": npy(np.zeros((5, 5), np.float32))})
    fit.run.put_request(commands.signed(commands.Rollback(), attempt=0))
    (answer,) = fit.step_until(fit.answers)
    assert isinstance(answer, events.CommandRejected)
    assert fit.recorder.branch == 0
