"""A real ``sshd`` on this machine for tests, and an ``ssh`` in front of the user's own that knows how to reach it."""

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import until

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


class Server:
    """An ``sshd`` that lets this user in, by a key, at the name ``there``; ``Host`` names can be added.

    Args:
        place: Where its files are.
        force: A command that it runs instead of the login shell's, or empty.
        line: A program between ``ssh`` and it, in place of the network; it gets the port as its argument.
    """

    def __init__(self, place: Path, *, force: str = "", line: str = "") -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        for name in ("host", "user"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / f"{name}_key")]
            subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(place / "user_key.pub", place / "authorized_keys")
        self.config = place / "sshd_config"
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {place}/host_key",
            f"AuthorizedKeysFile {place}/authorized_keys",
            f"PidFile {place}/sshd.pid",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            # The directories of a test may be anybody's.
            "StrictModes no",
            "PermitRootLogin yes",
            *([f"ForceCommand {force}"] if force else []),
        ]
        self.config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.known_hosts = place / "known_hosts"
        public = (place / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")
        self.client_config = place / "ssh_config"
        self.add_host("there", line=line)
        self.bin = place / "bin"
        self.bin.mkdir(exist_ok=True)
        wrapper = self.bin / "ssh"
        real = shutil.which("ssh")
        assert real is not None
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(real)} -F {shlex.quote(str(self.client_config))} "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)

    def add_host(self, name: str, *, line: str = "", **options: str) -> None:
        """Add a name to what ``ssh`` knows."""
        values = {
            "HostName": "127.0.0.1",
            "Port": str(self.port),
            "User": getpass.getuser(),
            "IdentityFile": f"{self.place}/user_key",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            **({"ProxyCommand": f"{line} {self.port}"} if line else {}),
            **options,
        }
        with self.client_config.open("a") as file:
            file.write(f"Host {name}\n" + "".join(f"  {key} {value}\n" for key, value in values.items()))

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert SSHD is not None
        # It wants this directory for the processes that have not logged in.
        with contextlib.suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        arguments = [str(Path(SSHD).resolve()), "-D", "-e", "-f", str(self.config)]
        with (self.place / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stderr=log, env=dict(os.environ), start_new_session=True
            )
        until(self._listens, what=f"sshd listens: {(self.place / 'sshd.log').read_text()}")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.place / "sshd.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def stop(self) -> None:
        """End it and every session."""
        if self._process is not None:
            for pid in _descendants(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """End every session; new ones can be made."""
        assert self._process is not None
        for pid in _descendants(self._process.pid)[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found, ahead = [pid], [pid]
    while ahead:
        parent = ahead.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                ahead += (children := [int(child) for child in task.read_text().split()])
                found += children
    return found


@contextmanager
def server(place: Path, monkeypatch: pytest.MonkeyPatch, **options: str) -> Iterator[Server]:
    """Start a server, put its ``ssh`` first, and stop it afterwards; skip the test where there is no ``sshd``."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh (Debian: openssh-server)")
    made = Server(place, **options)
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    made.start()
    try:
        yield made
    finally:
        made.stop()
