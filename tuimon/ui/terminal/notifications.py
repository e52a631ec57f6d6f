"""How a terminal is told that something happened: its bell, and desktop notifications, also through tmux and screen.

Sources: iTerm2 for OSC 9, urxvt for OSC 777; tmux(1), `allow-passthrough`; screen(1), "Device Control String".
"""

import os
from collections.abc import Mapping, Sequence

from tuimon.ascii import AsciiTable
from tuimon.settings import Sign
from tuimon.text import plain

BELL = "\a"
_LONGEST = 200
_TITLE = "tuimon"
_SCREEN_BYTES = 250
"""What screen takes in one piece, beside what begins and ends it."""


def sequences(
    signs: Sequence[Sign], text: str, environment: Mapping[str, str] = os.environ, *, ascii_only: bool = False
) -> str:
    r"""Return what the terminal is sent.

    A multiplexer keeps notifications to itself unless they are wrapped for it. The bell it passes on by itself.

    Args:
        signs: How it is told.
        text: What happened. No control character of it is sent, nor a semicolon, which ends a field.
        environment: The environment variables, which name the multiplexer.
        ascii_only: Whether the terminal takes nothing but ASCII.

    Example:
        >>> sequences(["bell", "osc9"], "run: finished", {})
        '\x07\x1b]9;run: finished\x07'
        >>> sequences(["osc777"], "run: finished", {"TMUX": "/tmp/tmux-1000/default,7,0"})
        '\x1bPtmux;\x1b\x1b]777;notify;tuimon;run: finished\x07\x1b\\'
    """
    shown = plain(text, _LONGEST).replace(";", ",")
    if ascii_only:
        shown = shown.translate(AsciiTable())
    parts = {
        "bell": BELL,
        # A text that begins with a digit and a semicolon would be a command of ConEmu's; here it has no semicolon.
        "osc9": _wrapped(f"\x1b]9;{shown}{BELL}", environment),
        "osc777": _wrapped(f"\x1b]777;notify;{_TITLE};{shown}{BELL}", environment),
    }
    return "".join(parts[sign] for sign in dict.fromkeys(signs))


def _wrapped(sequence: str, environment: Mapping[str, str]) -> str:
    if environment.get("TMUX"):
        doubled = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{doubled}\x1b\\"
    if environment.get("STY"):
        return "".join(f"\x1bP{piece}\x1b\\" for piece in _pieces(sequence))
    return sequence


def _pieces(sequence: str) -> list[str]:
    pieces, piece = [], ""
    for character in sequence:
        if len(f"{piece}{character}".encode()) > _SCREEN_BYTES:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]
