"""List runs, newest last, with the state and the best value of each.

  tuimon list --sort best                 the best value first
  tuimon list 'val_loss<0.3 lr=1e-3'      those that fit
  tuimon list --filter digits             a word alone needs the option: it could be a directory
  tuimon list --state failed --state crashed

A filter is some words with blanks between; a run is listed if all of them fit.
A word is searched in name, state, tags and note; -word leaves out what has it.
key=value, key!=value, key<1 and key>1 are about name, state, tag, note, epoch,
step, best, a metric (its best value), or a parameter such as lr, batch or
optimizer; * in a value stands for anything. What is not known fits no such word.
What runs are sorted or filtered by has a column.
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tuimon.cli.common.choice import address_of
from tuimon.cli.common.options import add_runs_dir
from tuimon.cli.common.safe_stream import as_json, ascii_json
from tuimon.errors import UsageError
from tuimon.numbers import count, figure, span
from tuimon.plot.run_values import difference, parameter
from tuimon.runs.glance import Glance
from tuimon.runs.listing.parameters import differing, is_named, short_name
from tuimon.runs.listing.selection import KEYS, Filter, known_keys, sorted_by, unknown_keys
from tuimon.runs.listing.summary import Summary, baseline_of, glanced
from tuimon.runs.remote.address import Address
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.text import plain

VERSION = 1
"""Of the JSON."""
SKIMMED_BYTES = 64 * 1024 * 1024
"""The best value may be anywhere in a log. Up to this length, the whole log is searched for it."""
SKIMMED_IN_ALL = 4 * SKIMMED_BYTES
"""So much is searched in all logs together, the newest first: a long list takes no longer than about a second."""
_RIGHT = frozenset(("EPOCH", "STEP", "IN EPOCH", "VS BASELINE"))
"""The columns that end at their right edge."""
_WIDEST = 24
"""Of a column of parameters or tags."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "words",
        metavar="DIR|WORDS",
        nargs="*",
        help="where to look (default: the runs directory; on another machine: user@host:DIR, over ssh), and words of a "
        "filter with a comparison among them",
    )
    parser.add_argument(
        "--sort",
        metavar="KEY",
        help="name, state, epoch, step, started, updated, best, a metric (its best value) or a parameter; the best "
        "and the newest first, unknown values last (default: newest last)",
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--filter", metavar="WORDS", default="", help="only the runs that fit these words")
    parser.add_argument(
        "--state", metavar="STATE", action="append", default=[], help="only runs in this state; may be repeated"
    )
    parser.add_argument("--params", action="store_true", help="a column for each parameter in which the runs differ")
    parser.add_argument("--json", action="store_true", help="for machines")
    add_runs_dir(parser)


def execute(options: argparse.Namespace) -> int:
    """Print the list and return the exit code."""
    directory, words = _directory_and_words(options)
    if isinstance(directory, Path):
        return _print(_summaries(runs_in(directory)), str(directory), words, options)
    from tuimon.runs.remote.remote_list import listed

    with listed(directory) as runs:
        every = [replace(run, path=Path(place.place)) for run, place in zip(_summaries(runs), runs, strict=True)]
    return _print(every, str(directory), words, options)


def _print(every: Sequence[Summary], directory: str, words: str, options: argparse.Namespace) -> int:
    """Print the runs that are wanted and return the exit code."""
    wanted = Filter(words)
    for option, keys in (("--filter", wanted.keys), ("--sort", [options.sort] if options.sort else [])):
        if every and (unknown := unknown_keys(keys, every)):
            from tuimon.query.nearest import nearest

            keys_there = known_keys(every)
            near = nearest(unknown[0], keys_there)
            meant = f"; the nearest: {', '.join(plain(key, 40) for key in near)}" if near else ""
            known = ", ".join(plain(key, 40) for key in keys_there)
            raise UsageError(f'{option}: no run has "{plain(unknown[0], 40)}"{meant}; they have {known}')
    listed = [run for run in every if wanted.fits(run) and (not options.state or run.status in options.state)]
    if options.sort:
        listed = sorted_by(listed, options.sort, reverse=options.reverse)
    elif options.reverse:
        listed.reverse()
    if options.json:
        print(ascii_json({"version": VERSION, "runs": [_as_fields(run) for run in listed]}))
    elif listed:
        keys = [*wanted.keys, *([options.sort] if options.sort else [])]
        parameters = differing(run.parameters for run in every) if options.params else []
        _print_table(listed, _columns(every, keys, parameters), baseline_of(every))
    elif every:
        print(f"none of the {len(every)} runs in {directory} fits")
    else:
        print(f"no runs in {directory}")
    return 0


def _directory_and_words(options: argparse.Namespace) -> tuple[Path | Address, str]:
    """Return the directory and the filter that are meant.

    Raises:
        UsageError: A word is neither a comparison nor a directory, or there are two directories.
    """
    directories, words = list[Path | Address](), [options.filter]
    for word in options.words:
        path = Path(word)
        if path.is_dir():
            directories.append(path)
        elif Filter(word).keys or len(word.split()) > 1:
            words.append(word)
        elif (address := address_of(word)) is not None:
            directories.append(address)
        else:
            searched = f"--filter={word}" if word.startswith("-") else f"--filter {word}"
            raise UsageError(f"{word}: it is no directory (a word to search for: tuimon list {searched})")
    if len(directories) > 1:
        raise UsageError(f"one directory at a time, not {directories[0]} and {directories[1]}")
    return directories[0] if directories else options.runs_dir, " ".join(words)


class _Column(Struct, frozen=True):
    """The best value of a metric, or a parameter."""

    key: str
    is_metric: bool = False

    @property
    def heading(self) -> str:
        return f"BEST {plain(self.key, _WIDEST)}" if self.is_metric else plain(short_name(self.key), _WIDEST)

    def cell(self, run: Summary) -> str:
        if self.is_metric:
            return figure(run.best[self.key].value) if self.key in run.best else "–"
        return parameter(self.key, run.parameters[self.key])[:_WIDEST] if self.key in run.parameters else "–"


def _columns(runs: Sequence[Summary], keys: Iterable[str], parameters: Iterable[str]) -> list[_Column]:
    """Return the columns of metrics and parameters: what was asked for by name, then the other parameters."""
    shown = {run.shown_best[0] for run in runs if run.shown_best is not None}
    asked = []
    for key in keys:
        if key.lower() in (*KEYS, "tags"):
            continue
        if any(key in run.best for run in runs):
            asked += [_Column(key, is_metric=True)] if shown != {key} else []
        else:
            asked += [_Column(name) for run in runs for name in run.parameters if is_named(name, key)]
    return list(dict.fromkeys([*asked, *map(_Column, parameters)]))


def _summaries(runs: Iterable[RunDirectory]) -> list[Summary]:
    left, found = SKIMMED_IN_ALL, []
    for run in reversed(list(runs)):
        glance = Glance(run, skimmed_bytes=min(left, SKIMMED_BYTES))
        found.append(glanced(glance, time.time()))
        left -= glance.skimmed
    return found[::-1]


def _as_fields(run: Summary) -> dict[str, object]:
    best = {name: {"value": as_json(best.value), "epoch": best.epoch} for name, best in run.best.items()}
    fields: dict[str, object] = {
        "name": run.name,
        "path": str(run.path),
        "state": run.status,
        "epoch": run.epoch or 0,
        "step": run.step,
        "started": run.started,
        "updated": run.updated,
        "best": best,
        "parameters": {key: as_json(value) for key, value in run.parameters.items()},
        "tags": list(run.tags.tags),
        "note": run.tags.note,
        "seconds_without_step": run.seconds_without_step,
        "facts_lost": run.facts_lost,
        "log_trouble": run.log_trouble,
        "reason": run.reason,
    }
    return fields | ({"trouble": run.trouble} if run.trouble else {})


def _print_table(runs: Sequence[Summary], columns: Sequence[_Column], baseline: Summary | None) -> None:
    headings = ["NAME", "STATE", "EPOCH", "STEP", "BEST", "IN EPOCH"]
    headings += ["VS BASELINE"] if baseline is not None else []
    headings += [column.heading for column in columns]
    headings += ["TAGS"] if any(run.tags.tags for run in runs) else []
    rows = [[*headings, "STARTED", "UPDATED"]]
    for run in runs:
        late = run.seconds_without_step
        doing = run.status or "–" if late is None else f"{run.status}, last step {span(late)} ago"
        doing += f" by {run.stopped_by}" if run.stopped_by else ""
        doing += ", not all recorded" if run.facts_lost else ", log cannot be written" if run.log_trouble else ""
        row = [plain(run.name), doing, run.epoch_words.removeprefix("epoch ") or "–", count(run.step)]
        row += _best(run)
        row += [_difference(run, baseline)] if baseline is not None else []
        row += [column.cell(run) for column in columns]
        row += [" ".join(run.tags.tags)] if "TAGS" in headings else []
        rows.append([*row, _clock(run.started), run.trouble or _clock(run.updated)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for heading, cell, width in zip(rows[0], row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _best(run: Summary) -> tuple[str, str]:
    if run.shown_best is None:
        return "–", "–"
    name, found = run.shown_best
    return f"{name} {figure(found.value)}", run.fits.epoch_words(found.epoch, found.step).removeprefix("epoch ")


def _difference(run: Summary, baseline: Summary) -> str:
    if run.path == baseline.path:
        return "baseline"
    if run.shown_best is None or (other := baseline.best.get(run.shown_best[0])) is None:
        return "–"
    return difference(run.shown_best[0], run.shown_best[1].value - other.value)


def _clock(seconds: float | None) -> str:
    return "–" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
