"""Saves the screen as SVG, and the points of its charts as CSV."""

import csv
import itertools
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from tuimon.atomic_file import whole_file
from tuimon.runs.series import Series

_NAME_LIMIT = 60


def save(directory: Path, name: str, svg: str, curves: Iterable[tuple[str, str, Series]]) -> list[Path]:
    """Write the files, each whole or not at all, and over no other; return their paths.

    Args:
        directory: Where the files go.
        name: The name of the run.
        svg: The screen.
        curves: Metric, line and points of each curve on the screen; without curves, no CSV is written.

    Raises:
        OSError: they cannot be written.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_NAME_LIMIT] or "run"
    base = stem = f"tuimon-{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(2):
        if not any((directory / f"{stem}{suffix}").exists() for suffix in (".svg", ".csv")):
            break
        stem = f"{base}-{number}"
    picture, table = (directory / f"{stem}{suffix}" for suffix in (".svg", ".csv"))
    with whole_file(picture) as file:
        file.write(svg)
    if not (rows := list(curves)):
        return [picture]
    with whole_file(table) as file:
        _write_csv(file, rows)
    return [picture, table]


def _write_csv(file: TextIO, curves: Iterable[tuple[str, str, Series]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("metric", "curve", "step", "value"))
    for metric, curve, series in curves:
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            writer.writerow((metric, curve, step, repr(value)))
