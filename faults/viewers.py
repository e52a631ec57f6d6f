"""A viewer that is killed, and a terminal or a connection that is cut: training does not notice."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from faults import ROOT, logs
from faults.place import MARK, PATIENCE_SECONDS, Place, Watching, ended, processes_of, waited
from faults.results import Fault, Skipped, Tried
from faults.trainings import Keras, Plain, Training, differs, undisturbed
from tuimon.protocol import events
from ui.terminals import Terminal, terminal

ENDS = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL", "closed terminal")
USUAL_MODES = {7, 25}
"""Modes of a terminal that are on in every one: long lines are wrapped, the cursor is shown."""
PLAIN = {"epochs": 600, "steps": 4}
KERAS_EPOCHS = 200


def _modes_left(written: bytes) -> set[int]:
    """Return the modes that a viewer has left on: alternate screen, mouse, pasted text."""
    modes = {int(number): on == b"h" for number, on in re.findall(rb"\x1b\[\?(\d+)([hl])", written)}
    return {number for number, on in modes.items() if on} - USUAL_MODES


def _drain(there: Terminal) -> None:
    """Read what the viewer writes until it has ended and nothing is left."""
    with contextlib.suppress(OSError):
        there.read_until(lambda: there.process.poll() is not None)
        size = -1
        while size != len(there.written):
            size = len(there.written)
            there.read(0.05)


def _ended_by(end: str, there: Terminal) -> str:
    """End a viewer, and return what is wrong with what it leaves; empty if nothing is."""
    if end == "closed terminal":
        os.close(there.ours)
        os.close(there.theirs)
        # Its context closes them once more.
        there.ours, there.theirs = os.open(os.devnull, os.O_RDWR), os.open(os.devnull, os.O_RDWR)
        try:
            there.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return "a viewer without a terminal does not end"
        return ""
    there.process.send_signal(signal.Signals[end])
    _drain(there)
    if end == "SIGKILL":
        return ""  # Nobody can put a terminal right after that.
    left = _modes_left(bytes(there.written))
    if left or termios.tcgetattr(there.theirs) != there.settings:
        return f"{end} leaves the terminal in modes {sorted(left)}"
    return "a traceback is left on the terminal" if b"Traceback" in there.written else ""


def _watched(training: Training, times: int) -> Iterator[Tried]:
    """Open viewers on a training, and end each in another way."""
    for number in range(times):
        end = ENDS[number % len(ENDS)]
        with terminal(training.run, **{MARK: str(training.place.path)}) as there:
            there.read_until(lambda there=there: "● training" in there.shown and "quit" in there.shown)
            since, moments = time.monotonic(), len(training.moments)
            wrong = _ended_by(end, there)
            seconds = time.monotonic() - since
        goes_on = training.goes_on(moments)
        yield Tried(
            disturbed="" if goes_on else f"training makes no step after {end}",
            wrong=wrong or ("" if seconds < PATIENCE_SECONDS else f"a viewer takes {seconds:.0f} s to end after {end}"),
        )


def _whole_history(training: Training) -> str:
    """Return what a new viewer lacks of the history; empty if it has all."""
    viewer = training.place.watch(training.run)
    log = logs.read(training.run)
    batches = [fact for fact in log.facts if isinstance(fact, events.Batches)]
    step = batches[-1].first_step + batches[-1].batches if batches else -1
    reached = waited(lambda: _step_shown(viewer) >= step, 30.0)
    viewer.process.kill()
    if not reached or sum(fact.batches for fact in batches) != step:
        return f"a new viewer shows step {_step_shown(viewer)} of {step}"
    return log.wrong or viewer.traceback


def _step_shown(viewer: Watching) -> int:
    """Return the last step in a viewer's lines."""
    found = re.findall(r"(?<!last )step ([\d,]+)", "\n".join(line for _, line in [*viewer.lines]))
    return int(found[-1].replace(",", "")) if found else -1


def keras(place: Place, times: int) -> Iterator[Tried]:
    """End viewers of a real Keras training; its weights are those of one that nobody watched."""
    training = Keras(place, epochs=KERAS_EPOCHS, pause=0.02)
    alone = Keras(place, "unwatched", epochs=KERAS_EPOCHS)
    alone.let_go()
    alone.launch()
    training.start()
    yield from _watched(training, times)
    wrong = _whole_history(training)
    failed = training.finish() or alone.finish()
    note = f"in turns by {', '.join(ENDS)}"
    yield Tried(times=0, wrong=wrong, disturbed=failed or differs(training, alone), note=note)


def plain(place: Place, times: int) -> Iterator[Tried]:
    """End viewers of a training without a framework."""
    training, alone = Plain(place, step_seconds=0.02, holds=True, **PLAIN), undisturbed(place, **PLAIN)
    training.start()
    yield from _watched(training, times)
    wrong = _whole_history(training)
    yield Tried(times=0, wrong=wrong, disturbed=training.finish() or differs(training, alone))


SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/client_key.pub
PidFile {directory}/sshd.pid
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
StrictModes no
"""


class Server:
    """An `sshd` of our own on this machine, for one fault."""

    def __init__(self, place: Place) -> None:
        self.program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
        if self.program is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
            raise Skipped("OpenSSH's server and client are not installed here")
        self.directory = place.directory("ssh")
        self.directory.chmod(0o700)
        for name in ("host_key", "client_key"):
            line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name]
            subprocess.run(line, check=True, capture_output=True)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = self.directory / "config"
        config.write_text(SSHD.format(port=self.port, directory=self.directory))
        self.process = place.start([self.program, "-D", "-e", "-f", config])
        if not waited(self.answers, 10.0):
            raise Skipped("an sshd of one's own does not start here")
        self._place = place

    def answers(self) -> bool:
        """Whether somebody can connect."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def line(self, command: str) -> list[str]:
        """Return the line of a client that runs a command in a terminal."""
        options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={self.directory}/known", "LogLevel=ERROR"]
        flags = [part for option in options for part in ("-o", option)]
        where = ["-p", str(self.port), "-i", str(self.directory / "client_key"), "127.0.0.1"]
        return ["ssh", "-tt", "-F", "none", *flags, *where, command]

    def cut(self) -> None:
        """Kill the processes of all connections, as a machine that is gone does."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.name().startswith("sshd"):
                    process.kill()


def ssh(place: Place, times: int) -> Iterator[Tried]:
    """Watch over SSH, and cut the connection in the middle."""
    server = Server(place)
    training, alone = Plain(place, step_seconds=0.02, holds=True, **PLAIN), undisturbed(place, **PLAIN)
    training.start()
    words = " ".join(f"{name}={value}" for name, value in _remote(place).items())
    command = f"env {words} {sys.executable} -m tuimon watch {training.run.path}"
    for _ in range(times):
        shown = bytearray()
        ours, theirs = os.openpty()
        with ended(place.start(server.line(command), stdin=theirs, stdout=theirs, stderr=theirs)) as client:
            os.close(theirs)
            reader = threading.Thread(target=_read_all, args=(ours, shown), daemon=True)
            reader.start()
            opened = waited(lambda shown=shown: b"bn_1" in shown, 30.0)
            if not opened:
                raise Skipped(f"nobody can log in: {bytes(shown[-200:])!r}")
            viewers = _viewers_of(place)
            moments, since = len(training.moments), time.monotonic()
            server.cut()
            is_gone = waited(lambda viewers=viewers: not any(each.is_running() for each in viewers), 30.0)
            seconds = time.monotonic() - since
            client.wait(PATIENCE_SECONDS)
        os.close(ours)
        goes_on = training.goes_on(moments)
        yield Tried(
            disturbed="" if goes_on else "training makes no step after a connection was cut",
            wrong="" if is_gone else "a viewer whose connection was cut does not end",
            note="the far viewer ends with its connection" if seconds < 30.0 else "",
        )
    wrong = _whole_history(training)
    yield Tried(times=0, wrong=wrong, disturbed=training.finish() or differs(training, alone))


def _remote(place: Place) -> dict[str, str]:
    return {MARK: str(place.path), "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


def _viewers_of(place: Place) -> list[psutil.Process]:
    """Return the viewers that run on the far side."""
    found = []
    for number in processes_of(place.path):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(number)
            line = process.cmdline()
            if "watch" in line and Path(line[0]).name.startswith("python"):
                found.append(process)
    return found


def _read_all(descriptor: int, into: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(descriptor, 65536):
            into += data


FAULTS = [
    Fault(
        "viewer-plain",
        "viewer ended by SIGTERM, SIGHUP, SIGQUIT, SIGKILL, a closed terminal; training without a framework",
        plain,
        times=20,
        seconds=120,
    ),
    Fault("viewer-keras", "viewer ended in the same ways; training with Keras", keras, times=20, seconds=150),
    Fault("viewer-ssh", "SSH connection cut (sshd's process killed)", ssh, times=5, seconds=90),
]
