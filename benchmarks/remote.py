"""A run on another machine over a line with a delay: what the line carries, and how soon a key answers.

Needs ``sshd``. The log is written as a trainer writes it: four times a second.

    python benchmarks/remote.py
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from helpers import fit_started, layer, model_built, started, until  # noqa: E402
from sshd import server  # noqa: E402
from tuimon.protocol import events  # noqa: E402
from tuimon.runs.remote.address import Address  # noqa: E402
from tuimon.runs.remote.mirrored_run import watched  # noqa: E402
from tuimon.runs.run_directory import RunDirectory  # noqa: E402
from ui.watching import LiveRun, part, press, watching  # noqa: E402
from ui.watching import until as until_shown  # noqa: E402

DELAY = 0.1
"""Seconds each way."""
WRITES = 120
STEPS = 25
"""In a write."""
KEYS = 20


def batches(number: int) -> events.Batches:
    values = {name: [random.random() for _ in range(STEPS)] for name in ("loss", "accuracy")}
    return events.Batches(first_step=number * STEPS, metrics=values, batches=STEPS, step=(number + 1) * STEPS)


def a_live_run(runs: Path) -> LiveRun:
    return LiveRun(
        runs,
        started(pid=os.getpid()),
        model_built(layer("bn_1")),
        fit_started(epochs=5, steps_per_epoch=1000, can={"freeze": "", "unfreeze": ""}),
        events.StateChanged(state="training"),
    )


async def seconds_of_keys(run: RunDirectory) -> list[float]:
    """Return how long each key takes from its press until the screen shows it."""
    taken = []
    async with watching(run) as (app, pilot):
        for number in range(KEYS):
            key, shown = (("2", "metrics"), ("1", "dashboard"))[number % 2]
            begin = time.perf_counter()
            await press(pilot, key)
            await until_shown(pilot, lambda shown=shown: app.base_screen.screen_name == shown)
            taken.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        await press(pilot, "F")
        await until_shown(pilot, lambda: app.moment().asked, "asked")
        assert part(app, "Header")
        taken.append(time.perf_counter() - begin)
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        counts = Path(place) / "counts"
        line = f"{sys.executable} {ROOT}/tests/slow_line.py {DELAY} {counts}"
        with server(Path(place) / "server", patch, line=line), a_live_run(Path(place)) as live:
            log = live.directory.session_log
            copy = watched(Address("there", str(live.directory.path)), lambda _have, _of: None)
            before, size = sum(map(int, counts.read_text().split())), log.stat().st_size
            late = []
            for number in range(WRITES):
                live.write(batches(number))
                written, end = time.monotonic(), log.stat().st_size
                until(lambda end=end: copy.session_log.stat().st_size >= end)
                late.append(time.monotonic() - written)
                time.sleep(max(0.0, 0.25 - late[-1]))
            own, carried = log.stat().st_size - size, sum(map(int, counts.read_text().split())) - before
            print(f"log {own:,} bytes, line {carried:,} bytes both ways: {carried / own:.2f} times")
            print(f"to connect: {before:,} bytes")
            print(f"a fact is in the copy after {statistics.median(late) * 1000:.0f} ms (median)")
            for name, run in (("beside", live.directory), ("over the line", copy)):
                taken = asyncio.run(seconds_of_keys(run))
                print(
                    f"keys {name}: median {statistics.median(taken) * 1000:.0f} ms, "
                    f"longest {max(taken) * 1000:.0f} ms; a request {taken[-1] * 1000:.0f} ms"
                )
            copy.close()


if __name__ == "__main__":
    main()
