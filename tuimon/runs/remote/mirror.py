"""Copies the log of a run on another machine as it grows, and connects again by itself."""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tuimon.errors import UsageError
from tuimon.runs.log.session_log import decode
from tuimon.runs.remote.address import Address
from tuimon.runs.remote.cache import last_line, whole_lines
from tuimon.runs.remote.remote_shell import HEAD_BYTES, cksum, escaped
from tuimon.runs.remote.ssh_link import ANSWER_SECONDS, LinkLostError, LinkSilentError, SshLink
from tuimon.runs.run_directory import Blind

SILENCE_SECONDS = 15.0
"""The shell there says something every 5 s; after so long without a word, the connection is taken for broken."""
FIRST_PAUSE = 1.0
"""Seconds before the first attempt to connect again; each further pause is twice as long."""
LONGEST_PAUSE = 30.0
_SHORTER_SECONDS = 0.3
"""For so long, the copy of a log that was cut off is empty: its readers, who look more often, notice that."""
_PIECE_BYTES = 64 * 1024


class Mirror:
    """Keeps a local copy of the log of one run on another machine.

    Its thread alone writes the copy, which holds whole lines: at any time, what the log held at some time. When the log
    is replaced, shortened or removed, so is the copy, and whoever reads it sees that as beside the log itself.

    Args:
        address: The run, with its whole path there.
        link: The first session, on which the run was opened.
        log: The copy.
        skew: The other machine's clock minus this one's, seconds.
        digest: Facts with which the copy begins; it goes on with what is written from now on. None copies the whole
            log, from where the copy ends.
    """

    def __init__(
        self, address: Address, link: SshLink, log: Path, *, skew: float = 0.0, digest: bytes | None = None
    ) -> None:
        self.address = address
        """The run."""
        self.seen_size = 0
        """The size of the log there, when it was looked at last and all of it was copied."""
        self.grown_at = time.monotonic()
        """When the copy has grown last, a `time.monotonic`."""
        self.blind: Blind | None = None
        """Since when nothing is known of the run; None while the copy is kept."""
        self._log = log
        self._link: SshLink | None = link
        self._skew = skew
        self._offset: int | None
        """Where the log goes on behind the copy; None for its end."""
        if digest is None:
            self._offset, self._head = whole_lines(log)
        else:
            log.write_bytes(digest)
            self._offset, self._head = None, b""
        self._keeps_head = digest is None
        self._may_share = True
        self._is_former = False
        """Whether the copy is that of a log which is there no more."""
        self._size = 0
        self._lock = threading.Lock()
        self._sent: dict[str, str] = {}
        self._lost: list[tuple[str, str]] = []
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._heard_at = time.time()
        self._is_caught_up = False
        self._thread = threading.Thread(target=self._run, name="tuimon-mirror", daemon=True)
        self._thread.start()

    def wait(self, show: Callable[[int, int], object] = lambda _have, _of: None) -> None:
        """Wait until the copy is all of the log.

        Args:
            show: Told a few times a second how many bytes are there, of how many.

        Raises:
            UsageError: The connection broke before.
        """
        while not self._is_caught_up:
            if self.blind is not None:
                raise UsageError(f"{self.address}: {self.blind.why}")
            with self._changed:
                self._changed.wait(0.2)
            show(self._offset or 0, self._size)

    def close(self) -> None:
        """End the session and the thread."""
        self._stop.set()
        link = self._link
        if link is not None:
            link.close()
        self._thread.join(2.0)

    # Requests

    def put(self, name: str, data: bytes, request_id: str) -> None:
        """Send a request. That it did not arrive is told by `take_lost`.

        Raises:
            LinkLostError: There is no connection.
        """
        link = self._connected()
        with self._lock:
            self._sent[name] = request_id
        link.send_request(name, data)

    def wait_for_put(self, name: str) -> None:
        """Wait until a request that was sent lies there.

        Raises:
            LinkLostError: It does not, or that is not known; says why.
        """
        with self._lock:
            # Whoever waits is told here.
            self._sent.pop(name, None)
        said = self._connected().answer("put", name)
        if said != "ok":
            raise LinkLostError(said.removeprefix("no "))

    def ask(self, verb: str, *words: str, seconds: float = ANSWER_SECONDS) -> str:
        """Return what the shell there answers; the first word names the answer.

        Raises:
            LinkLostError: There is no connection, or no answer in time.
        """
        link = self._connected()
        link.send(verb, *words)
        return link.answer(verb, words[0], seconds=seconds)

    def take_lost(self) -> list[tuple[str, str]]:
        """Return the requests that did not arrive, or of which that is not known: id and why, each once."""
        link = self._link
        with self._lock:
            for name in list(self._sent) if link is not None else ():
                said = link.answered("put", name) if link is not None else None
                if said is not None:
                    request_id = self._sent.pop(name)
                    if said != "ok":
                        self._lost.append((request_id, said.removeprefix("no ")))
            lost, self._lost = self._lost, []
        return lost

    def _connected(self) -> SshLink:
        link = self._link
        if link is None or self.blind is not None:
            raise LinkLostError(f"no connection to {self.address.destination}")
        return link

    # The thread

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                self._follow(self._link or self._connect())
            except (OSError, ValueError) as error:
                if self._is_caught_up:
                    pause = FIRST_PAUSE
                # After a sleep of the laptop, the connection that all sessions share may hang for long.
                self._may_share = not isinstance(error, LinkSilentError)
                self._lose(str(error) or type(error).__name__)
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _connect(self) -> SshLink:
        may_share, self._may_share = self._may_share, True
        link = SshLink(self.address, may_ask=False, may_share=may_share)
        try:
            link.send("open", escaped(self.address.path))
            link.answer("open")
        except LinkLostError:
            link.close()
            raise
        self._link = link
        if self._stop.is_set():
            # It was closed meanwhile.
            link.close()
        return link

    def _lose(self, why: str) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        with self._lock:
            broken = "the connection broke, and whether it arrived is not known"
            self._lost += [(request_id, broken) for request_id in self._sent.values()]
            self._sent = {}
        self._is_caught_up = False
        self._tell_blind(why)

    def _tell_blind(self, why: str) -> None:
        since = self.blind.since if self.blind is not None else self._heard_at
        self.blind = Blind(since, self.address.destination, why)
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _follow(self, link: SshLink) -> None:
        """Take what the other machine says of the log, until the connection breaks."""
        start = "end" if self._offset is None else str(self._offset)
        link.send("follow", start, str(len(self._head)), cksum(self._head) if self._head else "-")
        while not self._stop.is_set():
            kind, _, rest = link.line(SILENCE_SECONDS).partition(" ")
            self._heard_at = time.time()
            match kind:
                case "D":
                    offset, length, size = map(int, rest.split())
                    self._copy(link, offset, length, size)
                case "H":
                    self._note_all_copied(int(rest))
                case "X":
                    self._change(rest)
                case _:
                    raise LinkLostError("the shell there answered what was not expected")

    def _copy(self, link: SshLink, offset: int, length: int, size: int) -> None:
        """Append bytes to the copy."""
        self._size = size
        if self._offset is None:
            self._offset = offset
        if offset != self._offset or length < 0:
            raise LinkLostError("the shell there sent another part of the log than the next one")
        while length:
            data = link.exactly(min(length, _PIECE_BYTES), SILENCE_SECONDS)
            self._heard_at, self.grown_at = time.time(), time.monotonic()
            self._append(data)
            self._offset += len(data)
            length -= len(data)
            if self._keeps_head and len(self._head) < HEAD_BYTES:
                self._head = (self._head + data)[:HEAD_BYTES]

    def _append(self, data: bytes) -> None:
        place = self._log.with_name(".other.jsonl") if self._is_former else self._log
        if self._is_former:
            place.unlink(missing_ok=True)
        with open(place, "ab", buffering=0, opener=_private) as file:
            end = file.tell()
            try:
                if file.write(data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
            except OSError:
                # What is half there would be there twice once it is sent again.
                file.truncate(end)
                raise
        if self._is_former:
            place.replace(self._log)
            self._is_former = False

    def _note_all_copied(self, size: int) -> None:
        self._size = self.seen_size = size
        if not self._is_caught_up:
            with contextlib.suppress(OSError, ValueError):
                # The copy is as old as the log: how long that was silent is measured by the other machine's clock.
                age = max(0.0, time.time() + self._skew - decode(last_line(self._log)).time)
                os.utime(self._log, (time.time() - age,) * 2)
                self.grown_at = time.monotonic() - age
        self._is_caught_up, self.blind = True, None
        self._notify()

    def _change(self, why: str) -> None:
        """Do to the copy what was done to the log."""
        match why:
            case "replaced":
                # The former copy stays until the other log's begin takes its place: its readers compare the two.
                self._offset, self._head, self._keeps_head, self._is_former = 0, b"", True, True
            case "shorter":
                self._log.write_bytes(b"")
                self._offset, self._head, self._keeps_head = 0, b"", True
                self._stop.wait(_SHORTER_SECONDS)
            case "removed" | "directory":
                # A log that comes back is compared with what was copied of it.
                self._log.unlink(missing_ok=True)
                self._offset, self._head, self._keeps_head = 0, b"", True
                self._note_all_copied(0)
            case _:
                self._tell_blind("its log cannot be read there")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
