"""Which runs a list shows, and in which order.

A filter is some words with blanks between; a run is listed if all of them fit:

- ``digits``: its name, state, note or one of its tags contains the word;
- ``-digits``: none of them does;
- ``state=failed``, ``optimizer=adam``, ``tag=best``, ``name=2026*``: the value is this, ``*`` standing for anything;
- ``state!=failed``: the value is known, and is another one;
- ``val_loss<0.3``, ``lr>=1e-3``, ``epoch>5``: the number is less, more. Of a metric, that is the best value.

Upper and lower case are the same; there may be blanks around the sign of a comparison. A value that is not known fits
no comparison.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from tuimon.runs.best import is_lower_better
from tuimon.runs.listing.parameters import Value, is_named
from tuimon.runs.listing.summary import Summary

KEYS = ("name", "state", "tag", "note", "epoch", "step", "started", "updated", "best")
"""The keys that every run has, beside its metrics and its parameters."""
_COMPARISON = re.compile(r"([^<>=!]+)(<=|>=|!=|=|<|>)(.*)")
_BLANKS = re.compile(r"(?<=\S)\s*(<=|>=|!=|=|<|>)\s+(?=\S)|(?<=\S)\s+(<=|>=|!=|=|<|>)\s*")
"""Those around the sign of a comparison."""
_NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Contains(Struct, frozen=True):
    """A word that a run contains, or does not."""

    word: str
    is_wanted: bool

    def fits(self, run: Summary) -> bool:
        texts = (run.name, run.status, run.tags.note, *run.tags.tags)
        return any(self.word in text.lower() for text in texts) is self.is_wanted


class _Compares(Struct, frozen=True):
    """A value that is compared."""

    key: str
    sign: str
    wanted: str

    def fits(self, run: Summary) -> bool:
        if self.key.lower() in ("tag", "tags"):
            found = any(_is(tag, self.wanted) for tag in run.tags.tags)
            return found if self.sign == "=" else not found if self.sign == "!=" else False
        value = run.value_of(self.key)
        if value is None:
            return False
        if self.sign in ("=", "!="):
            return _is(value, self.wanted) is (self.sign == "=")
        number = _number(self.wanted)
        if number is None or isinstance(value, str | bool):
            return False
        return _NUMERIC[self.sign](value, number)


class Filter:
    """Says which runs fit.

    Args:
        text: The words. A comparison without a value, as it is while it is typed, is left out.

    Example:
        >>> Filter("digits val_loss<0.3").keys
        ['val_loss']
    """

    def __init__(self, text: str) -> None:
        self.text = text
        """As it was typed."""
        self._terms: list[_Contains | _Compares] = []
        for word in _BLANKS.sub(lambda found: found[1] or found[2], text).split():
            if found := _COMPARISON.fullmatch(word):
                if found[3]:
                    self._terms.append(_Compares(found[1], found[2], found[3]))
            elif word.strip("-"):
                self._terms.append(_Contains(word.removeprefix("-").lower(), not word.startswith("-")))

    def __bool__(self) -> bool:
        """Return whether any run may be left out."""
        return bool(self._terms)

    @property
    def keys(self) -> list[str]:
        """The keys that are compared."""
        return [term.key for term in self._terms if isinstance(term, _Compares)]

    def fits(self, run: Summary) -> bool:
        """Return whether a run is listed."""
        return all(term.fits(run) for term in self._terms)


def unknown_keys(keys: Iterable[str], runs: Sequence[Summary]) -> list[str]:
    """Return the keys that no run knows, misspelt ones among them."""
    return [
        key
        for key in keys
        if key.lower() not in (*KEYS, "tags")
        and not any(key in run.best or any(is_named(name, key) for name in run.parameters) for run in runs)
    ]


def known_keys(runs: Iterable[Summary]) -> list[str]:
    """Return all keys that runs can be sorted and filtered by: `KEYS`, the metrics, the parameters."""
    listed = list(runs)
    metrics = dict.fromkeys(name for run in listed for name in run.best)
    parameters = dict.fromkeys(name.replace(" ", "_") for run in listed for name in run.parameters)
    return [*KEYS, *metrics, *parameters]


def sorted_by(runs: Iterable[Summary], key: str, *, reverse: bool = False) -> list[Summary]:
    """Return the runs in the order of a value.

    The best value comes first for a metric, the newest time for ``started`` and ``updated``, else the smallest. Runs
    of which it is not known come last, in either direction: a run that has not got so far is not the best one.

    Args:
        runs: The runs. Of equal values, the former order stays.
        key: What `Summary.value_of` takes.
        reverse: The other way round.
    """
    known: list[tuple[Value, Summary]] = []
    unknown: list[Summary] = []
    for run in runs:
        value = run.value_of(key)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            unknown.append(run)
        else:
            known.append((value, run))
    is_descending = key.lower() in ("started", "updated") or is_lower_better(key) is False
    known.sort(key=lambda pair: _rank(pair[0]), reverse=is_descending is not reverse)
    return [run for _, run in known] + unknown


def _rank(value: Value) -> tuple[int, float, str]:
    """Return what values of several kinds are sorted by: numbers before texts."""
    return (1, 0.0, value.lower()) if isinstance(value, str) else (0, float(value), "")


def _is(value: Value, wanted: str) -> bool:
    number = _number(wanted)
    if isinstance(value, bool):
        return wanted.lower() in (("yes", "true", "1") if value else ("no", "false", "0"))
    if isinstance(value, int | float):
        # A learning rate is a 32-bit number in the log: 0.001 is 0.0010000000474974513 there.
        return number is not None and math.isclose(value, number, rel_tol=1e-6)
    return fnmatchcase(value.lower(), wanted.lower())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
