"""Where an export goes: a file that is whole or not there, or stdout."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from tuimon.atomic_file import whole_file
from tuimon.errors import UsageError

STDOUT = "-"


@contextmanager
def text_output(out: str, stdout: TextIO | None = None) -> Iterator[TextIO]:
    """Open what an export writes its text to.

    Args:
        out: A path, whose file is written whole or not at all; ``-``: stdout.
        stdout: Takes the text for ``-``; by default that of the process.

    Raises:
        OSError: The file cannot be written.
    """
    if out == STDOUT:
        yield stdout or sys.stdout
        return
    path = Path(out)
    if path.is_dir():
        raise IsADirectoryError(out)
    with whole_file(path) as file:
        yield file


@contextmanager
def binary_output(out: str, what: str) -> Iterator[BinaryIO]:
    """Open the file that an export writes bytes to, whole or not at all.

    Args:
        out: Its path.
        what: What is written, for people.

    Raises:
        UsageError: It is not to be a file.
        OSError: The file cannot be written.
    """
    if out == STDOUT:
        raise UsageError(f"{what} is not text: name a file in place of -")
    with text_output(out) as file:
        yield file.buffer
