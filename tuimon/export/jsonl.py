"""A run as JSON lines: one value a line, with the fields of the CSV.

`{"step":4,"epoch":1,"time":1012.0,"metric":"val_loss","value":-0.5,"branch":0,"fit":1}`

JSON has no NaN and no infinity: a value that is not finite is the string `"nan"`, `"inf"` or `"-inf"`, as in the log
of the run; `null` is "not known". Characters that a terminal could obey are written as escapes. What the metrics are
is said in `tuimon.export.csv`.

The log is streamed: memory does not grow with the run.
"""

import struct
from typing import TextIO

import msgspec

from tuimon.export.output import text_output
from tuimon.export.reading import facts
from tuimon.export.rows import of_all
from tuimon.runs.run_directory import RunDirectory


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run's metrics to the file ``out``, whole or not at all; ``-``: to stdout.

    Args:
        run: The run.
        out: A path, or ``-``.
        stdout: Takes the lines for ``-``; by default that of the process.

    Raises:
        OSError: the log cannot be read, or the file not written.
    """
    encoder = msgspec.json.Encoder()
    with text_output(out, stdout) as file:
        for row in of_all(facts(run)):
            line = encoder.encode(row._asdict()).decode()
            file.write((line if line.isprintable() else _escaped(line)) + "\n")


def _escaped(line: str) -> str:
    """Return JSON in which every character that a terminal could obey is written as an escape."""
    return "".join(
        character
        if character.isprintable()
        # Characters beyond 16 bits are two escapes.
        else "".join(f"\\u{number:04x}" for (number,) in struct.iter_unpack(">H", character.encode("utf-16-be")))
        for character in line
    )
