"""Event files: which there are, and one of them as it grows."""

import os
from collections.abc import Iterator
from pathlib import Path

from tuimon.foreign import pieces, records
from tuimon.regular_file import open_regular

_PIECE_BYTES = 16 * 1024 * 1024
_IN_NAME = "tfevents"
_NOT_EVENTS = ".profile-empty"


def event_files(directory: Path) -> list[Path]:
    """Return the event files right in a directory, in the order in which TensorBoard reads them."""
    try:
        names = [entry.name for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return []
    return [directory / name for name in sorted(names) if is_event_file(name)]


def is_event_file(name: str) -> bool:
    """Return whether a file of this name holds events."""
    return _IN_NAME in name and not name.endswith(_NOT_EVENTS)


def directories(directory: Path) -> list[Path]:
    """Return the directories right in a directory, in the order of their names."""
    try:
        # No links: one may lead back.
        return sorted(Path(entry) for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


class EventFile:
    """Reads what is whole by now, a piece at a time.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        """What is wrong with it, in words; empty: nothing is known to be."""
        self.offset = 0
        """Bytes read so far, up to the end of a frame."""
        self._damaged = 0
        self._misplaced = 0
        self._is_over = False
        self._head = b""
        self._seen = 0

    def is_replaced(self) -> bool:
        """Return whether what was read is no more: the file is shorter, or begins otherwise, or is gone."""
        try:
            with open_regular(self.path) as file:
                head = file.read(len(self._head))
                return head != self._head or file.seek(0, 2) < self.offset
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def has_grown(self) -> bool:
        """Return whether there is more than was seen when it was read."""
        try:
            return not self._is_over and self.path.stat().st_size > self._seen
        except OSError:
            return False

    def read(self) -> Iterator[pieces.Piece]:
        """Yield what is whole and was not read yet."""
        size = _PIECE_BYTES
        while not self._is_over:
            try:
                with open_regular(self.path) as file:
                    file.seek(self.offset)
                    data = file.read(size)
                    self._head = self._head or data[:64]
            except OSError as error:
                self.trouble = f"cannot be read: {error.strerror or error}"
                return
            self._seen = self.offset + len(data)
            found = records.frames(data)
            if not found.end and len(data) == size and not found.is_damaged:
                # One record that is longer than a piece.
                size *= 4
                continue
            if len(found.starts):
                yield self._told(pieces.read(data, found))
            self.offset += found.end
            self._is_over = found.is_damaged
            self._say()
            if len(data) < size:
                return
            size = _PIECE_BYTES

    def _told(self, piece: pieces.Piece) -> pieces.Piece:
        self._damaged += piece.damaged
        self._misplaced += piece.misplaced
        return piece

    def _say(self) -> None:
        troubles = []
        if self._damaged:
            troubles.append(f"{_counted(self._damaged, 'record')} damaged and left out")
        if self._misplaced:
            troubles.append(f"{_counted(self._misplaced, 'value')} at a step that cannot be, left out")
        if self._is_over:
            troubles.append(f"damaged at byte {self.offset:,}: what follows is not read")
        self.trouble = "; ".join(troubles)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
