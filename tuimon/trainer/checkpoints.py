"""Checkpoints on disk: full states of a training, from which it continues bit for bit.

A file is written under a hidden name, forced to disk and renamed, so a kill or a full disk leaves no partial file.
"""

import contextlib
import io
import math
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Struct, field

from tuimon import __version__
from tuimon.protocol import events
from tuimon.regular_file import open_regular
from tuimon.runs.facts_in_words import size as size_in_words
from tuimon.text import plain
from tuimon.trainer.engine import Arrays
from tuimon.trainer.modes import AUTO, Mode
from tuimon.trainer.session.moved_directory import MovedDirectory

MARGIN_BYTES = 64 * 1024 * 1024
"""Free space that a checkpoint leaves on the disk for the log."""

SYNCED_BYTES = 16 * 1024 * 1024
"""So much is forced to disk at once: a slow disk is told from one that does not answer."""

VERSION = 2
"""Version of the file format. The first one had nothing beside the variables."""

BESIDE = "beside/"
"""Begins the names of arrays that are no variables."""

_META = "meta.json"
_NAME = re.compile(r"step-(\d+)(?:-(\d+))?\.npz", re.ASCII)


class CheckpointError(ValueError):
    """A checkpoint cannot be saved, read, or restored into this model; the message says why."""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number that the log can carry; a damaged or forged file may have another one."""


class Meta(msgspec.Struct, kw_only=True):
    """The description that a checkpoint holds beside the variables."""

    version: int = VERSION
    """Version of the format."""
    step: Count
    """Train steps of the run completed."""
    epoch: Count
    """Number of the epoch, from 0."""
    epoch_first_step: Count
    """The step at which the epoch began."""
    at_epoch_end: bool = False
    """True if the epoch was complete, so that training continues with the next one."""
    branch: Count = 0
    """Branch of the run: its rollbacks and resumptions so far."""
    mode: Mode = AUTO
    """The mode of the next step."""
    learning_rate: float | None = None
    """The learning rate of a request if ``mode`` has its own, else None."""
    time: float = 0.0
    """When it was saved, in Unix seconds."""
    reason: str = ""
    """Why it was saved."""
    tuimon: str = __version__
    """Version of tuimon."""
    dtypes: dict[str, str] = {}
    """The framework's dtype of each variable, by name."""
    fit: int = 0
    """Number of the ``fit`` in its process, from 1; 0: not known."""
    is_over: bool = False
    """True if a callback had ended the training, so that no epoch follows."""
    beside: dict[str, Any] = {}
    """The state of the program beside the variables: of callbacks and random numbers."""

    @property
    def next_epoch(self) -> int:
        """The epoch in which a resumption begins."""
        return self.epoch + 1 if self.at_epoch_end else self.epoch

    @property
    def repeated_steps(self) -> int:
        """Steps of that epoch that the checkpoint holds, and that a resumption makes again."""
        return 0 if self.at_epoch_end else self.step - self.epoch_first_step


class Checkpoint(Struct, frozen=True):
    """A checkpoint in memory."""

    name: str
    """Its file's name."""
    meta: Meta
    """Its description."""
    arrays: Arrays
    """The variables."""
    beside: Arrays = field(default_factory=dict)
    """The arrays of ``meta.beside``."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: Their directory; the first save creates it. The directory above it, the run, may be renamed.
        kept: How many of the newest to keep, requested or automatic.
    """

    def __init__(self, directory: Path, *, kept: int = 3) -> None:
        self._name = directory.name
        self._run = MovedDirectory(directory.parent)
        self._kept = kept
        self.synced_parts = 0
        """How many parts of checkpoints have reached the disk so far: it grows as long as the disk answers."""

    @property
    def _directory(self) -> Path:
        return self._run.path / self._name

    def names(self) -> list[str]:
        """Return the file names of all complete checkpoints, oldest first."""
        return [name for _, _, name in sorted(self._found())]

    def save(self, arrays: Arrays, meta: Meta, reason: str, beside: Arrays | None = None) -> events.CheckpointSaved:
        """Write a checkpoint, and remove the oldest ones beyond the number to keep.

        Args:
            arrays: The variables.
            meta: The description.
            reason: Why it is saved.
            beside: The arrays of ``meta.beside``.

        Raises:
            CheckpointError: The disk has no room for it.
            OSError: It cannot be written; no file of it remains.
        """
        started = time.monotonic()
        arrays = arrays | {BESIDE + name: array for name, array in (beside or {}).items()}
        self._directory.mkdir(mode=0o700, exist_ok=True)
        size = sum(array.nbytes for array in arrays.values())
        free = shutil.disk_usage(self._directory).free
        if free < size + MARGIN_BYTES:
            raise CheckpointError(
                f"it takes {size_in_words(size)}, {size_in_words(MARGIN_BYTES)} stay free for the log, and the disk "
                f"has {size_in_words(free)} left"
            )
        meta = msgspec.structs.replace(meta, time=time.time(), reason=reason)
        path = self._free_path(meta.step)
        with self._temporary() as temporary:
            with zipfile.ZipFile(_InParts(temporary, self._note_part), "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_META, msgspec.json.encode(meta))
                for number, array in enumerate(arrays.values()):
                    with archive.open(f"{number:06}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
                archive.writestr("names.json", msgspec.json.encode(list(arrays)))
            temporary.flush()
            os.fsync(temporary.fileno())
            written = os.fstat(temporary.fileno()).st_size
            Path(temporary.name).rename(path)
        _sync_directory(self._directory)
        for name in self.names()[: -self._kept]:
            (self._directory / name).unlink(missing_ok=True)
        return events.CheckpointSaved(
            name=path.name, reason=reason, size_bytes=written, seconds=time.monotonic() - started
        )

    def _note_part(self) -> None:
        self.synced_parts += 1

    def load(self, name: str) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            CheckpointError: No checkpoint has this name, or it cannot be read.
        """
        names = self.names()
        if name not in names:
            there = f"there are {', '.join(names)}" if names else "there is none"
            raise CheckpointError(f"no checkpoint {plain(name, 100)!r}; {there}")
        try:
            path = self._directory / name
            with open_regular(path, follow_links=False) as file, zipfile.ZipFile(file) as archive:
                _require_plain(archive, os.fstat(file.fileno()).st_size)
                meta = msgspec.json.decode(archive.read(_META), type=Meta)
                if not 1 <= meta.version <= VERSION:
                    raise ValueError(f"it is of version {meta.version} of the format, this tuimon reads {VERSION}")
                arrays: Arrays = {}
                for number, key in enumerate(msgspec.json.decode(archive.read("names.json"), type=list[str])):
                    _require_array(archive, f"{number:06}.npy")
                    with archive.open(f"{number:06}.npy") as member:
                        arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
        except Exception as error:
            # zipfile and NumPy raise many kinds of errors on a broken file.
            words = plain(str(error), 200) or type(error).__name__
            raise CheckpointError(f"checkpoint {name} cannot be read: {words}") from error
        beside = {key: arrays.pop(key) for key in [*arrays] if key.startswith(BESIDE)}
        return Checkpoint(name, meta, arrays, {key.removeprefix(BESIDE): array for key, array in beside.items()})

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest readable checkpoint, or None, and the errors of newer ones."""
        wrong: list[str] = []
        for name in reversed(self.names()):
            try:
                return self.load(name), wrong
            except CheckpointError as error:
                wrong.append(str(error))
        return None, wrong

    def _found(self) -> Iterator[tuple[int, int, str]]:
        """Yield step, number within the step, and name of each. A copy changes file times, so names tell the order."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._directory) as entries:
            for entry in entries:
                # A link or a pipe is no checkpoint.
                if (match := _NAME.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False):
                    yield int(match[1]), int(match[2] or 1), entry.name

    def _free_path(self, step: int) -> Path:
        count = max((number for other, number, _ in self._found() if other == step), default=0)
        while True:
            count += 1
            path = self._directory / (f"step-{step:08}.npz" if count == 1 else f"step-{step:08}-{count}.npz")
            if not os.path.lexists(path):
                return path

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Any]:
        for left in self._directory.glob(".saving-*"):
            left.unlink(missing_ok=True)  # A killed trainer left it; only one trainer writes here.
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix=".saving-", delete=False) as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)


class _InParts(io.RawIOBase):
    """Writes a file, and forces each part of it to disk before the next one.

    Args:
        file: The open file.
        synced: Called after each part.
    """

    def __init__(self, file: Any, synced: Callable[[], None]) -> None:
        super().__init__()
        self._file, self._synced, self._waiting = file, synced, 0

    def write(self, data: Any, /) -> int:
        """Write all of ``data``; return how many bytes that are."""
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), SYNCED_BYTES):
            self._waiting += self._file.write(view[begin : begin + SYNCED_BYTES])
            if self._waiting >= SYNCED_BYTES:
                self._waiting = 0
                self._file.flush()
                os.fdatasync(self._file.fileno())
                self._synced()
        return len(view)

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place in the file."""
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, and return it."""
        return int(self._file.seek(offset, whence))

    def flush(self) -> None:
        """Leave it to the parts."""


def _require_plain(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse what tuimon does not write, before anything is read: a small file that unpacks to more than memory."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("it claims to hold more than its file")


def _require_array(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an array whose data are not there, or would have to be unpickled."""
    with archive.open(name) as member:
        if np.lib.format.read_magic(member) == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
        if dtype.hasobject:
            raise ValueError("it holds pickled objects, which are not read")
        if math.prod(shape) * dtype.itemsize != archive.getinfo(name).file_size - member.tell():
            raise ValueError("an array is not of the size that it claims")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # Some file systems cannot sync a directory.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
