"""Why a run ended, in one line: the exception's type and its own first sentence.

Keras wraps a message into the call of the layer and lists that call's arguments; TensorFlow puts the node's origin
before it and the nodes behind it. None of this is the reason, and all of it stays in the traceback.
"""

import ast
import functools
import re
import traceback

from tuimon.protocol import events
from tuimon.text import plain

LONGEST = 300
"""Characters of a reason at most; a longer one ends with a sentence, where it has one."""
LOOKED_AT = 200_000
"""Characters of a message or a traceback at most that are read."""
SHORT = 40
"""A first line with fewer characters is continued with the next one."""

_KERAS_CALL = re.compile(r"Exception encountered when calling (?P<where>.+?)\.?\n")
_KERAS_ARGUMENTS = re.compile(r"\n\s*Arguments received by ")
_KERAS_INFERENCE = re.compile(r"Could not automatically infer the output shape / dtype of .*?Error encountered:", re.S)
_NO_SENTENCE = re.compile(
    r"Graph execution error:|Detected at node |Node: |<stack traces unavailable>|Stack trace for op definition"
    r"|File \"|-*\+-+|Traceback \(most recent call last\)|\[\[|\d+ root error\(s\) found|Hint: |\[Op:"
)
"""Begins of lines in TensorFlow's messages that are no part of the sentence."""
_NODES = re.compile(r"\s*\[\[\{\{node [^}]*\}\}\]\]|\s*\[Op:[^\]]*\]|\s*\[\[\w+\]\]")
_NODE_DEFINITION = re.compile(r"'?\{\{node ([^}]*)\}\}(?: = [^']*)?'?")
_ROOT_ERROR = re.compile(r"\(\d+\) [A-Z_]+: ")
_OF_DATA = re.compile(r"Error in user-defined function passed to \w+:\d+ transformation with iterator: \S+: ")
_DEVICE = re.compile(r"/job:\S*?/device:")
_DETAIL = re.compile(r", | \(| at | while ")
"""Begins what a few words of a reason leave out."""
_NAMED_ERROR = re.compile(r"(?:\w+\.)*\w+(?:Error|Exception|Interrupt|Exit|Warning|Group)\b(?:: |$)")
_TRACEBACK = re.compile(r"^[ \t]*(?:\+ Exception Group )?Traceback \(most recent call last\):", re.M)
_MARGIN = re.compile(r"^ +[|+] ?", re.M)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
_FATAL = re.compile(r"^Fatal Python error: (?P<what>.+)$", re.M)


def of_ended(ended: events.RunEnded | None) -> str:
    r"""Return why a run ended, as it can be shown; empty where nothing is known beyond its status.

    Example:
        >>> of_ended(events.RunEnded(status="failed", traceback="Traceback:\n  ...\nValueError: no data\n"))
        'ValueError: no data'
    """
    if ended is None:
        return ""
    return plain(ended.reason, LONGEST + 100) or of_traceback(ended.traceback)


def stopped_by(ended: events.RunEnded | None) -> str:
    r"""Return what stopped a run, in so few words that a list has room for them; empty where nothing is known.

    Example:
        >>> stopped_by(events.RunEnded(status="stopped", reason="SIGTERM, and no step ended within 10 s"))
        'SIGTERM'
        >>> stopped_by(events.RunEnded(status="stopped", reason="Ctrl-C (SIGINT)"))
        'Ctrl-C'
    """
    if ended is None or ended.status != "stopped":
        return ""
    return plain(_DETAIL.split(ended.reason, maxsplit=1)[0], SHORT)


def of_exception(error: BaseException) -> str:
    """Return the type and the first sentence of an exception; where it has no text, the place that raised it.

    Example:
        >>> of_exception(ValueError("the data have no labels. See the manual."))
        'ValueError: the data have no labels. See the manual.'
    """
    kind = next(cls.__name__ for cls in type(error).__mro__ if not cls.__name__.startswith("_"))
    if isinstance(error, BaseExceptionGroup):
        return plain(
            f"{kind}: {_sentence(_text_of(error))}; the first: {of_exception(error.exceptions[0])}", 2 * LONGEST
        )
    sentence = _sentence(_text_of(error))
    if sentence:
        return _named(kind, sentence)
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return kind
    return f"{kind} {_place(frames[-1].filename, frames[-1].lineno)}{_shown_line(frames[-1].line)}"


def how_ended(error: BaseException) -> tuple[str, str]:
    """Return the status and the reason of a run that an exception ended.

    Ctrl-C and ``sys.exit()`` are somebody's wish to stop; an exit code other than 0 says that something failed.

    Example:
        >>> how_ended(SystemExit("no GPU"))
        ('failed', 'sys.exit: no GPU')
    """
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "Ctrl-C (KeyboardInterrupt)"
    if not isinstance(error, SystemExit):
        return "failed", of_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" {_place(frames[-1].filename, frames[-1].lineno)}" if frames else ""
    if error.code is None or isinstance(error.code, int):
        return "failed" if error.code else "stopped", f"sys.exit({'' if error.code is None else error.code}){place}"
    return "failed", f"sys.exit: {_sentence(str(error.code))}{place}"


@functools.lru_cache(maxsize=16)
def of_traceback(text: str) -> str:
    """Return the same from a traceback's text: for logs of older versions and for what a process printed."""
    text = text[-LOOKED_AT:]
    begins = [match.start() for match in _TRACEBACK.finditer(text)]
    raised = _MARGIN.sub("", text[begins[-1] :] if begins else text)
    lines = raised.splitlines()
    # Frames are indented. Without any, an error is known by its name.
    rest = next((at for at, line in enumerate(lines[1:], 1) if line[:1].strip()), None) if begins else None
    if rest is None:
        rest = next((at for at, line in enumerate(lines) if _NAMED_ERROR.match(line)), None)
    if rest is None:
        return plain(next((line for line in reversed(lines) if line.strip()), ""), LONGEST)
    kind, _, message = "\n".join(lines[rest:]).partition(": ")
    if not kind.replace(".", "").isidentifier():
        kind, message = "", "\n".join(lines[rest:])
    name = plain(kind.strip().rpartition(".")[2])
    sentence = _sentence(_unquoted(message))
    if name and sentence:
        return _named(name, sentence)
    places = list(_FRAME.finditer(raised))
    return sentence or (f"{name} {_place(places[-1]['file'], int(places[-1]['line']))}" if places else name)


def of_output(text: str) -> str:
    """Return what the output of a process says about its end: a fatal error, or its last traceback; else nothing."""
    fatal = list(_FATAL.finditer(text))
    if fatal:
        rest = text[fatal[-1].end() :]
        current = re.search(r"^Current thread .*\n\s+File \"(?P<file>[^\"]+)\", line (?P<line>\d+)", rest, re.M)
        place = f" {_place(current['file'], int(current['line']))}" if current else ""
        return plain(fatal[-1]["what"].strip().lower(), LONGEST) + place
    return of_traceback(text) if _TRACEBACK.search(text) else ""


def _text_of(error: BaseException) -> str:
    try:
        if isinstance(error, KeyError) and len(error.args) == 1:
            # Its text is written as a literal. Keras puts sentences there, too.
            key = error.args[0]
            return key if isinstance(key, str) and "\n" in key else repr(key)
        return str(error)
    except Exception:  # noqa: BLE001 - the class is the user's
        return ""


def _unquoted(message: str) -> str:
    """Return what a KeyError's literal of several lines says."""
    if message[:1] in ("'", '"') and "\\n" in message:
        try:
            return str(ast.literal_eval(message.strip()))
        except (ValueError, SyntaxError):
            pass
    return message


def _named(kind: str, sentence: str) -> str:
    # A Python error that TensorFlow carries out of the user's function names itself.
    carried = _NAMED_ERROR.match(sentence) and kind in ("InvalidArgumentError", "UnknownError", "InternalError")
    return sentence if carried else f"{kind}: {sentence}"


def _sentence(message: str) -> str:
    """Return the first sentence of a message that says something, in one line."""
    message, where = message[:LOOKED_AT], ""
    if match := _KERAS_CALL.match(message):
        message, where = message[match.end() :], f" (in {plain(match['where'], 60)})"
        if arguments := list(_KERAS_ARGUMENTS.finditer(message)):
            message = message[: arguments[-1].start()]
    message = _plain_lines(message)
    message = _KERAS_INFERENCE.sub("", message)
    said = ""
    for line in message.split("\n"):
        text = line.strip()
        if not text or _NO_SENTENCE.match(text):
            continue
        said = f"{said} {text}".strip()
        if len(said) >= SHORT and not said.endswith(":"):
            break
        if _NAMED_ERROR.match(_shortened(said)):
            break  # What follows is the traceback of an error in the user's function.
    said = _shortened(said)
    return _cut(said) + where if said else ""


def _plain_lines(text: str) -> str:
    return "\n".join(plain(line, 10 * LONGEST) for line in text.splitlines())


def _shortened(said: str) -> str:
    for pattern, by in ((_NODES, ""), (_NODE_DEFINITION, r"'\1'"), (_ROOT_ERROR, ""), (_OF_DATA, ""), (_DEVICE, "")):
        said = pattern.sub(by, said)
    return said.strip()


def _cut(said: str) -> str:
    if len(said) <= LONGEST:
        return said
    end = said.rfind(". ", SHORT, LONGEST)
    return said[: end + 1] if end > 0 else said[: LONGEST - 1] + "…"


def _place(file: str, line: int | None) -> str:
    return f"at {plain(file.rpartition('/')[2], 80)}:{line}"


def _shown_line(line: str | None) -> str:
    return f": {plain(line, 100)}" if line else ""
