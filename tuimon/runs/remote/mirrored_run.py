"""A run on another machine: its log as a local copy, its requests through the shell there."""

import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tuimon.errors import UsageError
from tuimon.protocol.commands import AnyRequest, encode
from tuimon.protocol.events import RunStarted
from tuimon.runs import liveness
from tuimon.runs.remote.address import Address
from tuimon.runs.remote.cache import CachePlace
from tuimon.runs.remote.mirror import Mirror
from tuimon.runs.remote.remote_shell import escaped
from tuimon.runs.remote.ssh_link import LinkLostError, SshLink
from tuimon.runs.run_directory import Blind, RunDirectory
from tuimon.text import plain

QUIET_SECONDS = 6.0
"""A living trainer writes at least every 5 s: only of a log that is silent for longer, its trainer is asked for."""
ASK_SECONDS = 2.0
"""How often the other machine is asked whether the trainer lives."""
DIGEST_SECONDS = 60.0
"""How long it may take to find the newest attempt in a log there."""
_counter = itertools.count()


@dataclass(frozen=True)
class MirroredRun(RunDirectory):
    """A run on another machine.

    Its directory holds a copy of the log, and nothing else: neither checkpoints nor the output of the trainer.
    """

    mirror: Mirror = field(compare=False)
    """Copies the log."""
    trainer: "RemoteTrainer" = field(compare=False)
    """Is asked whether the trainer lives."""
    forget: Callable[[], object] = field(compare=False)
    """Lets go of the place of the copy."""

    def put_request(self, request: AnyRequest) -> Path:
        """Send a request, and return the name of its file there. It waits for no answer: `take_lost`."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_counter)}.json"
        self.mirror.put(name, encode(request), request.id)
        return self.commands / name

    def require_arrived(self, request: Path) -> None:
        """Wait until a request lies where the trainer looks."""
        self.mirror.wait_for_put(request.name)

    def withdraw(self, request: Path) -> bool:
        """Take back a request that was put; return False where the trainer has taken it."""
        return self.mirror.ask("withdraw", request.name) == "ok"

    def is_gone(self, started: RunStarted | None) -> bool:
        """Whether the other machine proves that no trainer writes the log any more."""
        return self.trainer.is_gone(started)

    @property
    def place(self) -> str:
        """The address of the run."""
        return str(self.mirror.address)

    @property
    def is_remote(self) -> bool:
        """True."""
        return True

    @property
    def blind(self) -> Blind | None:
        """Since when nothing is known of it; None where all is known."""
        return self.mirror.blind

    def close(self) -> None:
        """End the connection, and let go of the copy."""
        self.mirror.close()
        self.forget()

    def take_lost(self) -> list[tuple[str, str]]:
        """Return the requests that did not arrive, or of which that is not known: id and why, each once."""
        return self.mirror.take_lost()


class RemoteTrainer:
    """Asks the machine of a run whether its trainer is gone, by the rule of `liveness.is_gone`.

    So where a run trains on a third machine, or there is no `flock` in the other one's shell, nothing is proven.

    Args:
        mirror: Has the connection.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._about: RunStarted | None = None
        self._is_gone = False
        self._asked_at = 0.0

    def is_gone(self, started: RunStarted | None) -> bool:
        """Whether that is proven; what was known last while there is no connection."""
        if started is None or started.lock_error or started.boot_id is None:
            return False
        now = time.monotonic()
        is_new = started != self._about
        if is_new or (now - self._mirror.grown_at > QUIET_SECONDS and now - self._asked_at > ASK_SECONDS):
            try:
                self._is_gone = self._ask(started)
            except LinkLostError:
                self._is_gone = self._is_gone and not is_new
            self._about, self._asked_at = started, time.monotonic()
        return self._is_gone

    def _ask(self, started: RunStarted) -> bool:
        path = escaped(self._mirror.address.path)
        # Whoever waits reads no log meanwhile.
        words = self._mirror.ask("alive", str(next(_counter)), str(started.pid), path, seconds=ASK_SECONDS)
        return proves_gone(words, started, copied=self._mirror.seen_size)


def proves_gone(words: str, started: RunStarted, *, copied: int | None) -> bool:
    """Return whether what the shell says of a trainer proves that it is gone.

    Args:
        words: Whether the log's lock is free, the machine's boot id, the log's size, the line of ``/proc/PID/stat``.
        started: The attempt.
        copied: The size of the log that was copied: its last line may say how the run ended. None: no matter.
    """
    free, boot, size, stat = [*words.split(" ", 3), "", "", ""][:4]
    if free != "1" or boot != started.boot_id or (copied is not None and size != str(copied)):
        return False
    try:
        start = liveness.start_in(stat) if stat.strip() else None
    except (IndexError, ValueError):
        return False
    return start is None or start != started.process_started


def open_link(address: Address) -> tuple[SshLink, str, Address, float]:
    """Connect, and find what an address names there.

    Returns:
        The session; ``run``, or ``newest`` for a directory of runs; the run, with its whole path; how far the clock
        there is ahead, seconds.

    Raises:
        UsageError: There is no connection, or no run; says which.
    """
    try:
        link = SshLink(address, may_ask=True)
    except LinkLostError as error:
        raise UsageError(f"{address}: {error.words}") from None
    try:
        link.send("open", escaped(address.path))
        found, date, path = [*link.answer("open").split(" ", 2), "", ""][:3]
    except LinkLostError as error:
        link.close()
        raise UsageError(f"{address}: {error.words}") from None
    if found not in ("run", "newest"):
        link.close()
        raise UsageError(f"{address}: {_NO_RUN.get(found, 'it cannot be opened there')}")
    skew = float(date) - time.time() if date.isdigit() else 0.0
    return link, found, address.with_path(path_of(path)), skew


def path_of(digits: str) -> str:
    """Return a path that the shell there has written as hexadecimal digits.

    Raises:
        UsageError: It is none.
    """
    try:
        return os.fsdecode(bytes.fromhex(digits))
    except ValueError:
        raise UsageError("the shell there answered what was not expected") from None


_NO_RUN = {
    "none": "there is no such directory there",
    "empty": "there is no run in this directory",
    "other": "it is not a run (it has no session.jsonl)",
    "denied": "this directory may not be entered there",
}


def watched(address: Address, show: Callable[[int, int], object]) -> MirroredRun:
    """Return a run whose whole log is copied, and copied further until it is closed; say which one if it is chosen.

    Args:
        address: A run, or a directory of runs, whose newest is taken.
        show: Told a few times a second how many bytes are copied, of how many.

    Raises:
        UsageError: There is no connection, or no run.
    """
    link, found, run, skew = open_link(address)
    if found == "newest":
        print(f"tuimon: {plain(str(run), 1000)} (the newest there)", file=sys.stderr)
    try:
        place = CachePlace(run)
    except UsageError:
        link.close()
        raise
    mirror = Mirror(run, link, place.run / "session.jsonl", skew=skew)
    return _copied(MirroredRun(place.run, mirror, RemoteTrainer(mirror), place.close), show)


def asked(address: Address) -> MirroredRun:
    """Return a run to send requests to: of its log, only what is written from now on is copied.

    Raises:
        UsageError: There is no connection, or the address names no run.
    """
    link, found, run, skew = open_link(address)
    try:
        if found == "newest":
            raise UsageError(f"{address}: it is a directory of runs; name the run, such as {run}")
        link.send("digest")
        list(link.section(DIGEST_SECONDS))
        facts = [line for line in link.section(DIGEST_SECONDS) if line.startswith(b'{"type":"')]
    except LinkLostError as error:
        link.close()
        raise UsageError(f"{address}: {error.words}") from None
    except UsageError:
        link.close()
        raise
    place = Path(tempfile.mkdtemp(prefix="tuimon-"))
    path = place / run.name
    path.mkdir(mode=0o700)
    digest = b"".join(line + b"\n" for line in facts)
    mirror = Mirror(run, link, path / "session.jsonl", skew=skew, digest=digest)
    forget = partial(shutil.rmtree, place, ignore_errors=True)
    return _copied(MirroredRun(path, mirror, RemoteTrainer(mirror), forget), lambda _copied, _of: None)


def _copied(run: MirroredRun, show: Callable[[int, int], object]) -> MirroredRun:
    """Wait until all of the log is copied, and return the run."""
    try:
        run.mirror.wait(show)
    except BaseException:
        run.close()
        raise
    return run
