"""The settings of a user: a TOML file which every screen reads and the command line overrides.

A wrong file never keeps a screen from opening: one line says what is wrong, the other keys hold.
"""

import difflib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from tuimon.protocol.validation import what_is_wrong
from tuimon.regular_file import read_regular
from tuimon.text import plain

PATH_VARIABLE = "TUIMON_SETTINGS"
_LARGEST = 256 * 1024
PLACE = "~/.config/tuimon/settings.toml"
"""The usual place of the file, as people write it."""
PaletteName = Literal["dark", "light", "colorblind", "colorblind-light"]
PALETTES: tuple[PaletteName, ...] = get_args(PaletteName)
"""The palettes, in the order in which their key goes through them."""
Colors = Literal["auto", "full", "256", "16", "none"]
COLORS: tuple[Colors, ...] = get_args(Colors)
"""How many colours there may be; "auto": as many as the terminal says it has."""
Happened = Literal["alert", "end", "crash", "stall", "silence", "order"]
"""What is sent out of a run: the diagnosis warns; it finished or was stopped; it failed, or its process is gone; no
step comes; its log does not grow; a standing order fired."""
HAPPENED: tuple[Happened, ...] = get_args(Happened)
"""All of it."""
Sign = Literal["bell", "osc9", "osc777"]
"""How a terminal is told: its bell, a desktop notification as iTerm2 has it, one as urxvt has it."""


class Alerts(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A command of the user's that is run when something happens, and when it is."""

    command: str | list[str] = ""
    """The program and its arguments: a list, or one text that is split at blanks as a shell does it. No shell runs it.
    It gets the fact as JSON on standard input, and some variables. Empty: nothing is run."""
    on: list[Happened] = msgspec.field(default_factory=lambda: list(HAPPENED))
    """What it is run for: `alert` (the diagnosis warns), `end` (finished or stopped), `crash` (failed, or its process
    is gone), `stall` (no step comes), `silence` (its log does not grow), `order` (a standing order fired)."""
    severity: Literal["info", "warning", "error"] = "warning"
    """The least severity of an `alert` that is sent."""
    every_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 30.0
    """The command is run once in so many seconds at most; what happens meanwhile is one message with a count. An end or
    a crash does not wait for alerts before it."""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30.0
    """The command is ended after so many seconds."""
    stall_seconds: Annotated[float, msgspec.Meta(ge=30, le=86400)] = 120.0
    """After so many seconds without a step, where that is unusual, training stalls; after so many without a line in its
    log, a run is silent."""

    @property
    def arguments(self) -> list[str]:
        """The program and its arguments; empty where nothing is run.

        Raises:
            ValueError: quotes in the text do not match.
        """
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)

    def over(self, users: "Alerts") -> "Alerts":
        """Return these options, of a config, with the command of the user's settings where they name none."""
        return self if self.command else msgspec.structs.replace(self, command=users.command)

    def trouble(self) -> str:
        """Return what is wrong with the command, beside its type; an empty text where nothing is."""
        try:
            arguments = self.arguments
        except ValueError as error:
            return f"command: {str(error).lower()}"
        if any("\0" in argument for argument in arguments):
            return "command: it holds a zero character"
        if self.command and not (arguments and arguments[0].strip()):
            return "command: it names no program"
        return ""


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """The keys of the file. None of them is needed."""

    palette: PaletteName = "dark"
    """The colours."""
    ascii: bool | None = None
    """Whether only ASCII characters are drawn; unless set, where the locale has no UTF-8."""
    colors: Colors = "auto"
    """How many colours the terminal shows."""
    refresh: Annotated[float, msgspec.Meta(ge=1, le=10)] = 2.0
    """How often curves and counts are drawn again, at most, in a second; what happens is drawn sooner."""
    smoothing: Literal["none", "ema", "median"] = "none"
    """How curves are smoothed at first: not, by an exponential moving average, by a moving median."""
    smoothing_weight: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.6
    """How much: 0 not at all, near 1 most."""
    x_axis: Literal["step", "epoch", "wall", "relative"] = "step"
    """What charts have on their axis at first: steps, epochs, the time of day, the time since the start."""
    notify: list[Sign] = []
    """How the terminal of a screen tells of what `alerts.on` lists: not at all unless set."""
    alerts: Alerts = Alerts()
    """A command that is run when something happens."""


_TYPES: Mapping[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def settings_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the file is: ``$TUIMON_SETTINGS``, else ``tuimon/settings.toml`` where configurations are."""
    if path := environment.get(PATH_VARIABLE):
        return Path(path)
    return user_directory("XDG_CONFIG_HOME", ".config", environment) / "tuimon" / "settings.toml"


def user_directory(variable: str, default: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return a directory of the user's, by its variable, else by its name under the home directory.

    Source: https://specifications.freedesktop.org/basedir/latest, which has relative paths ignored.
    """
    path = Path(environment.get(variable, ""))
    if path.is_absolute():
        return path
    try:
        return Path.home() / default
    except RuntimeError:
        # In a container, a user may be a number and nothing else.
        return Path("/nonexistent")


def read(path: Path) -> tuple[Settings, str]:
    """Read a file of settings.

    Args:
        path: The file; it may be missing.

    Returns:
        The settings, with the defaults for what is not set or wrong; and what is wrong, in one line that names the
        file and the key, empty where nothing is.
    """
    try:
        written = read_regular(path, _LARGEST)
    except FileNotFoundError:
        return Settings(), ""
    except OSError as error:
        return Settings(), f"{path}: {error.strerror}: the defaults hold"
    # Most have no file, and their first screen does without.
    import tomllib

    try:
        tables = tomllib.loads(written.decode())
    except UnicodeDecodeError:
        return Settings(), f"{path}: not a TOML file, it is not UTF-8 text: the defaults hold"
    except tomllib.TOMLDecodeError as error:
        return Settings(), f"{path}: not TOML: {plain(str(error), 100)}: the defaults hold"
    except (ValueError, RecursionError):
        return Settings(), f"{path}: a number is too long, or values are nested too deep: the defaults hold"
    known: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in tables.items():
        if key not in _TYPES:
            wrong.append(f"{plain(key, 40)}: no such key{_suggestion(key)}")
            continue
        if key == "colors" and type(value) is int:
            # 16 and "16" are the same to a person.
            value = str(value)
        try:
            known[key] = msgspec.convert(value, _TYPES[key])
            if isinstance(known[key], Alerts) and (trouble := known[key].trouble()):
                del known[key]
                wrong.append(f"{key}.{trouble}")
        except msgspec.ValidationError as error:
            wrong.append(f"{key}: {_words(key, value, error)}")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return Settings(**known), f"{path}: {wrong[0]}{more}" if wrong else ""


def for_terminal(
    settings: Settings, environment: Mapping[str, str] = os.environ, *, encoding: str = "utf-8"
) -> Settings:
    """Return ``settings`` with what they leave to the terminal: how many colours, and whether ASCII alone.

    Source: https://no-color.org for ``NO_COLOR``; ``COLORTERM`` as terminals set it; terminfo for terminals without
    colours.

    Args:
        settings: The settings of the user.
        environment: The environment variables.
        encoding: How the text for the terminal is encoded.
    """
    colors: Colors = settings.colors if settings.colors != "auto" else _colors(environment)
    ascii_only = settings.ascii
    if ascii_only is None:
        ascii_only = not (_has_utf8(environment) and is_utf8(encoding) and _has_braille(environment))
    return msgspec.structs.replace(settings, colors=colors, ascii=ascii_only)


def is_utf8(encoding: str) -> bool:
    """True for the names of UTF-8."""
    return re.sub(r"[^a-z0-9]", "", encoding.casefold()) == "utf8"


_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


def _colors(environment: Mapping[str, str]) -> Colors:
    if environment.get("NO_COLOR"):
        return "none"
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "full"
    terminal = environment.get("TERM", "").lower()
    if terminal.endswith("-direct"):
        return "full"
    if _COLORLESS.match(terminal):
        return "none"
    return "256" if "256color" in terminal or "kitty" in terminal else "16"


_COLORLESS = re.compile(r"vt\d|dumb|ansi-mono|.*-m(ono)?$")
"""The names of terminals that have no colours: those of the VT series (also on serial lines), and monochrome ones."""
_CONSOLE = re.compile(r"(.*\.)?(linux|con[s\d]|vt\d|ansi|pcansi)")
"""The names of terminals whose font is short: text consoles (in `screen`, after a dot) and the VT series. That of Linux
has 256 or 512 glyphs and no braille; its box drawing depends on the font that is loaded."""


def _has_braille(environment: Mapping[str, str]) -> bool:
    """Return whether a terminal of this kind can show more than ASCII at all."""
    return _CONSOLE.match(environment.get("TERM", "").lower()) is None


def _has_utf8(environment: Mapping[str, str]) -> bool:
    # Not Python's own encoding: it takes the C locale, and one that is not installed, for UTF-8, and then sets
    # LC_CTYPE so (PEP 538).
    character_type = environment.get("LC_CTYPE", "")
    if character_type in _COERCED:
        character_type = ""
    name = environment.get("LC_ALL") or character_type or environment.get("LANG")
    if not name:
        # A container says nothing, and the terminal that shows it is one of today.
        return True
    return re.search(r"utf-?8", name, re.IGNORECASE) is not None


def _words(key: str, value: object, error: msgspec.ValidationError) -> str:
    choices = [choice for choice in get_args(_TYPES[key]) if isinstance(choice, str)]
    if choices:
        return f'"{plain(str(value), 40)}" is none of {", ".join(choices)}'
    place, words = what_is_wrong(error)
    said = f"{words}{which_there_are(key, words)}"
    return plain(f"{place}: {said}" if place and not place.startswith("[") else said, 200)


def which_there_are(key: str, words: str) -> str:
    """Return what is said behind an error in a list of names, such as `alerts.on`: those that there are."""
    if "invalid enum value" not in words:
        return ""
    return f"; there are {', '.join(get_args(Sign) if key == 'notify' else HAPPENED)}" if "severity" not in key else ""


def _suggestion(key: str) -> str:
    close = difflib.get_close_matches(key.casefold(), _TYPES, n=1)
    return f' (did you mean "{close[0]}"?)' if close else f"; there are {', '.join(_TYPES)}"
