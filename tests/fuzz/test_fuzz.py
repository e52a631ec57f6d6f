"""Damaged logs, made at random by a seed: nothing raises, nothing hangs, and whole lines are still read.

`TUIMON_FUZZ_SECONDS` says for how long to look for more, each time from another seed on; a failure names its seed.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz import reading, watching
from fuzz.damage import Damage
from fuzz.logs import made, seeds
from helpers import a_run, encode_log, make_run
from ui.sizes import NARROW, WIDE

LOGS, SCREENS = 24, 2
"""Damaged logs that are read, and that are watched."""
LONG_SECONDS = 120.0
SECONDS = float(os.environ.get("TUIMON_FUZZ_SECONDS", "0"))


def numbers(count: int, seconds: float) -> Iterator[int]:
    """Yield so many seeds, always the same ones; or other ones for so many seconds."""
    if not seconds:
        yield from range(count)
        return
    first, end = random.SystemRandom().randrange(10**9), time.monotonic() + seconds
    while time.monotonic() < end:
        yield first
        first += 1


@pytest.fixture
def beside(runs: Path) -> Path:
    """Return a directory of runs with a healthy one in it."""
    make_run(runs, a_run(), reading.HEALTHY)
    return runs


def read_damaged(beside: Path, count: int, seconds: float) -> None:
    logs = seeds()
    for seed in numbers(count, seconds):
        try:
            reading.read(beside, Damage(seed, logs).log())
        except Exception as error:
            raise AssertionError(f"the log of seed {seed}: {error!r}") from error


async def watch_damaged(beside: Path, count: int, seconds: float) -> None:
    logs = seeds()
    for seed in numbers(count, seconds):
        try:
            size = NARROW if seed % 3 == 1 else WIDE
            await watching.watch(beside, Damage(seed, logs).log(), replayed=seed % 4 == 3, size=size)
        except Exception as error:
            raise AssertionError(f"the log of seed {seed}: {error!r}") from error


def test_damaged_logs_are_read(beside: Path) -> None:
    read_damaged(beside, LOGS, SECONDS / 2)


async def test_damaged_logs_are_watched(beside: Path) -> None:
    await watch_damaged(beside, SCREENS, SECONDS / 2)


@pytest.mark.full
def test_damaged_logs_are_read_for_minutes(beside: Path) -> None:
    read_damaged(beside, 0, LONG_SECONDS)


@pytest.mark.full
async def test_damaged_logs_are_watched_for_minutes(beside: Path) -> None:
    await watch_damaged(beside, 0, LONG_SECONDS)


def cut(beside: Path, step: int) -> None:
    """Read a log that ends at every so-many-th byte of its last kilobyte."""
    data = encode_log(a_run())
    assert len(made()) > len(a_run())
    for end in range(len(data) - 1024, len(data), step):
        reading.read(beside, data[:end])


def test_a_log_may_end_anywhere(beside: Path) -> None:
    cut(beside, 173)


@pytest.mark.full
def test_a_log_may_end_at_every_byte(beside: Path) -> None:
    cut(beside, 1)
