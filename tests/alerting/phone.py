"""What gets the alerts in tests: a web server in the place of a phone, and a command that keeps what it is told."""

import json
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tuimon.protocol import events

CURL = shutil.which("curl")
KEEPS = """
import os, sys
open(sys.argv[1] + ".env", "w").write(repr(dict(os.environ)))
open(sys.argv[1], "a").write(sys.stdin.read())
"""
POSTS = "import sys, urllib.request as u; u.urlopen(sys.argv[1], sys.stdin.buffer.read())"


class Phone:
    """A web server of this machine that takes what is posted to it."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        phone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                phone.got.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Phone":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def command(self) -> list[str]:
        """Return a command that posts to it."""
        if CURL is not None:
            return [CURL, "--silent", "--show-error", "--fail", "--data-binary", "@-", self.url]
        return [sys.executable, "-c", POSTS, self.url]


class Kept:
    """A command that keeps what it is told in a file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "kept.jsonl"
        self.command = [sys.executable, "-c", KEEPS, str(self._path)]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that was told so far, in order."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    @property
    def environment(self) -> str:
        """The environment variables of the newest one."""
        return Path(f"{self._path}.env").read_text()


def alert(
    rule: str = "R5", *, severity: str = "warning", what: str = "the gap is large", **fields: Any
) -> events.Alert:
    """Return what the diagnosis finds while it trains."""
    return events.Alert(rule=rule, severity=severity, what=what, evidence={}, advice="freeze", **fields)
