"""What an export takes: each format of a run of 100,000 steps × 8 metrics, by the real command.

Parquet needs the package pyarrow, which the group ``bench`` brings. What TensorBoard's own reader takes to read the
export again is beside it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import terminal
from terminal import METRICS, STEPS

from tuimon.cli.export import FORMATS
from tuimon.runs.run_directory import RunDirectory

ROUNDS = 3
READ_AGAIN = """
import sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
for kind in ("train", "validation"):
    EventAccumulator(f"{sys.argv[1]}/{kind}", size_guidance={"scalars": 0, "tensors": 0, "histograms": 0}).Reload()
"""


def taken(arguments: list[str]) -> tuple[float, float]:
    """Return the seconds and the megabytes of memory at most that a process took."""
    began = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.monotonic() - began, used.ru_maxrss / 1000


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(size_of(inner) for inner in path.iterdir())


def formats(run: RunDirectory, directory: Path) -> None:
    """Print what each format takes, in turns."""
    chosen = [name for name in FORMATS if name != "parquet" or find_spec("pyarrow")]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for number in range(ROUNDS):
        for name in chosen:
            out = str(directory / f"{name}-{number}")
            command = [sys.executable, "-m", "tuimon", "export", str(run.path), "--to", name, "--out", out]
            found[name].append(taken(command))
    for name in chosen:
        seconds = statistics.median(each for each, _ in found[name])
        memory = max(each for _, each in found[name])
        size = size_of(directory / f"{name}-0") / 1e6
        print(f"| `--to {name}` | {seconds:.1f} s | {size:.1f} MB | {memory:.0f} MB |")
    if find_spec("tensorboard"):
        again = [taken([sys.executable, "-c", READ_AGAIN, str(directory / "tensorboard-0")]) for _ in range(ROUNDS)]
        seconds, memory = statistics.median(each for each, _ in again), max(each for _, each in again)
        print(f"| TensorBoard's `EventAccumulator` reads that again | {seconds:.1f} s | | {memory:.0f} MB |")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        run = terminal.finished_run(directory)
        size = run.session_log.stat().st_size / 1e6
        print(f"\nexport of {STEPS:,} steps × {len(METRICS)} metrics ({size:.1f} MB), median of {ROUNDS}, in turns\n")
        print("| | time | size | memory at most |\n| --- | --- | --- | --- |")
        formats(run, directory)


if __name__ == "__main__":
    main()
