"""What a user's own script prints is kept in its run directory, and the script and its terminal do not notice."""

import contextlib
import errno
import io
import logging
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from helpers import environment, read_log, until
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import printed_lines
from tuimon.trainer.session import console as module
from tuimon.trainer.session.console import BoundedFile, Console, collapsed
from tuimon.trainer.standard_error import say_error

STARTED = """
import os, sys
from pathlib import Path
from tuimon.trainer.session.console import Console
console = Console(Path(sys.argv[1]))
if sys.argv[2] == "on":
    console.start()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trainer.log"


@contextlib.contextmanager
def kept(path: Path, **limits: Any) -> Iterator[Console]:
    console = Console(path, **limits)
    console.start()
    try:
        yield console
    finally:
        console.stop()


def a_stream(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """Put a stream of the kind that a terminal has in the place of pytest's, which puts its own there before a test."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def shown(stream: io.TextIOWrapper) -> str:
    buffer: Any = stream.buffer
    return str(buffer.getvalue().decode())


def in_a_terminal(script: str, path: Path, console: str, *typed: bytes) -> bytes:
    """Return what a terminal is sent while a script runs in it, and type lines once it asks for one."""
    pid, terminal = pty.fork()
    if pid == 0:
        arguments = [sys.executable, "-c", STARTED + script, str(path), console]
        os.execve(sys.executable, arguments, {**environment(), "TERM": "xterm-256color"})
    sent, left = b"", list(typed)
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, sent
        try:
            data = os.read(terminal, 65536)
        except OSError:  # The script has ended.
            break
        if not data:
            break
        sent += data
        if left and sent.endswith((b"? ", b"(Pdb) ")):
            os.write(terminal, left.pop(0))
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, sent
    assert not left
    return sent


BARS = r"""
import time
print("\x1b[31mred\x1b[0m", sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size().columns > 0)
print("a part", end="", flush=True)
print(" and the rest")
for i in range(5):
    sys.stdout.write("\b" * 9 + f"\r{i + 1}/5 loss: 0.{i}")
    sys.stdout.flush()
print(); sys.stderr.writelines(["two\n", "lines\n"])
# Two nested bars, as tqdm draws them.
for i in range(3):
    sys.stderr.write(f"\router {i + 1}/3\n\rinner {i + 1}/3\x1b[A"); sys.stderr.flush()
sys.stderr.write("\n\n")
"""
ASKS = r"""
name = input("name? ")
print("hello", name, flush=True)
import pdb
value = 7
pdb.Pdb(nosigint=True, readrc=False).set_trace()
print("went on")
"""


@pytest.mark.parametrize(
    ("script", "typed", "words"),
    [
        (BARS, (), ["a part and the rest", "5/5 loss: 0.4", "two", "outer 3/3", "inner 3/3"]),
        (ASKS, (b"Ada\n", b"p value * 6\n", b"c\n"), ["hello Ada", "42", "went on"]),
    ],
    ids=["bars", "input and pdb"],
)
def test_a_terminal_is_sent_the_same_bytes(path: Path, script: str, typed: tuple[bytes, ...], words: list[str]) -> None:
    without = in_a_terminal(script, path, "off", *typed)
    assert not path.exists()
    assert in_a_terminal(script, path, "on", *typed) == without
    lines = "\n".join(printed_lines(path.read_bytes()))
    for each in words:
        assert each in lines


def test_what_fit_prints_is_kept_and_the_stream_is_the_one_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    seen: list[Any] = []

    def told(epoch: int, logs: Any) -> None:
        print(f"told of epoch {epoch}")
        logging.getLogger("of the user").warning("a warning of %s", epoch)
        seen.append(sys.stdout)

    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger("of the user").addHandler(handler)
    callbacks = [tuimon.Monitor(path.parent / "run"), keras.callbacks.LambdaCallback(on_epoch_end=told)]
    model.fit(np.ones((8, 2)), np.ones(8), epochs=2, callbacks=callbacks)
    logging.getLogger("of the user").removeHandler(handler)
    print("after fit")
    assert seen == [stdout, stdout]
    assert "write" not in vars(stdout)
    assert "write" not in vars(sys.stderr)
    run = RunDirectory(path.parent / "run")
    text = "\n".join(printed_lines(run.trainer_log.read_bytes()))
    for words in ("Epoch 1/2", "told of epoch 1", "a warning of 0", "1/1"):
        assert words in text
        assert words in shown(stdout) or "warning" in words
    assert "after fit" not in text
    assert run.trainer_log.stat().st_mode & 0o777 == 0o600
    (began,) = [event for event in read_log(run) if isinstance(event, events.RunStarted)]
    assert began.console == "python"


def test_a_monitor_without_a_console_keeps_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append("write" in vars(stdout)))
    monitor = tuimon.Monitor(path.parent / "run", console=False)
    model.fit(np.ones((8, 2)), np.ones(8), callbacks=[monitor, look])
    run = RunDirectory(path.parent / "run")
    assert seen == [False]
    assert not run.trainer_log.exists()
    assert next(event.console for event in read_log(run) if isinstance(event, events.RunStarted)) == "off"


def test_a_stream_that_is_put_in_place_meanwhile_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    with kept(path):
        elsewhere = io.StringIO()
        with contextlib.redirect_stdout(elsewhere):
            print("redirected")
        print("back")
        other = sys.stdout = io.StringIO()  # type: ignore[assignment]
        print("replaced for good")
    assert sys.stdout is other
    assert "write" not in vars(other)
    assert "write" not in vars(stdout)
    assert elsewhere.getvalue() == "redirected\n"
    assert path.read_text() == shown(stdout) == "back\n"


def test_the_wrapper_of_another_library_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wandb shadows `write`, too, and calls the one that it found."""
    stdout = a_stream(monkeypatch)
    heard: list[str] = []

    def wrap() -> Any:
        found = stdout.write

        def write(text: str) -> int:
            heard.append(text)
            return found(text)

        stdout.write = write  # type: ignore[method-assign]
        return write

    before = wrap()
    with kept(path):
        print("one")
    assert vars(stdout)["write"] is before
    for round_ in range(3):
        with kept(path):
            print("two")
            if round_ == 0:
                over = wrap()
        print("not kept")
        assert vars(stdout)["write"] is over
    assert path.read_text() == "one\n" + 3 * "two\n"
    assert shown(stdout) == "one\n" + 3 * "two\nnot kept\n"
    # Once by the library's first wrapper, and, from the second print on, once by its other one: no layer was added.
    assert heard.count("two") == 1 + 2 * 2


def test_two_at_once_keep_both_and_leave_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    first, second = Console(tmp_path / "first"), Console(tmp_path / "second")
    first.start()
    second.start()
    print("both")
    first.stop()
    print("one")
    second.stop()
    assert "write" not in vars(stdout)
    assert (tmp_path / "first").read_text() == "both\n"
    assert (tmp_path / "second").read_text() == "both\none\n"


class Cell:
    """A stream as a notebook has it: not a file, and without a descriptor."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


class Proxy:
    """A stream that hands every attribute to the one behind it, setting included."""

    def __init__(self, behind: Any) -> None:
        object.__setattr__(self, "behind", behind)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "behind"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "behind"), name, value)


def test_the_stream_of_a_notebook_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell()
    monkeypatch.setattr(sys, "stdout", cell)
    with kept(path):
        print("in a cell")
    assert vars(cell) == {"text": "in a cell\n"}
    assert path.read_text() == "in a cell\n"


def test_a_notebook_that_takes_the_stream_back_after_a_cell_is_kept_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPython shadows `write` during a cell, and then puts back what it found, over ours."""
    cell = Cell()
    monkeypatch.setattr(sys, "stdout", cell)

    @contextlib.contextmanager
    def a_cell() -> Iterator[None]:
        found = cell.write
        cell.write = lambda text: found(text)  # type: ignore[method-assign]
        yield
        cell.write = found  # type: ignore[method-assign]

    console = Console(path)
    with a_cell():
        console.start()
        print("one")
    with a_cell():
        print("not kept")
        console.start()
        console.start()
        print("two")
        console.stop()
    with a_cell(), kept(path):
        print("three")
    assert cell.text == "one\nnot kept\ntwo\nthree\n"
    assert path.read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("kind", ["none", "proxy", "slots"])
def test_a_stream_that_cannot_be_kept_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    cell = Cell()
    slots = type("Slots", (), {"__slots__": (), "write": staticmethod(cell.write)})
    stream = {"none": None, "proxy": Proxy(cell), "slots": slots()}[kind]
    monkeypatch.setattr(sys, "stdout", stream)
    with kept(path):
        print("printed")
        print("an error", file=sys.stderr)
    assert sys.stdout is stream
    assert cell.text == ("" if kind == "none" else "printed\n")
    assert "an error" in path.read_text()


def test_the_capture_of_pytest_sees_the_same(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with kept(path):
        print("seen")
        print("an error", file=sys.stderr)
    assert capsys.readouterr() == ("seen\n", "an error\n")
    assert path.read_text() == "seen\nan error\n"


def test_errors_of_the_stream_are_the_scripts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    with kept(path):
        with pytest.raises(TypeError, match="must be str"):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
        assert sys.stdout.write("five!") == 5
        stdout.close()
        with pytest.raises(ValueError, match="closed file"):
            print("too late")
    assert path.read_text() == "five!"


class Takes(Cell):
    """A stream that takes its text by any name, and more than text; it has no encoding, descriptor or `isatty`."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def write(self, text: Any = "", *more: Any, **by_name: Any) -> int:
        self.given.append((text, more, by_name))
        return 7

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


class OddText(str):
    """Text with methods that fail."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __getitem__(self, key: Any) -> str:
        raise RuntimeError("no part")


def test_whatever_is_written_reaches_the_stream_and_what_is_text_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream: Any = Takes()
    monkeypatch.setattr(sys, "stdout", stream)

    def write() -> list[Any]:
        stream.given = []
        odd = OddText("odd\n")
        calls = [("one\n",), (b"two\n",), (bytearray(b"\xff\n"),), (None,), (3,), ([],), (odd,), ("four\n", 1), ()]
        taken = [stream.write(*call) for call in calls]
        taken += [stream.write(text="five\n"), stream.write(other="six\n"), stream.write(text=object())]
        stream.writelines(["seven\n", b"eight\n"])
        return [taken, len(stream.given), [type(text) for text, _, _ in stream.given]]

    expected = write()
    with kept(path):
        assert write() == expected
    assert path.read_text().split() == ["one", "two", "\ufffd", "odd", "four", "five", "six", "seven", "eight"]


@pytest.mark.parametrize("name", ["write", "__hash__", "__eq__", "__dict__"])
def test_a_stream_that_fails_is_not_touched_and_not_our_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("a stream of the user's")

    changed = {name: property(fails) if name in ("write", "__dict__") else fails}
    stream = type("Failing", (Cell,), {"__hash__": object.__hash__, **changed})()
    other = stream if name != "__eq__" else Cell()
    monkeypatch.setattr(sys, "stdout", stream)
    console = Console(path)
    console.start()
    monkeypatch.setattr(sys, "stdout", other)
    sys.stderr.write("kept\n")
    console.stop()
    assert "kept" in path.read_text()
    if name != "__dict__":
        assert "write" not in vars(stream)


def test_without_a_stdout_the_rest_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "stdout")
    with kept(path):
        sys.stderr.write("kept\n")
    assert path.read_text() == "kept\n"
    monkeypatch.delattr(sys, "stderr")
    say_error(RuntimeError("nobody hears it"))


def test_text_that_cannot_be_written_costs_no_later_text(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_stream(monkeypatch)
    failed = threading.Event()

    def once(text: str) -> str:
        if "lost" in text:
            failed.set()
            raise MemoryError
        return text

    monkeypatch.setattr(module, "collapsed", once)
    with kept(path, flush_seconds=0.001):
        print("lost")
        assert failed.wait(60)
        print("kept")
    assert path.read_text() == "kept\n"


def test_a_broken_pipe_ends_a_script_as_without_us(path: Path) -> None:
    script = STARTED + 'for i in range(100_000): print("y" * 100)'

    def run(console: str) -> tuple[int, str]:
        arguments = [sys.executable, "-c", script, str(path), console]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            error = process.stderr.read().decode()
        return process.returncode, error.splitlines()[-1]

    assert run("on") == run("off")
    # Python's last words on the way out are of the script as well.
    assert "BrokenPipeError" in path.read_text()


def test_a_full_disk_costs_the_copy_and_not_the_print(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    full = threading.Event()
    refused = threading.Event()
    write = os.write

    def maybe(descriptor: int, data: Any) -> int:
        if full.is_set() and threading.current_thread().name == "tuimon-console":
            refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(module, "os", SimpleNamespace(**{**vars(os), "write": maybe}))
    with kept(path, flush_seconds=0.01):
        print("before")
        until(lambda: path.exists() and path.read_text() == "before\n")
        full.set()
        print("lost")
        assert refused.wait(60)
        until(lambda: full.is_set() and refused.is_set())
        full.clear()
        print("after")
    assert shown(stdout) == "before\nlost\nafter\n"
    assert path.read_text() == "before\n\n[tuimon: 5 bytes were left out here: No space left on device]\nafter\n"


def test_a_fork_prints_and_keeps_nothing(path: Path) -> None:
    script = STARTED + (
        "import multiprocessing\n"
        "def work(): print('in the child', flush=True)\n"
        "print('in the parent', flush=True)\n"
        "child = multiprocessing.get_context('fork').Process(target=work)\n"
        "child.start(); child.join(30)\n"
        "print('exit code', child.exitcode)\n"
    )
    arguments = [sys.executable, "-c", script, str(path), "on"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=60, check=True)
    assert done.stdout == "in the parent\nin the child\nexit code 0\n"
    # At the exit of the interpreter, what is left is written, though nobody called stop.
    assert path.read_text() == "in the parent\nexit code 0\n"


def test_all_threads_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_stream(monkeypatch)
    with kept(path, flush_seconds=0.001):
        threads = [threading.Thread(target=lambda n=n: [print(f"{n}:{i}") for i in range(500)]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(path.read_text().split()) == sorted(f"{n}:{i}" for n in range(4) for i in range(500))


def test_a_print_from_a_signal_handler_waits_for_nobody(path: Path) -> None:
    script = STARTED + (
        "import signal\n"
        "signal.signal(signal.SIGALRM, lambda *_: print('tick'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "for i in range(20_000): sys.stderr.write('x\\n')\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print('through')\n"
    )
    arguments = [sys.executable, "-c", script, str(path), "on"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=60, check=True)
    assert done.stdout.endswith("through\n")
    assert path.read_text().count("x\n") == 20_000


def test_a_long_log_keeps_its_beginning_and_its_newest_part(path: Path) -> None:
    file = BoundedFile(path, maximum_bytes=10_000, first_bytes=1_000, newest_bytes=4_000)
    printed = 0
    for number in range(10_000):
        line = b"line %05d\n" % number
        printed += len(line)
        file.append(line)
        assert path.stat().st_size < 10_100
    file.close()
    lines = path.read_text().splitlines()
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line")]
    (left_out,) = [line for line in lines if "left out" in line]
    assert numbers[:90] == list(range(90))
    assert numbers[-1] == 9_999
    (gap,) = [index for index in range(1, len(numbers)) if numbers[index] != numbers[index - 1] + 1]
    assert gap == 90
    missing = (10_000 - len(numbers)) * 11
    # The sentence of each cut is among the bytes of the next one.
    assert missing <= int(left_out.split()[1].replace(",", "")) <= missing * 1.05
    assert [each.name for each in path.parent.iterdir()] == ["trainer.log"]


def test_a_link_is_not_written_through(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = a_stream(monkeypatch)
    other = tmp_path / "other"
    other.write_text("of somebody")
    path.symlink_to(other)
    with kept(path):
        print("printed")
    assert shown(stdout) == "printed\n"
    assert other.read_text() == "of somebody"


def test_a_text_without_measure_keeps_its_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_stream(monkeypatch)
    with kept(path):
        print("<" + "x" * 10_000_000 + ">")
    text = path.read_text()
    assert len(text) < 200_000
    assert text.startswith("<x")
    assert "9,900,002 characters were left out here" in text
    assert text.endswith("x>\n")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a\nb", "a\nb"),
        ("1/3\r2/3\r3/3\n", "\r3/3\n"),
        ("windows\r\nlines\r\n", "windows\r\nlines\r\n"),
        ("upper\n\rlower\x1b[A\rupper 2\n", "upper\n\rlower\x1b[A\rupper 2\n"),
        ("\x1b[1m1/2\x1b[0m\r\x1b[1m2/2\x1b[0m", "\r\x1b[1m2/2\x1b[0m"),
    ],
)
def test_of_a_progress_bar_the_newest_state_is_kept(printed: str, shown: str) -> None:
    assert collapsed(printed) == shown
    assert printed_lines(collapsed(printed).encode()) == printed_lines(printed.encode())
