"""W&B LEET beside tuimon: the same numbers, each in its own log, in the same terminal, in turns.

Needs the package wandb, which the group ``bench`` brings; nothing of it leaves this machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import terminal
from terminal import METRICS, SECONDS, SETTLE_SECONDS, STEPS, STEPS_A_SECOND

ROUNDS = 3
READ = "State: Finished"
SHOWN = f"of {len(METRICS)}]"
"""What LEET shows once all of a log is read, and once it knows its metrics."""


def write(directory: str, steps: int) -> None:
    """Be a training process: log so many steps at once, or, for 0, as fast as a live run does, until killed."""
    import random

    import wandb  # type: ignore[import-not-found, unused-ignore]

    generator = random.Random(0)
    settings = wandb.Settings(console="off", x_disable_stats=True, silent=True)
    with wandb.init(project="benchmark", mode="offline", dir=directory, settings=settings) as run:
        began, step = time.monotonic(), 0
        while not steps or step < steps:
            run.log({name: 5.0 / (1 + step / 2000) * generator.uniform(0.9, 1.1) for name in METRICS})
            step += 1
            if not steps and step > terminal.LIVE_FIRST_STEPS:
                due = (step - terminal.LIVE_FIRST_STEPS) / STEPS_A_SECOND
                time.sleep(max(0.0, due - (time.monotonic() - began)))


def log_of(directory: Path) -> Path:
    return next(path for path in (directory / "wandb").iterdir() if path.name.startswith("offline-run"))


def leet(directory: Path) -> list[str]:
    return [sys.executable, "-m", "wandb", "beta", "leet", "run", str(log_of(directory))]


def finished_run(directory: Path) -> Path:
    directory.mkdir()
    subprocess.run([sys.executable, __file__, "write", directory, str(STEPS)], check=True, stdout=subprocess.DEVNULL)
    return directory


@contextmanager
def live_run(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    trainer = subprocess.Popen([sys.executable, __file__, "write", str(directory), "0"], stdout=subprocess.DEVNULL)
    try:
        while not (directory / "wandb").is_dir() or not list(log_of(directory).glob("*.wandb")):
            time.sleep(0.1)
        yield directory
    finally:
        trainer.kill()
        trainer.wait()


def measured(command: list[str], *words: str) -> tuple[float, float]:
    """Return bytes a second and the share of a core, once a command has shown some words and settled."""
    with terminal.terminal(command) as shown:
        shown.seconds_until(*words)
        shown.measure(SETTLE_SECONDS)
        return shown.measure(SECONDS)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["HOME"] = place
        directory = Path(place)
        ours, theirs = terminal.finished_run(directory), finished_run(directory / "theirs")
        opened: dict[str, list[float]] = {"tuimon": [], "LEET": []}
        for _ in range(ROUNDS):
            for name, command, last in (
                ("LEET", leet(theirs), READ),
                ("tuimon", terminal.watch(ours), "✓ finished"),
            ):
                with terminal.terminal(command) as shown:
                    opened[name].append(shown.seconds_until(last))
        first = terminal.opening(ours)[0]
        idle = measured(leet(theirs), READ), measured(terminal.watch(ours), "✓ finished")
        with live_run(directory / "live") as running:
            live_theirs = measured(leet(running), SHOWN)
        with terminal.live_run(directory / "ours-live") as run:
            live_ours = terminal.live(run)
    read = {name: statistics.median(seconds) for name, seconds in opened.items()}
    print(f"W&B LEET {version('wandb')} and tuimon, {terminal.COLUMNS}×{terminal.ROWS} cells")
    print(f"  {STEPS:,} steps × {len(METRICS)} metrics")
    print(f"    all of the log read             {read['LEET']:6.2f} s    {read['tuimon']:6.2f} s")
    print(f"    tuimon, first full screen                   {first:6.2f} s   1/{read['LEET'] / first:.1f} of LEET")
    print(f"  live, {STEPS_A_SECOND} steps/s × {len(METRICS)} metrics")
    print(f"    to the terminal                 {live_theirs[0] / 1000:6.1f} KB/s {live_ours[0] / 1000:6.1f} KB/s")
    print(f"    of a core                       {live_theirs[1]:6.1%}   {live_ours[1]:6.1%}")
    print("  a finished run, left open")
    print(f"    to the terminal                 {idle[0][0]:6.0f} B/s  {idle[1][0]:6.0f} B/s")
    print(f"    of a core                       {idle[0][1]:6.1%}   {idle[1][1]:6.1%}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(sys.argv[2], int(sys.argv[3]))
    else:
        main()
