"""Writes docs/reliability.md from what came of the faults."""

import datetime
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata

from faults import ROOT
from faults.results import Row

OUTPUT = ROOT / "docs" / "reliability.md"

HEAD = """\
<!-- Made by `make faults` (faults/page.py): change that. -->

# Reliability

`make faults` makes real faults against real processes, in {minutes:.0f} minutes: processes are killed, disks fill up,
terminals and connections are cut, logs are damaged. This page is what came of it, on {date}, on a machine with
{cores} cores; {versions}. `make test` makes the same faults a few times each.

- **Facts lost**: facts that were recorded and are not in the log. Where it is not 0, the log has to say so
  (`log_gap`), or the trainer's own output where the log takes nothing any more.
- **Training disturbed**: tries after which weights or steps differed from those of a training that nothing happened to,
  or the training process ended when it should not. A trainer that was killed counts as disturbed if its run cannot go
  on from the newest checkpoint.
- **Seconds until said**: until `tuimon watch` or `tuimon list` said so; median, and the longest in brackets. A dash:
  nothing has to be said, or nothing was said.

{summary}
"""
COLUMNS = ("fault", "times tried", "facts lost", "training disturbed", "seconds until said", "notes")
_PACKAGES = ("keras", "tensorflow", "textual", "numpy")


def text(groups: Mapping[str, Sequence[Row]], minutes: float) -> str:
    """Return the whole page.

    Args:
        groups: The rows, by family.
        minutes: How long it took to make all.
    """
    rows = [row for group in groups.values() for row in group]
    red = [row for row in rows if row.is_red]
    made = [row for row in rows if not row.skipped]
    summary = f"{len(made)} of {len(rows)} faults were made: "
    summary += f"**{len(red)} are not as they have to be**, marked ✗." if red else "all are as they have to be."
    head = HEAD.format(
        minutes=max(1.0, minutes),
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        cores=os.cpu_count(),
        versions=_versions(),
        summary=summary,
    )
    parts = [head]
    for family, group in groups.items():
        lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(_cells(row) for row in group)]
        table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        parts.append(f"## {family}\n\n{table}")
    return "\n".join(parts)


def line(row: Row) -> str:
    """Return a row as a line for a terminal."""
    cells = _cells(row)
    shown = f"tried {cells[1]}, lost {cells[2]}, disturbed {cells[3]}, said {cells[4]}; {cells[5]}"
    return f"{row.name}: {shown}"


def _cells(row: Row) -> list[str]:
    if row.skipped:
        return [row.title, "0", "–", "–", "–", f"not tried: {_plain(row.skipped)}"]
    lost = f"{row.lost:,}" + (f", {min(row.told, row.lost):,} of them told" if row.lost else "")
    wrong = [f"✗ {_plain(words)}" for words in row.wrong]
    if row.lost > row.told:
        wrong.append(f"✗ {row.lost - row.told:,} lost facts are not told")
    notes = "; ".join([*wrong, *map(_plain, row.notes)])
    return [row.title, f"{row.tried:,}", lost, str(row.disturbed), row.said_words, notes]


def _plain(words: str) -> str:
    """Return a text for a cell of a table, without paths of this machine."""
    return re.sub(r"(?<![\w.])/(?!proc|dev)[\w.+-]+(?:/[\w.+-]+)+", "…", " ".join(words.split())).replace("|", "\\|")


def _versions() -> str:
    packages = [f"{name} {metadata.version(name)}" for name in _PACKAGES if _is_installed(name)]
    return ", ".join([f"Python {platform.python_version()}", *packages, f"Linux {platform.release().split('-')[0]}"])


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
