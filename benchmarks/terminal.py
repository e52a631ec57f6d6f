"""What the screen costs: how soon it is there, and what it sends and computes while it stands.

The real command runs in a terminal of 200×50 cells, of which every byte is counted. Times are given beside those of
a Textual app with one word in it, started in turns with it; shares are of one core, of the viewer alone.
"""

import contextlib
import fcntl
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyte

from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.session_writer import BUDGET_BYTES

ROOT = Path(__file__).parent.parent
COLUMNS, ROWS = 200, 50
STEPS, STEPS_A_SECOND, ROUNDS = 100_000, 40, 5
LIVE_FIRST_STEPS = 1_000
SETTLE_SECONDS, SECONDS = 3.0, 15.0
KEY_PRESSES = 60
QUIET_SECONDS, MOST_UNREAD = 0.05, 200
LINK_BYTES_A_SECOND, LINK_TICK = 2000, 0.05
SLOW_SECONDS = 40.0
MANY_STEPS, MANY_STEPS_A_LINE = 10_000_000, 2_000
QUESTION = re.compile(rb"(?:\x1b\[(\d+);(\d+)H)?\x1b\[6n")
"""What the viewer asks a terminal after a frame: where its cursor is, which it has just put somewhere."""
LONGEST_QUESTION = 16
METRICS = ("loss", "accuracy", "precision", "recall", "mean_squared_error", "top_5", "penalty", "norm")
LAYERS = ("encoder/bn_1", "encoder/bn_2", "decoder/bn_3")
EMPTY_APP = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("ready")
Empty().run()
"""
EMPTY = [sys.executable, "-c", EMPTY_APP]


class Writer:
    """Makes the facts of a run that trains, with noise in every number."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._random = random.Random(0)
        self._seq = 0
        self.step = 0

    def begin(self, time_started: float) -> list[bytes]:
        layers = [
            events.BatchNormLayer(
                path=path, channels=64, momentum=0.99, epsilon=0.001, trainable=True, synchronized=False
            )
            for path in LAYERS
        ]
        return self.lines(
            time_started,
            events.RunStarted(
                protocol=events.PROTOCOL,
                attempt=0,
                name="benchmark",
                host="somewhere",
                pid=os.getpid(),
                process_started=None,
                boot_id=liveness.boot_id(),
                versions={},
                config={},
            ),
            events.ModelBuilt(
                name="model", parameters=1, trainable_parameters=1, batch_norm_layers=layers, other_layers=[]
            ),
            events.FitStarted(
                optimizer="Adam", epochs=1000, initial_epoch=0, steps_per_epoch=100, jit_compile=False, can={}
            ),
            events.StateChanged(state="training"),
        )

    def steps(self, at: float, count: int) -> list[bytes]:
        """Return the lines of ``count`` further steps, with what comes with them."""
        first, self.step = self.step, self.step + count
        metrics: dict[str, list[float | str]] = {
            name: [self._noisy(5.0 / (1 + (first + number) / 2000)) for number in range(count)] for name in METRICS
        }
        facts: list[events.AnyEvent] = [events.Batches(first_step=first, metrics=metrics, batches=count)]
        if first // 10 != self.step // 10:
            facts.append(events.BatchNorm(layers={path: self._statistics() for path in LAYERS}))
        if first // 100 != self.step // 100:
            facts.append(self._epoch_ended())
        return self.lines(at, *facts)

    def epoch(self, at: float) -> list[bytes]:
        return self.lines(
            at, events.BatchNorm(layers={path: self._statistics() for path in LAYERS}), self._epoch_ended()
        )

    def note(self, at: float) -> list[bytes]:
        return self.lines(at, events.Note(text=f"sent-{at:.2f}"))

    def end(self, at: float) -> list[bytes]:
        return self.lines(at, events.RunEnded(status="finished"))

    def lines(self, at: float, *facts: events.AnyEvent) -> list[bytes]:
        lines = []
        for fact in facts:
            fact.seq, fact.time, fact.step, fact.epoch = self._seq, at, self.step, self.step // 100
            self._seq += 1
            lines.append(msgspec.json.encode(fact) + b"\n")
        return lines

    def _noisy(self, value: float) -> float:
        return value * self._random.uniform(0.9, 1.1)

    def _epoch_ended(self) -> events.EpochEnded:
        logs: dict[str, float | str] = {prefix + name: self._noisy(1.0) for name in METRICS for prefix in ("", "val_")}
        return events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=2.5)

    def _statistics(self) -> events.BatchNormStatistics:
        mean = sorted(self._random.gauss(0.0, 1.0) for _ in range(7))
        return events.BatchNormStatistics(
            moving_mean=list(mean),
            moving_variance=[abs(value) + 0.1 for value in mean],
            gamma=None,
            beta=None,
            dead=0,
            non_finite=0,
            mode="training",
        )


def finished_run(directory: Path) -> RunDirectory:
    run = RunDirectory.at(directory / "finished")
    writer, began = Writer(run), time.time() - STEPS / STEPS_A_SECOND
    with run.session_log.open("wb") as log:
        log.writelines(writer.begin(began))
        for first in range(0, STEPS, 4):
            log.writelines(writer.steps(began + first / STEPS_A_SECOND, 4))
        log.writelines(writer.end(began + STEPS / STEPS_A_SECOND))
    return run


def long_run(directory: Path, metrics: int) -> RunDirectory:
    """Make a finished run of `MANY_STEPS` points of so many metrics, written as a run of fast steps is."""
    run = RunDirectory.at(directory / f"long-{metrics}")
    writer, began = Writer(run), time.time() - 40_000
    steps, at_a_time = MANY_STEPS // metrics, MANY_STEPS_A_LINE // metrics
    generator = random.Random(0)
    losses = [round(5 / (1 + number / 500) * generator.uniform(0.9, 1.1), 6) for number in range(at_a_time)]
    line = msgspec.json.encode(losses)
    empty_metrics: dict[str, list[float | str]] = {name: [] for name in METRICS[:metrics]}
    with run.session_log.open("wb") as log:
        log.writelines(writer.begin(began))
        for first in range(0, steps, at_a_time):
            writer.step = first + at_a_time
            fact = events.Batches(first_step=first, metrics=empty_metrics, batches=at_a_time)
            (empty,) = writer.lines(began + first / 250, fact)
            log.write(empty.replace(b":[]", b":" + line))
        log.writelines(writer.end(began + steps / 250))
    return run


def longest_run(directory: Path) -> RunDirectory:
    """Make a finished run with a log as long as a trainer lets it become; single batches are some blocks over again."""
    run = RunDirectory.at(directory / "longest")
    writer, began, size = Writer(run), time.time() - 400_000, 0
    generator = random.Random(0)
    blocks = [msgspec.json.encode([generator.uniform(1.0, 2.0) for _ in range(10)]) for _ in range(997)]
    empty_metrics: dict[str, list[float | str]] = {name: [] for name in METRICS}
    with run.session_log.open("wb") as log:
        log.writelines(writer.begin(began))
        while size < BUDGET_BYTES:
            first, writer.step = writer.step, writer.step + 10
            at = began + writer.step / 250
            (empty,) = writer.lines(at, events.Batches(first_step=first, metrics=empty_metrics, batches=10))
            parts = empty.split(b"[]")
            for number in range(len(METRICS)):
                parts.insert(2 * number + 1, generator.choice(blocks))
            lines = [b"".join(parts)]
            if writer.step % 1000 == 0:
                lines += writer.epoch(at)
            log.writelines(lines)
            size += sum(map(len, lines))
        log.writelines(writer.end(began + writer.step / 250))
    return run


def write_live(path: str) -> None:
    """Be a trainer, until killed."""
    run = RunDirectory.at(Path(path))
    writer = Writer(run)
    log = os.open(run.session_log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    fcntl.flock(log, fcntl.LOCK_EX)
    os.write(log, b"".join(writer.begin(time.time())))
    # A run that has gone on for a while: in its first minute every axis grows every few seconds.
    for _ in range(0, LIVE_FIRST_STEPS, 4):
        os.write(log, b"".join(writer.steps(time.time(), 4)))
    began, noted = time.monotonic(), 0
    while True:
        if noted < int(time.monotonic() - began):
            noted = int(time.monotonic() - began)
            os.write(log, b"".join(writer.note(time.time())))
        due = LIVE_FIRST_STEPS + int((time.monotonic() - began) * STEPS_A_SECOND) - writer.step
        if due > 0:
            os.write(log, b"".join(writer.steps(time.time(), due)))
        time.sleep(0.1)


class Terminal:
    """A process in a terminal."""

    def __init__(self, arguments: list[str], columns: int, rows: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        variables = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), variables.get("PYTHONPATH"))))
        # A program is compiled once, when it is installed or run for the first time, not at every start.
        for name in ("LINES", "COLUMNS", "PYTHONDONTWRITEBYTECODE"):
            variables.pop(name, None)
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, start_new_session=True
        )
        os.close(theirs)
        self.bytes = 0
        """Written so far."""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._unread: list[tuple[float, bytes]] = []
        self._last = b""

    @property
    def shown(self) -> str:
        """What the terminal shows."""
        for _, data in self._unread:
            self._stream.feed(data)
        self._unread.clear()
        return "\n".join(self._screen.display)

    def seconds_until(self, *words: str, without: str | None = None, since: float | None = None) -> float:
        """Return how long after the start, or after another time, the terminal showed all of ``words``.

        And, where they are given, none of ``without``.

        Only cells that change are sent, so words are looked for on the screen, which is slow. That is done afterwards:
        what is written is kept with the time at which it came, and played once there is no more for a moment.
        """
        since = self._began if since is None else since
        deadline = time.perf_counter() + 60
        while True:
            while self.read(QUIET_SECONDS) and len(self._unread) < MOST_UNREAD:
                pass
            while self._unread:
                came, data = self._unread.pop(0)
                self._stream.feed(data)
                display = "\n".join(self._screen.display)
                if all(word in display for word in words) and (without is None or without not in display):
                    return came - since
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{words} were not shown:\n" + "\n".join(self._screen.display))

    def read(self, seconds: float, most: int = 1 << 20) -> bool:
        """Read what comes at once, or until ``seconds`` are over; answer as a terminal does. Return whether it came."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        data = os.read(self._ours, most)
        self._unread.append((time.perf_counter(), data))
        self.bytes += len(data)
        new = self._last + data
        questions = list(QUESTION.finditer(new))
        self._last = new[questions[-1].end() if questions else 0 :][-LONGEST_QUESTION:]
        self.press(b"".join(b"\x1b[%b;%bR" % (found[1] or b"1", found[2] or b"1") for found in questions))
        return True

    def press(self, keys: bytes) -> None:
        """Send keys."""
        if keys:
            os.write(self._ours, keys)

    def seconds_from_help_to_help(self) -> tuple[float, float]:
        """Return how long after its key the help is there, and how long after its key it is gone."""
        found = []
        # The frame of the page may come before what is in it.
        page = ["esc closes", "A line under the cursor"]
        for key, words, without in ((b"?", page, None), (b"?", [], "esc closes")):
            # What came before the key is no answer to it.
            _, began = self.shown, time.perf_counter()
            self.press(key)
            found.append(self.seconds_until(*words, without=without, since=began))
        return found[0], found[1]

    @property
    def megabytes(self) -> float:
        """Memory of the process that is not shared with the disk, at its largest."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024

    def measure(self, seconds: float) -> tuple[float, float]:
        """Return bytes a second and the share of a core, over ``seconds``."""
        bytes_before, cpu_before, began = self.bytes, self._cpu_seconds(), time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            self.read(left)
        return (self.bytes - bytes_before) / seconds, (self._cpu_seconds() - cpu_before) / seconds

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)

    def _cpu_seconds(self) -> float:
        """Of all processes of the terminal: a command may have started others."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def terminal(arguments: list[str], columns: int = COLUMNS, rows: int = ROWS) -> Iterator[Terminal]:
    opened = Terminal(arguments, columns, rows)
    try:
        yield opened
    finally:
        opened.close()


def watch(run: RunDirectory) -> list[str]:
    return [str(Path(sys.executable).with_name("tuimon")), "watch", str(run.path)]


def opening(run: RunDirectory) -> tuple[float, float, float]:
    """Return seconds to the first full screen, to all of the log, and of the empty app: medians."""
    with terminal(watch(run)) as shown:
        shown.seconds_until("✓ finished")
    firsts, wholes, empties = [], [], []
    for _ in range(ROUNDS):
        with terminal(EMPTY) as shown:
            empties.append(shown.seconds_until("ready"))
        with terminal(watch(run)) as shown:
            firsts.append(shown.seconds_until(LAYERS[0], "quit", "loss"))
            wholes.append(shown.seconds_until("✓ finished"))
    return statistics.median(firsts), statistics.median(wholes), statistics.median(empties)


def opening_live(run: RunDirectory) -> float:
    """Return seconds to the first full screen of a run that trains: the median."""
    firsts = []
    for _ in range(ROUNDS):
        with terminal(watch(run)) as shown:
            firsts.append(shown.seconds_until(LAYERS[0], "quit", "loss", "training"))
    return statistics.median(firsts)


@contextmanager
def live_run(directory: Path) -> Iterator[RunDirectory]:
    run = RunDirectory.at(directory)
    trainer = subprocess.Popen([sys.executable, __file__, "write", str(run.path)])
    try:
        while not run.session_log.exists():
            time.sleep(0.05)
        yield run
    finally:
        trainer.kill()
        trainer.wait()


def live(run: RunDirectory) -> tuple[float, float]:
    with terminal(watch(run)) as shown:
        shown.seconds_until(LAYERS[0], "quit")
        shown.measure(SETTLE_SECONDS)
        return shown.measure(SECONDS)


def keys(run: RunDirectory) -> list[float]:
    """Return seconds from a key to what it shows, while data stream in, the shortest first."""
    with terminal(watch(run)) as shown:
        shown.seconds_until(LAYERS[0], "quit")
        shown.measure(SETTLE_SECONDS)
        found = []
        for _ in range(KEY_PRESSES):
            found += shown.seconds_from_help_to_help()
        return sorted(found)


def slow_link(run: RunDirectory, columns: int, rows: int) -> tuple[float, int, float]:
    """Return how old at most what is shown is, on a line of so many bytes a second.

    Also how many different notes were seen, and how long after a key its screen begins to be there. A note that the
    run writes each second says when it did.
    """
    with terminal(watch(run), columns, rows) as shown:
        shown.seconds_until("quit", "sent-")
        shown.measure(SETTLE_SECONDS)
        oldest, began, seen = 0.0, time.monotonic(), set[str]()
        pressed_at, answered = 0.0, 0.0
        while not answered:
            tick = time.monotonic()
            shown.read(LINK_TICK, int(LINK_BYTES_A_SECOND * LINK_TICK))
            display, elapsed = shown.shown, time.monotonic() - began
            sent = re.findall(r"sent-(\d+\.\d\d)", display)
            seen.update(sent)
            if sent and SLOW_SECONDS / 4 < elapsed < SLOW_SECONDS:
                # A note comes each second: one that is shown may be a second old without a newer one.
                oldest = max(oldest, time.time() - max(map(float, sent)) - 1.0)
            if elapsed > SLOW_SECONDS and not pressed_at:
                pressed_at = time.monotonic()
                shown.press(b"?")
            if pressed_at and "help ─" in display:
                answered = time.monotonic() - pressed_at
            time.sleep(max(0.0, LINK_TICK - (time.monotonic() - tick)))
        return oldest, len(seen), answered


def many_points(run: RunDirectory) -> tuple[float, float, list[float]]:
    """Return seconds until all of a long run is read, its memory, and seconds from key to screen."""
    with terminal(watch(run)) as shown:
        # A long log shows its end first.
        shown.seconds_until("✓ finished")
        whole = shown.seconds_until("✓ finished", without="Reading")
        found = []
        shown.press(b"2")
        shown.measure(1.0)
        for _ in range(KEY_PRESSES // 4):
            found += shown.seconds_from_help_to_help()
        return whole, shown.megabytes, sorted(found)


def longest(run: RunDirectory) -> tuple[float, float]:
    """Return seconds until a long log is open on its newest part: the median; and the memory until then."""
    found, megabytes = [], 0.0
    for _ in range(ROUNDS):
        with terminal(watch(run)) as shown:
            found.append(shown.seconds_until("✓ finished", "Reading older"))
            megabytes = max(megabytes, shown.megabytes)
    return statistics.median(found), megabytes


def idle(run: RunDirectory) -> tuple[float, float]:
    with terminal(watch(run)) as shown:
        shown.seconds_until("✓ finished")
        shown.measure(SETTLE_SECONDS)
        return shown.measure(SECONDS)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        run = finished_run(Path(directory))
        size = run.session_log.stat().st_size
        first, whole, empty = opening(run)
        with live_run(Path(directory) / "live") as running:
            first_live = opening_live(running)
            live_bytes, live_share = live(running)
        with live_run(Path(directory) / "keys") as running:
            pressed = keys(running)
        with live_run(Path(directory) / "slow") as running:
            slow = {size: slow_link(running, *size) for size in ((COLUMNS, ROWS), (80, 24))}
        many = {}
        for metrics in (1, len(METRICS)):
            long = long_run(Path(directory), metrics)
            many[metrics] = long.session_log.stat().st_size, *many_points(long)
            long.session_log.unlink()
        long = longest_run(Path(directory))
        longest_size, longest_opened = long.session_log.stat().st_size, longest(long)
        idle_bytes, idle_share = idle(run)
    print(f"{STEPS:,} steps × {len(METRICS)} metrics, a log of {size / 1e6:.0f} MB, {COLUMNS}×{ROWS} cells")
    print(f"  an empty Textual app              {empty:6.2f} s")
    print(f"  tuimon watch, first full screen   {first:6.2f} s   × {first / empty:.2f}")
    print(f"  tuimon watch, all of the log      {whole:6.2f} s   × {whole / empty:.2f}")
    print(f"  of a run that trains              {first_live:6.2f} s   × {first_live / empty:.2f}")
    print(f"live, {STEPS_A_SECOND} steps/s × {len(METRICS)} metrics, {len(LAYERS)} BatchNormalization layers")
    print(f"  to the terminal                   {live_bytes / 1000:6.1f} KB/s")
    print(f"  of a core                         {live_share:6.1%}")
    print(f"a key, until its screen is there, while data stream in ({len(pressed)} presses)")
    print(f"  median, 95th percentile           {_quantiles(pressed)}")
    print(f"a line that takes {LINK_BYTES_A_SECOND:,} bytes a second")
    for (columns, rows), (oldest, notes_seen, answered) in slow.items():
        print(f"  {columns}×{rows}: what is shown is old by {oldest:8.1f} s at most ({notes_seen} notes seen)")
        print(f"  {columns}×{rows}: help begins {answered:19.1f} s after its key")
    for metrics, (many_size, many_seconds, many_megabytes, many_pressed) in many.items():
        print(f"{MANY_STEPS:,} points of {metrics} metrics, a log of {many_size / 1e6:.0f} MB")
        print(f"  all of the log read               {many_seconds:6.1f} s")
        print(f"  memory at most                    {many_megabytes:6.0f} MB")
        print(f"  a key: median, 95th percentile    {_quantiles(many_pressed)}")
    print(f"the longest log that a trainer writes, {longest_size / 1e6:.0f} MB")
    print(f"  open on its newest part           {longest_opened[0]:6.2f} s   × {longest_opened[0] / empty:.2f}")
    print(f"  memory until then                 {longest_opened[1]:6.0f} MB")
    print("a finished run, left open")
    print(f"  to the terminal                   {idle_bytes:6.0f} B/s")
    print(f"  of a core                         {idle_share:6.1%}")


def _quantiles(seconds: list[float]) -> str:
    high = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
    return f"{statistics.median(seconds) * 1e3:6.0f} ms {high * 1e3:6.0f} ms"


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_live(sys.argv[2])
    else:
        main()
