"""What every part of the page has in common: whose page it is, how wide, how a section begins."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from tuimon.report.lines import Line, Span, line
from tuimon.runs import facts_in_words
from tuimon.runs.log.lost_log import no_log_words
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import OVER, RunState
from tuimon.text import plain, width_of, wrap

WIDEST_TEXT = 100
"""Sentences are not longer than this, however wide the terminal is."""


class Subject(Struct, frozen=True):
    """What the page is about, besides the state."""

    name: str
    """The run's name."""
    paste: str
    """The run as a shell takes it: a name or a path, quoted."""
    status: str
    """What `tuimon.runs.liveness.status` returns."""
    lacks: tuple[str, ...] = ()
    """What the log lacks, or nobody could read of it, a sentence each."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Why rules could not look, by their numbers: errors of tuimon."""

    @property
    def is_over(self) -> bool:
        """Whether it takes no requests any more."""
        return self.status in OVER


def text_width(width: int) -> int:
    """Return how wide sentences may be on a terminal of ``width`` cells."""
    return min(width, WIDEST_TEXT)


def section(title: str, width: int) -> list[Line]:
    """Return the beginning of a section."""
    *first, last = wrap(title, text_width(width))
    rule = "─" * max(0, text_width(width) - width_of(last) - 1)
    heads = [line(Span(text, "strong")) for text in first]
    return [line(), *heads, line(Span(last, "strong"), " ", Span(rule, "dim")), line()]


def command(request: str, subject: Subject, indent: str) -> list[Line]:
    """Return a command to paste, on a line of its own that is never broken."""
    return [line(f"{indent}  ", Span(f"tuimon send {plain(subject.paste, 1000)} {plain(request, 1000)}", "command"))]


def sentence(text: str, name: str | None = None) -> str:
    """Return words as a sentence: with a capital, unless they begin with a name, and a full stop.

    Example:
        >>> sentence("the loss is NaN"), sentence("bn_1 is frozen")
        ('The loss is NaN.', 'bn_1 is frozen.')
    """
    text = plain(text, 1000).strip()
    first = text.partition(" ")[0]
    if first.isalpha() and first != name:
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def lacking(run: RunDirectory, state: RunState, unread: Sequence[str]) -> tuple[str, ...]:
    """Return what the log of a run lacks, a sentence each.

    Args:
        run: The run.
        state: What its facts add up to.
        unread: What could not be read of it, a sentence each.
    """
    told = (no_log_words(run), facts_in_words.lost(state))
    return (*(sentence(words) for words in told if words), *unread)
