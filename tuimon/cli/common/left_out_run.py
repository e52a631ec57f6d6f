"""Lets the first word of a command line be a request's name, where RUN is left out."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from tuimon.protocol import commands

LEFT_OUT = "\0"
"""Stands for RUN where it is left out; no argument of a command line can be it."""


def let_run_be_left_out(parser: argparse.ArgumentParser) -> None:
    """Take a first word that is a request's name for the request: argparse would take it for RUN."""
    parse = parser.parse_known_args

    def parse_known_args(args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        place = _first_word(words, parser)
        if place is not None and words[place] in commands.NAMES:
            words.insert(place, LEFT_OUT)
        return parse(words, namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign]


def _first_word(words: Sequence[str], parser: argparse.ArgumentParser) -> int | None:
    """Return the place of the first argument that is no option and no option's value."""
    takes_value = [name for action in parser._actions if action.nargs != 0 for name in action.option_strings]
    is_value = False
    for place, word in enumerate(words):
        if is_value:
            is_value = False
        elif word == "--":
            return place + 1 if place + 1 < len(words) else None
        elif not word.startswith("-") or word == "-":
            return place
        else:
            # An option may be shortened.
            is_value = "=" not in word and any(name.startswith(word) for name in takes_value)
    return None
