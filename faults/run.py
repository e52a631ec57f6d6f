"""Makes all faults, or those that are named, and writes docs/reliability.md.

python -m faults.run                     all of them, two at a time, and the page
python -m faults.run killed-plain disk   those whose names begin so; prints rows, writes no page

Each fault runs in a process of its own with a limit of time; what it found until then counts. The exit code is 1 if
something is not as it has to be.
"""

import argparse
import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec

from faults import ROOT, page
from faults.catalog import FAULTS, groups
from faults.place import MARK, Place, clean
from faults.results import Fault, Row, Skipped

AT_ONCE = 2
"""Faults that are made at once, where nothing is timed."""
TOTAL_SECONDS = 14.5 * 60
"""For all of them; a fault that has not begun by then is left out, and the row says so."""
GRACE_SECONDS = 10.0
"""Between the request to end and the kill."""

_stopped = threading.Event()
"""Set by Ctrl-C: what runs is ended, nothing else begins."""


def make_here(fault: Fault, place: Path, into: Path, times: int | None) -> None:
    """Make one fault in this process, and write its row, also where it fails or is told to end."""
    row = fault.row()
    began = time.monotonic()

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {fault.seconds:.0f} s")

    before = signal.signal(signal.SIGTERM, end)
    try:
        with Place(place) as here:
            for tried in fault.make(here, fault.times if times is None else times):
                row.add(tried)
    except Skipped as reason:
        row.skipped = str(reason)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other faults are made
        words = str(error).partition("\n")[0] or type(error).__name__
        row.wrong.append(f"the fault could not be made to the end: {words[:300]}")
        if not isinstance(error, TimeoutError):
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        signal.signal(signal.SIGTERM, before)
    row.seconds = time.monotonic() - began
    into.write_bytes(msgspec.json.encode(row))


def make(fault: Fault, directory: Path, deadline: float, times: int | None = None) -> Row:
    """Make one fault in a process of its own, and return its row."""
    row = fault.row()
    left = deadline - time.monotonic()
    if left < GRACE_SECONDS:
        row.skipped = "the time for all faults was over"
        return row
    place, into = (directory / fault.name).resolve(), directory / f"{fault.name}.json"
    line = [sys.executable, "-m", "faults.run", "--into", str(into), "--place", str(place), fault.name]
    line += [] if times is None else ["--times", str(times)]
    if _stopped.is_set():
        raise KeyboardInterrupt
    process = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait(process, min(fault.seconds, left))
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    finally:
        process.kill()
        process.wait()
        clean(place)
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode(into.read_bytes(), type=Row)
    row.wrong.append(f"its process ended with exit code {process.returncode}")
    return row


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > deadline or _stopped.wait(0.05):
            raise subprocess.TimeoutExpired(process.args, seconds)


def make_all(faults: Sequence[Fault], directory: Path, times: int | None) -> list[Row]:
    """Make faults, two at once but those that are timed, and return their rows in the given order."""
    deadline, rows = time.monotonic() + TOTAL_SECONDS, dict[str, Row]()

    def one(fault: Fault) -> None:
        began = time.monotonic()
        rows[fault.name] = row = make(fault, directory, deadline, times)
        print(f"{_word(row):7} {time.monotonic() - began:4.0f} s  {page.line(row)}", flush=True)

    together, alone = ([each for each in faults if each.is_alone is wanted] for wanted in (False, True))
    for fault in alone:
        one(fault)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        # The longest first, so that no one waits for the last.
        try:
            for done in [pool.submit(one, fault) for fault in sorted(together, key=lambda each: -each.seconds)]:
                done.result()
        except KeyboardInterrupt:
            _stopped.set()
            raise
    return [rows[fault.name] for fault in faults]


def _word(row: Row) -> str:
    return "skipped" if row.skipped else "RED" if row.is_red else "ok"


def main(arguments: Sequence[str]) -> int:
    """Make the faults; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m faults.run", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="faults, or what their names begin with (default: all)")
    parser.add_argument("--times", type=int, help="how often each is made (default: as often as it takes to be sure)")
    parser.add_argument("--list", action="store_true", help="print their names")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.names or fault.name.startswith(tuple(options.names))]
    if options.list or not chosen:
        print("\n".join(f"{fault.name:24} {fault.title}" for fault in FAULTS))
        return 0 if options.list else 2
    if options.into is not None:
        fault = next(fault for fault in chosen if fault.name == options.names[0])
        make_here(fault, options.place, options.into, options.times)
        return 0
    os.environ.pop(MARK, None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    # In the background, they are ignored here and in all that is started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as directory:
        rows = make_all(chosen, Path(directory), options.times)
    minutes = (time.monotonic() - began) / 60
    print(f"{len(rows)} faults in {minutes:.1f} minutes")
    if not options.names:
        page.OUTPUT.write_text(page.text(groups(rows), minutes), encoding="utf-8")
        print(f"written: {page.OUTPUT.relative_to(ROOT)}")
    return int(any(row.is_red for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
