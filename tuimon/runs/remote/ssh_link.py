"""One session of ``ssh`` to another machine, and the shell there that answers."""

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from tuimon.runs.remote.address import Address
from tuimon.runs.remote.remote_shell import COMMAND, first_line
from tuimon.text import plain

CONNECT_SECONDS = 20.0
"""How long TCP may take to connect."""
HELLO_SECONDS = 30.0
"""How long the other machine may take from the start of a session without a person until its shell answers."""
ASKED_SECONDS = 600.0
"""The same where ``ssh`` may ask for a password first."""
ANSWER_SECONDS = 10.0
"""How long the shell there may take for an answer."""
_MOST_NOISE = 256 * 1024
"""Bytes that the start-up files of a login shell may print."""
_LONGEST_WORDS = 400
_READ_BYTES = 256 * 1024
_LOOK_SECONDS = 0.2
_LAST_WORDS_SECONDS = 0.5
"""Within this time after its last words, ssh has ended."""
_NO_SHELL = 127


class LinkLostError(OSError):
    """The session has ended, or could not be made; its text says why."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words
        """Why, in one line."""


class LinkSilentError(LinkLostError):
    """Nothing came in time, though nothing says that the session has ended."""


class SshLink:
    """A session of ``ssh``, with the user's configuration, keys and shared connections.

    Lines go to the shell there with `send`; its answers are taken with `answer`, the bytes that it sends with `line`
    and `exactly`. Lines may be sent from any thread, bytes are taken by one.

    Args:
        address: Where to.
        may_ask: Whether ``ssh`` may ask for a password or about a host's key, on the terminal.
        may_share: Whether a connection that is there already (``ControlMaster``) may be used.

    Raises:
        LinkLostError: There is no session; says why.
    """

    def __init__(self, address: Address, *, may_ask: bool, may_share: bool = True) -> None:
        self._mark = f"tuimon{secrets.token_hex(12)}"
        self._lock = threading.Lock()
        self._heard = threading.Condition()
        self._answers: dict[tuple[str, str], str] = {}
        self._words = ""
        self.mark_words: list[str] = []
        """The words of the last mark that `section` came to."""
        self._buffer = bytearray()
        self._passes_on = may_ask and sys.stdin.isatty()
        self._process = _start(address.destination, may_ask=may_ask, may_share=may_share)
        self._listener = threading.Thread(target=self._listen, name="tuimon-ssh", daemon=True)
        self._listener.start()
        try:
            self._write(first_line(self._mark))
            self._await_hello(ASKED_SECONDS if may_ask else HELLO_SECONDS)
        except LinkLostError:
            self.close()
            raise

    def send(self, *words: str) -> None:
        """Send a line of words without blanks.

        Raises:
            LinkLostError: The session has ended.
        """
        self._write(" ".join(words).encode() + b"\n")

    def send_request(self, name: str, data: bytes) -> None:
        """Send a request, which has no newline in it, to be put there as a file of that name.

        Raises:
            LinkLostError: The session has ended.
        """
        self._write(f"put {name}\n".encode() + data + b"\n")

    def answer(self, verb: str, tag: str = "", *, seconds: float = ANSWER_SECONDS) -> str:
        """Return what the shell answered behind ``verb`` and ``tag``, once it has.

        Raises:
            LinkLostError: The session has ended, or nothing came in time.
        """
        deadline = time.monotonic() + seconds
        with self._heard:
            while (verb, tag) not in self._answers and self.is_alive and time.monotonic() < deadline:
                self._heard.wait(_LOOK_SECONDS)
            found = self._answers.pop((verb, tag), None)
        if found is None:
            raise LinkLostError(f"no answer in {seconds:g} s" if self.is_alive else self.why)
        return found

    def answered(self, verb: str, tag: str) -> str | None:
        """Return what the shell has answered by now behind ``verb`` and ``tag``, once; None where it has not."""
        with self._heard:
            return self._answers.pop((verb, tag), None)

    @property
    def is_alive(self) -> bool:
        """Whether the session goes on."""
        # Not by its standard error: a shared connection that stays may hold that open.
        return self._process.poll() is None

    @property
    def why(self) -> str:
        """Why the session has ended, in one line."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        # What it said last is said after its output ended.
        self._listener.join(1.0)
        if self._words:
            return self._words
        code = self._process.poll()
        if code == _NO_SHELL:
            return "the other machine has no /bin/sh"
        return "the connection broke" if code in (None, 255, 0) or code < 0 else f"ssh ended with exit status {code}"

    def line(self, seconds: float) -> str:
        """Return the next line of the bytes that come.

        Raises:
            LinkLostError: The session has ended, or no line came in time.
        """
        deadline = time.monotonic() + seconds
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill(deadline, seconds)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.decode(errors="surrogateescape")

    def exactly(self, size: int, seconds: float) -> bytes:
        """Return the next ``size`` bytes; ``seconds`` is how long nothing may come.

        Raises:
            LinkLostError: The session has ended, or nothing came in time.
        """
        while len(self._buffer) < size:
            self._fill(time.monotonic() + seconds, seconds)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def section(self, seconds: float) -> Iterator[bytes]:
        """Yield lines up to the next mark; what stands behind that is the answer `mark_words` then.

        Raises:
            LinkLostError: The session has ended, or nothing came in time.
        """
        begin = f"{self._mark} "
        while not (line := self.line(seconds)).startswith(begin):
            yield line.encode(errors="surrogateescape")
        self.mark_words = line.removeprefix(begin).split(" ")

    def close(self) -> None:
        """End the session. The shell there ends with its input."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if threading.current_thread() is not self._listener:
            self._listener.join(1.0)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _await_hello(self, seconds: float) -> None:
        """Skip what the login shell prints before the script begins."""
        said, deadline, last = 0, time.monotonic() + seconds, ""
        while (line := self._hello_line(deadline, last)) != f"{self._mark} hello":
            said, last = said + len(line), line.strip() or last
            if said > _MOST_NOISE:
                raise LinkLostError("the login shell there prints without end, and no /bin/sh answers")

    def _hello_line(self, deadline: float, last: str) -> str:
        try:
            return self.line(max(0.0, deadline - time.monotonic()))
        except LinkSilentError:
            raise LinkSilentError("no shell answers there") from None
        except LinkLostError as error:
            # An account without a shell says so on its output.
            said = last or self._buffer.decode(errors="replace").strip()
            if said and not self._words:
                raise LinkLostError(f"no shell answers there; it said: {plain(said, _LONGEST_WORDS)}") from None
            raise error

    def _fill(self, deadline: float, seconds: float) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise LinkSilentError(f"nothing came for {seconds:.0f} s")
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            raise LinkLostError(self.why)
        self._buffer += data

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            with self._lock:
                self._process.stdin.write(data)
                self._process.stdin.flush()
        except (OSError, ValueError):
            raise LinkLostError(self.why) from None

    def _listen(self) -> None:
        assert self._process.stderr is not None
        begin = f"{self._mark} ".encode()
        with self._process.stderr as stream:
            for line in stream:
                if line.startswith(begin):
                    self._take(line.removeprefix(begin).decode(errors="surrogateescape").rstrip("\n"))
                elif words := plain(line.decode(errors="replace").strip(), _LONGEST_WORDS):
                    self._words = words
                    if self._passes_on:
                        self._pass_on_later(words)
        with self._heard:
            self._heard.notify_all()

    def _pass_on_later(self, words: str) -> None:
        """Print what ssh says beside its questions, such as how to log in with two factors.

        Its last words are not printed: they are the error.
        """

        def pass_on() -> None:
            if self._passes_on and self.is_alive:
                print(words, file=sys.stderr, flush=True)

        timer = threading.Timer(_LAST_WORDS_SECONDS, pass_on)
        timer.daemon = True
        timer.start()

    def _take(self, answer: str) -> None:
        self._passes_on = False
        verb, _, rest = answer.partition(" ")
        tag = ""
        if verb in ("put", "withdraw", "alive"):
            tag, _, rest = rest.partition(" ")
        with self._heard:
            self._answers[verb, tag] = rest
            # What was said while the session began, such as a greeting, is no reason for its end.
            self._words = ""
            self._heard.notify_all()


def _start(destination: str, *, may_ask: bool, may_share: bool) -> "subprocess.Popen[bytes]":
    may_ask = may_ask and sys.stdin.isatty()
    options = {
        "BatchMode": "no" if may_ask else "yes",
        "ConnectTimeout": f"{CONNECT_SECONDS:.0f}",
        "Compression": "yes",
        # What the user's configuration has for sessions at a terminal.
        "RemoteCommand": "none",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        **({} if may_share else {"ControlPath": "none"}),
    }
    arguments = ["ssh", "-T", *(f"-o{name}={value}" for name, value in options.items()), "--", destination, COMMAND]
    before = None
    try:
        if may_ask and threading.current_thread() is threading.main_thread():
            # It is in the foreground, to ask; Ctrl-C must not end it before a request is withdrawn.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        return subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Without a terminal, nothing asks into the screen.
            start_new_session=not may_ask,
        )
    except FileNotFoundError:
        raise LinkLostError("there is no ssh on this machine; install OpenSSH's client") from None
    except OSError as error:
        raise LinkLostError(f"ssh cannot be started: {error.strerror}") from None
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
