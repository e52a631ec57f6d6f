"""Compare runs: best and final values, where curves part, time to a target, settings that differ.

  tuimon compare RUN RUN
  tuimon compare RUN RUN RUN --target val_loss=0.3

Curves are compared epoch by epoch with those of the first run, on the line of steps that led to
where each run is now. Two curves are said to be apart from an epoch on if their difference is, in
every epoch from there to the end (three or more), on one side and more than three times its own
noise from one epoch to the next; with fewer than 8 epochs in which both differ, nothing is said.
Curves of other metrics than loss, val_loss and those of targets are in --json alone.
That is about these two runs: whether others with other seeds would part, one run of each cannot
tell.

Seconds to a target are from the start of the first fit, with pauses and with what was undone.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuimon.cli.common.choice import run_proper
from tuimon.cli.common.options import add_runs_dir
from tuimon.cli.common.safe_stream import as_json, ascii_json
from tuimon.errors import UsageError
from tuimon.numbers import count, figure, signed_figure, span
from tuimon.text import plain

if TYPE_CHECKING:
    from tuimon.query.comparison import ComparedRun, Target
    from tuimon.query.parting import Parting
    from tuimon.runs.listing.parameters import Value

VERSION = 1
"""Of the JSON."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Name the runs in the table; so many are compared at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="two runs or more; the others are held against the first"
    )
    parser.add_argument(
        "--target",
        metavar="METRIC=VALUE",
        action="append",
        default=[],
        help="when each run reached this at the end of an epoch, such as val_loss=0.3; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    add_runs_dir(parser)


def execute(options: argparse.Namespace) -> int:
    """Print the comparison and return the exit code."""
    from tuimon.query.comparison import names_in, partings, read, require_known, target_in
    from tuimon.runs.listing.parameters import NEWEST_RATE, differing

    if not 2 <= len(options.runs) <= len(LETTERS):
        raise UsageError(f"compare takes 2 to {len(LETTERS)} runs, not {len(options.runs)}")
    try:
        targets = [target_in(words) for words in options.target]
    except ValueError as error:
        raise UsageError(f"--target: {error}") from error
    runs = [read(run_proper(name, options.runs_dir)) for name in options.runs]
    for target in targets:
        require_known(target, runs)
    settings = [key for key in differing(run.summary.parameters for run in runs) if key != NEWEST_RATE]
    parted = {name: partings(runs, name) for name in names_in(runs) if name != "learning_rate"}
    if options.json:
        print(ascii_json(_document(runs, targets, settings, parted)))
    else:
        _print(runs, targets, settings, parted)
    return 0


def _document(
    runs: "Sequence[ComparedRun]",
    targets: "Sequence[Target]",
    settings: Sequence[str],
    parted: "dict[str, list[Parting | None]]",
) -> dict[str, object]:
    from msgspec.structs import asdict

    return {
        "version": VERSION,
        "runs": [
            {
                "name": run.summary.name,
                "path": str(run.summary.path),
                "state": run.summary.status,
                "epoch": run.summary.epoch or 0,
                "step": run.summary.step,
                "best": {name: asdict(best) for name in run.summary.best if (best := run.best(name))},
                "final": {name: _final(run, name) for name in run.metrics},
                "targets": {
                    target.words: asdict(found) if (found := run.when(target)) is not None else None
                    for target in targets
                },
                "trouble": run.summary.trouble,
            }
            for run in runs
        ],
        "partings": [
            {"metric": name, "runs": [runs[0].summary.name, run.summary.name], **asdict(found)}
            for name, all_found in parted.items()
            for run, found in zip(runs[1:], all_found, strict=True)
            if found is not None
        ],
        "settings": {key: [as_json(run.summary.parameters.get(key)) for run in runs] for key in settings},
    }


def _final(run: "ComparedRun", name: str) -> dict[str, object]:
    from tuimon.protocol.wire import to_wire

    metric = run.metrics[name]
    return {"value": to_wire(metric.last), "epoch": int(metric.epochs[-1]), "step": int(metric.steps[-1])}


def _print(
    runs: "Sequence[ComparedRun]",
    targets: "Sequence[Target]",
    settings: Sequence[str],
    parted: "dict[str, list[Parting | None]]",
) -> None:
    from tuimon.runs.best import SHOWN
    from tuimon.runs.listing.parameters import short_name

    for letter, run in zip(LETTERS, runs, strict=False):
        summary = run.summary
        at = f"{summary.epoch_words}, step {count(summary.step)}" if summary.epoch_words else "no epoch yet"
        print(f"{letter}  {plain(summary.name)}: {summary.trouble or f'{summary.status}, {at}'}")
    rows = [["", *LETTERS[: len(runs)]]]
    # Curves that a single log has, such as those of its histograms, compare nothing, and there may be hundreds.
    alone = [name for name in parted if _is_alone(name, runs)]
    for name in (name for name in parted if name not in alone):
        if any(name in run.summary.best for run in runs):
            rows.append([f"best {plain(name, 40)}", *(_best(run, name) for run in runs)])
        finals = [figure(run.metrics[name].last) if name in run.metrics else "–" for run in runs]
        rows.append([f"final {plain(name, 40)}", *finals])
    for target in targets:
        rows.append([f"to {plain(target.words, 40)}", *(_reached(run, target) for run in runs)])
    if len(rows) > 1:
        print()
        _print_table(rows)
    if alone:
        print(f"{count(len(alone))} more that one run alone has, and no best value: --json")
    # With many metrics, nobody reads the curves of all.
    has_fits = any(run.fits.are_several for run in runs)
    shown = {*SHOWN, *(target.metric for target in targets)}
    for name, found in parted.items():
        if name in shown or shown.isdisjoint(parted):
            _print_partings(name, found, "same epoch, counted through all fits" if has_fits else "same epoch")
    print()
    if settings:
        print("settings that differ")
        short = [short_name(key) for key in settings]
        names = [key if short.count(name) > 1 else name for key, name in zip(settings, short, strict=True)]
        values = [
            [plain(name, 40), *(_setting(run, key) for run in runs)] for key, name in zip(settings, names, strict=True)
        ]
        _print_table([["", *LETTERS[: len(runs)]], *values])
    else:
        print("no setting that the logs have differs")


def _is_alone(name: str, runs: "Sequence[ComparedRun]") -> bool:
    return sum(name in run.metrics for run in runs) == 1 and not any(name in run.summary.best for run in runs)


def _best(run: "ComparedRun", name: str) -> str:
    best = run.summary.best.get(name)
    if best is None:
        return "–" if run.summary.is_best_known else "not known"
    return f"{figure(best.value)} ({run.fits.epoch_words(best.epoch, best.step)})"


def _reached(run: "ComparedRun", target: "Target") -> str:
    found = run.when(target)
    if found is None:
        return "not reached" if target.metric in run.metrics else "–"
    return f"step {count(found.step)}, {run.fits.epoch_of_run_words(found.epoch, found.step)}, {span(found.seconds)}"


def _setting(run: "ComparedRun", key: str) -> str:
    from tuimon.plot.run_values import parameter

    value: Value | None = run.summary.parameters.get(key)
    return "–" if value is None else parameter(key, value)


def _print_partings(name: str, found: "Sequence[Parting | None]", same: str) -> None:
    lines = [f"  {LETTERS[place]}  {_words(one)}" for place, one in enumerate(found, 1) if one is not None]
    if lines:
        print(f"\n{plain(name, 40)}, less that of A in the {same}")
        print("\n".join(lines))


def _words(found: "Parting") -> str:
    if not found.epochs and found.same_until is None:
        return "no epoch in common"
    same = "" if found.same_until is None else f"equal to the last digit until epoch {count(found.same_until + 1)}; "
    if found.last_difference == 0 and found.same_until is not None and found.apart_from is None:
        return f"{same}no difference at the end"
    common = f"last of {count(found.epochs)} epochs" if found.epochs > 1 else "one epoch"
    last = f"{signed_figure(found.last_difference)} in the {common} in common"
    if found.noise is None:
        return f"{same}{last}; too few epochs to say whether they are apart"
    noise = f"noise {figure(found.noise)}"
    if found.apart_from is None:
        return f"{same}{last}: not apart beyond three times their noise ({noise})"
    since = "from the first epoch on" if found.apart_after is None else f"from epoch {count(found.apart_from + 1)} on"
    return f"{same}apart {since}: {last} ({noise})"


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
