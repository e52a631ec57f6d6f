"""The runs of a directory on another machine, as a list needs them: logs without what a log has most of."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tuimon.errors import UsageError
from tuimon.protocol.events import RunStarted
from tuimon.runs.listing.tags import FILE_NAME as TAGS
from tuimon.runs.log.session_log import decode, newest_start
from tuimon.runs.remote.address import Address, name_here
from tuimon.runs.remote.mirrored_run import path_of, proves_gone
from tuimon.runs.remote.remote_shell import escaped
from tuimon.runs.remote.ssh_link import LinkLostError, SshLink
from tuimon.runs.run_directory import RunDirectory
from tuimon.temporary import temporary_directory

_LIST_SECONDS = 120.0
"""How long nothing may come while a long log is searched there."""


@dataclass(frozen=True)
class ListedRun(RunDirectory):
    """A run on another machine as it was when the list was made. Its log lacks facts that a list does not need."""

    address: Address = field(compare=False)
    """Where it is."""
    gone: bool = field(compare=False)
    """Whether it is proven there that no trainer writes its log any more."""

    @property
    def place(self) -> str:
        """The address of the run."""
        return str(self.address)

    def is_gone(self, started: RunStarted | None) -> bool:
        """Whether that was proven."""
        return started is not None and self.gone


@contextmanager
def listed(address: Address) -> Iterator[list[ListedRun]]:
    """Give the runs directly in a directory on another machine, those that were written last at the end.

    Raises:
        UsageError: There is no connection, or no such directory.
    """
    try:
        link = SshLink(address, may_ask=True)
    except LinkLostError as error:
        raise UsageError(f"{address}: {error.words}") from None
    with temporary_directory() as place:
        try:
            runs = list(_read(link, address, Path(place)))
        except LinkLostError as error:
            raise UsageError(f"{address}: {error.words}") from None
        finally:
            link.close()
        yield sorted(runs, key=lambda run: (_written(run), run.name))


def _read(link: SshLink, address: Address, place: Path) -> Iterator[ListedRun]:
    asked = time.time()
    link.send("list", escaped(address.path))
    list(link.section(_LIST_SECONDS))
    found: list[Path] = []
    while link.mark_words[0] == "run":
        path = place / name_here(path_of(link.mark_words[-1]))
        path.mkdir(mode=0o700, exist_ok=True)
        found.append(path)
        thin = list(link.section(_LIST_SECONDS))
        newest = list(link.section(_LIST_SECONDS)) if link.mark_words[0] == "newest" else []
        if thin or newest:
            known = {*newest}
            lines = [*(line for line in thin if line and line not in known), *filter(None, newest)]
            (path / "session.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        if link.mark_words[0] == "tags":
            (path / TAGS).write_bytes(b"\n".join(link.section(_LIST_SECONDS)))
    if link.mark_words[0] != "end":
        why = "it is no directory" if link.mark_words[0] == "other" else "there is no such directory there"
        raise UsageError(f"{address}: {why}")
    date = link.mark_words[1] if len(link.mark_words) > 1 else ""
    now = time.time()
    # `date` tells whole seconds, at some time before the answer is here.
    is_alike = not date.isdigit() or asked - 1 <= int(date) <= now
    skew = 0.0 if is_alike else float(date) - now
    for path in found:
        _age(path / "session.jsonl", skew)
        where = address.with_path(f"{address.path}/{path.name}")
        yield ListedRun(path, where, _is_gone(link, where, newest_start(path / "session.jsonl")))


def _age(log: Path, skew: float) -> None:
    """Make a log as old as its newest fact, by the clock of the other machine."""
    for line in reversed(log.read_bytes().splitlines()) if log.exists() else ():
        try:
            written = min(time.time(), decode(line).time - skew)
            os.utime(log, (written, written))
        except ValueError:
            continue
        return


def _is_gone(link: SshLink, where: Address, started: RunStarted | None) -> bool:
    if started is None or started.lock_error or started.boot_id is None:
        return False
    link.send("alive", "0", str(started.pid), escaped(where.path))
    return proves_gone(link.answer("alive", "0"), started, copied=None)


def _written(run: RunDirectory) -> float:
    try:
        return run.session_log.stat().st_mtime
    except OSError:
        return run.path.stat().st_mtime
