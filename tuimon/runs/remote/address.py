"""The address of a run or of a directory of runs on another machine, as `scp` writes it: ``user@host:path``."""

import re

from msgspec import Struct

from tuimon.errors import UsageError

_ADDRESS = re.compile(r"(?P<destination>(?:[^/:\[\]]*@)?(?:\[[^\]/]*\]|[^/:\[\]]*)):(?P<path>.*)", re.DOTALL)


class Address(Struct, frozen=True):
    """A place on another machine."""

    destination: str
    """What ``ssh`` is given: ``host`` or ``user@host``, where a host may be a name of the user's configuration."""
    path: str
    """The path there. A relative one begins in the home directory; empty: ``runs``."""

    def __str__(self) -> str:
        """Return the address as it was typed."""
        host = self.destination.rpartition("@")
        shown = f"{host[0]}{host[1]}[{host[2]}]" if ":" in host[2] else self.destination
        return f"{shown}:{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path, as the name of a directory here."""
        return name_here(self.path.rpartition("/")[2])

    def with_path(self, path: str) -> "Address":
        """Return another place on the same machine."""
        return Address(self.destination, path)


def name_here(name: str) -> str:
    """Return a name that another machine has for a directory, as one that leads nowhere else on this machine."""
    return "run" if name in ("", ".", "..") or "/" in name or "\0" in name else name


def remote_address(text: str) -> Address | None:
    """Return the address that a text is; None where it is a path or a name of this machine.

    As for `scp`, a colon before the first slash makes the difference: ``./a:b`` is a path.

    Raises:
        UsageError: It is an address that ``ssh`` would take for an option, or that no host can have.

    Example:
        >>> remote_address("me@gpu1:~/runs/first")
        Address(destination='me@gpu1', path='runs/first')
        >>> remote_address("runs/first")
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    user, at, host = found["destination"].rpartition("@")
    host = host[1:-1] if host.startswith("[") else host
    destination = f"{user}{at}{host}"
    if destination.startswith("-") or host.startswith("-"):
        raise UsageError(f"{text}: no host or user begins with “-”; ssh would take it for an option")
    if not host or (at and not user):
        raise UsageError(f"{text}: expected user@host:path; a path of this machine with a colon is written ./PATH")
    if not destination.isprintable() or any(letter.isspace() for letter in destination):
        raise UsageError(f"{text}: expected user@host:path; no host or user has a blank or a control character")
    path = found["path"]
    if "\0" in path:
        raise UsageError(f"{text}: no path has a zero byte")
    if path == "~" or path.startswith("~/"):
        path = path[2:].lstrip("/")
    return Address(destination, path.rstrip("/") or ("/" if path.startswith("/") else "runs"))
