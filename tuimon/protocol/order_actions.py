"""The requests that a standing order can make, in the words of an order."""

from collections.abc import Callable, Sequence

import msgspec

from tuimon.protocol import commands, values
from tuimon.protocol.validation import in_words

LARGEST = 2**53
"""The largest number of a step or an epoch."""
UNITS = {"epoch": "epochs", "epochs": "epochs", "step": "steps", "steps": "steps"}
"""What may be counted behind `after`, as people write it."""
NOT_ORDERED = ("order", "cancel")
"""Requests that an order cannot make."""


def spell(request: commands.AnyRequest) -> list[str]:
    """Return the words of a request in an order.

    Raises:
        ValueError: An order cannot make it.
    """
    words: list[str] = []
    match request:
        case commands.Freeze() | commands.Unfreeze():
            kind = "statistics" if request.statistics else "weights" if request.weights else ""
            words = [*([kind] if kind else []), *_spelled_layers(request.layers, is_first=not kind)]
        case commands.Phase():
            words = [request.phase]
        case commands.Momentum():
            words = [repr(request.momentum), *_spelled_layers(request.layers, is_first=False)]
        case commands.LearningRate():
            words = [values.SCHEDULE if request.learning_rate is None else repr(request.learning_rate)]
        case commands.Recalibrate():
            words = [str(request.batches), *(["dry-run"] if request.dry_run else [])]
        case commands.Rollback():
            words = [request.checkpoint] if request.checkpoint else []
        case commands.Stop():
            words = ["epoch"] if request.after == "epoch" else []
        case commands.Note():
            words = [request.text]
        case commands.Epochs():
            words = [str(request.epochs)]
        case commands.Order() | commands.Cancel():
            raise ValueError(f"an order cannot make the request {commands.name_of(request)}")
    return [commands.name_of(request), *words]


def read(words: Sequence[str]) -> commands.AnyRequest:
    """Return the request that words mean; there is at least one.

    Raises:
        ValueError: They mean none; the message names the word.
    """
    name, rest = words[0], list(words[1:])
    if name in NOT_ORDERED:
        raise ValueError(f"an order cannot make the request {name!r}")
    if name not in commands.NAMES:
        known = ", ".join(each for each in commands.NAMES if each not in NOT_ORDERED)
        raise ValueError(f"{name!r} is no request; there are {known}")
    if name != "note" and len(rest) > 2 and rest[-3] == "after" and rest[-1] in UNITS:
        raise ValueError("an order has one condition: 'after' cannot follow another one")
    fields: dict[str, object] = {"command": name, **_arguments(name, rest)}
    try:
        request: commands.AnyRequest = msgspec.convert(fields, commands.AnyRequest)
        commands.encode(request)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {in_words(error)}") from None
    except UnicodeError:
        raise ValueError(f"{name}: it is not UTF-8 text") from None
    return request


def _arguments(name: str, words: list[str]) -> dict[str, object]:
    """Return the fields of a request that its words stand for."""
    match name:
        case "freeze" | "unfreeze":
            kinds = [kind for kind in ("statistics", "weights") if words[:1] == [kind]]
            return dict.fromkeys(kinds, True) | {"layers": words[len(kinds) :]}
        case "momentum":
            return {"momentum": _read(name, values.momentum, words[:1]), "layers": words[1:]}
        case "note":
            return {"text": _read(name, values.note, [" ".join(words)] if words else [])}
        case "recalibrate":
            is_dry = words[-1:] == ["dry-run"]
            number = words[:-1] if is_dry else words
            _at_most(name, number, 1)
            return {"dry_run": is_dry} | ({"batches": whole(number[0], name, least=1)} if number else {})
    return _argument(name, words)


def _argument(name: str, words: list[str]) -> dict[str, object]:
    """Return the field of a request that has one argument or none."""
    if name == "stop" and words[:1] == ["after"]:
        # As `tuimon send` says it: `stop --after epoch`.
        words = words[1:]
    _at_most(name, words, 1 if name in ("lr", "phase", "rollback", "epochs", "stop") else 0)
    match name:
        case "lr":
            return {"learning_rate": _read(name, values.learning_rate, words)}
        case "phase":
            return {"phase": _read(name, str, words)}
        case "epochs":
            return {"epochs": whole(words[0] if words else "", name, least=1)}
        case "rollback" | "stop" if words:
            return {"checkpoint" if name == "rollback" else "after": words[0]}
    return {}


def _read(name: str, read: Callable[[str], object], words: list[str]) -> object:
    if not words:
        raise ValueError(f"after {name!r} something is missing")
    try:
        return read(words[0])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _at_most(name: str, words: Sequence[str], most: int) -> None:
    if len(words) > most:
        raise ValueError(f"{words[most]!r} does not belong after {name!r}")


def whole(word: str, after: str, *, least: int) -> int:
    """Return the whole number that a word is.

    Raises:
        ValueError: It is none, or too small or large.
    """
    if not (word.isascii() and word.isdecimal() and len(word) < 20 and least <= int(word) <= LARGEST):
        received = f"; received {word!r}" if word else ""
        raise ValueError(f"after {after!r} expected a whole number from {least} on{received}")
    return int(word)


def _spelled_layers(layers: Sequence[str], *, is_first: bool) -> list[str]:
    """Return globs as an order has them. A glob that would be read as another word is spelled with brackets."""
    spelled = list(layers)
    if is_first and spelled[:1] in (["statistics"], ["weights"]):
        spelled[0] = _bracketed(spelled[0])
    if len(spelled) > 2 and spelled[-3] == "after":
        spelled[-3] = _bracketed(spelled[-3])
    return spelled


def _bracketed(name: str) -> str:
    return f"[{name[0]}]{name[1:]}"
