"""The help screen: keys, signs and colours."""

from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from tuimon.numbers import count
from tuimon.text import plain
from tuimon.ui.drawing.cells import Cells, cell_width, wrap
from tuimon.ui.drawing.drawn_once import DrawnOnce
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.drawing.scrolled_view import TextLine
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.viewer.key import Key, ScreenName
from tuimon.ui.viewer.keys import sections
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_INDENT, _BETWEEN = 2, 2
_LEAST_COLUMN = 16
"""Where words begin, if the terms beside them leave room for that."""
_LEAST_WORDS = 30
"""Cells that words have beside their term; with fewer, they stand below it."""
_BELOW = 4
"""Where words begin that stand below their term."""

TERMS: tuple[tuple[str, Meaning, str], ...] = (
    ("training", Meaning.TRAINING, "batch statistics are used, the moving statistics follow"),
    ("frozen", Meaning.FROZEN, "trainable=False: moving statistics are used; they, gamma and beta are held"),
    ("held", Meaning.INFERENCE, "moving statistics are used and held; gamma and beta learn"),
    ("inference", Meaning.INFERENCE, "the same for every layer, because the learning phase is inference"),
    ("momentum", Meaning.COMMAND, "beside a mode: the momentum that was asked for, instead of the model's own"),
    ("asked", Meaning.DIM, "a request of yours that the trainer has not answered yet"),
    ("batch", Meaning.BATCH, "loss of each batch; a column holds its smallest to its largest"),
    ("val", Meaning.VALIDATION, "validation loss, once an epoch"),
    ("▲", Meaning.ERROR, "at the top of a chart: a value there was NaN or infinite"),
    ("┊ ▲", Meaning.COMMAND, "a request took effect at this step, or the run went back or on from a checkpoint"),
    ("5–95 %", Meaning.BAND, "between these quantiles lie nine of ten channels; the line is the median"),
    (
        "gap",
        Meaning.GAP,
        "loss in training mode minus loss in inference mode, on held batches; parts: BatchNorm, random layers, other",
    ),
    ("BatchNorm", Meaning.BATCH_NORM_PART, "batch statistics instead of the moving ones"),
    ("random layers", Meaning.STOCHASTIC_PART, "dropout, augmentation and their like: the mean over several draws"),
    ("other", Meaning.OTHER_PART, "what else depends on training"),
    (
        "share",
        Meaning.BATCH_NORM_PART,
        "of BatchNorm: what each layer adds when layer after layer goes to batch statistics, in model order",
    ),
    (
        "≠",
        Meaning.WARNING,
        "beside a share: switched on its own, not the layer of the largest share does most; the cause is open",
    ),
    ("drift", Meaning.STATISTIC, "symmetric KL divergence of the moving from the batch statistics, in nats"),
    ("half-life", Meaning.TEXT, "steps until half of a moving average is new"),
    ("▲ ✗ •", Meaning.WARNING, "a warning, an error, a remark of the diagnosis; w says why"),
    ("│ ┊ ^", Meaning.COMMAND, "in the bar of a replay: a fit, a request, a spike; a click goes there"),
    ("overhead", Meaning.TEXT, "the share of the time that monitoring takes"),
    ("change", Meaning.TEXT, "how far the moving mean went since the first sample, in standard deviations"),
)
"""Words and signs of the screens, the colour of each, and what it means."""


class _Entry(NamedTuple):
    """A key or a word, and what it does or means."""

    term: str
    code: Meaning
    words: str
    words_code: Meaning = Meaning.DIM


class _SearchLine(Input):
    """Takes letters, but leaves those that close the page to it as long as nothing is typed."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Return whether a key is typed here, before it means anything else."""
        return super().check_consume_key(key, character) and bool(self.value or key not in ("q", "question_mark"))


class HelpPage(LinesView):
    """Keys and words; only what matches, while somebody types. It draws the lines in sight alone, not all 200.

    Args:
        moment: Says which keys do nothing now, and why.
        screen_name: The screen whose keys come first.
    """

    head_rows = 0

    class Moved(Message):
        """Other lines are in sight."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words
            """Which ones; empty where all are."""

    def __init__(self, moment: Moment, screen_name: ScreenName) -> None:
        super().__init__()
        self.moment = moment
        self._screen_name = screen_name
        self._typed = ""
        self._first = 0
        self._words = ""

    def lines(self, moment: Moment) -> list[TextLine]:
        """Return all lines, each at most as wide as the page."""
        lines = lines_of_help(moment, self._screen_name, self.size.width, self._typed)
        return lines or [[("No key and no word matches.", Meaning.DIM)]]

    def find(self, typed: str) -> None:
        """Show only what holds all these words, from its first line on."""
        self._typed, self._first = typed, 0
        self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw as many lines as fit."""
        lines = self.lines(moment)
        self._first = max(0, min(self._first, len(lines) - cells.height))
        shown = lines[self._first : self._first + cells.height]
        for row, line in enumerate(shown):
            column = 0
            for text, code in line:
                column = cells.put(row, column, text, code)
        is_all = len(shown) == len(lines)
        words = "" if is_all else f"{count(self._first + 1)}–{count(self._first + len(shown))} of {count(len(lines))}"
        if words != self._words:
            self._words = words
            self.post_message(self.Moved(words))

    def move(self, by: int) -> None:
        """Scroll, as far as there are lines."""
        self._first = max(0, self._first + by)
        self.redraw()


class HelpScreen(DrawnOnce[None], ModalScreen[None]):
    """Lists the keys, and what words and signs mean; only what matches, while somebody types.

    Args:
        moment: Says which keys do nothing now, and why.
        screen_name: The screen whose keys come first.
        typed: What is searched from the start; nothing, to show all.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear_or_close", "close", priority=True),
        Binding("q,question_mark,enter,ctrl+c", "close", "close", priority=True),
        Binding("up", "scroll(-1)", "up", priority=True),
        Binding("down", "scroll(1)", "down", priority=True),
        Binding("pageup", "page(-1)", "page up", priority=True),
        Binding("pagedown", "page(1)", "page down", priority=True),
        Binding("home", "page(-1000)", "top", priority=True),
        Binding("end", "page(1000)", "bottom", priority=True),
    ]

    def __init__(self, moment: Moment, screen_name: ScreenName, typed: str = "") -> None:
        super().__init__()
        self._page = HelpPage(moment, screen_name)
        self._typed = typed
        self._in_sight = ""

    def compose(self) -> ComposeResult:
        """Lay out a line to type in above the page."""
        with Vertical(id="help") as frame:
            frame.border_title = Content("help")
            frame.border_subtitle = Content("esc closes")
            line = _SearchLine(placeholder="type to search", compact=True, max_length=100)
            line.cursor_blink = False
            yield line
            yield self._page
        yield TooSmall()

    def on_mount(self) -> None:
        """Let the line take the first key."""
        line = self.query_one(Input)
        line.value = self._typed
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """List what the words find."""
        self._page.find(event.value)
        self._say()

    def on_help_page_moved(self, message: HelpPage.Moved) -> None:
        """Say which lines are in sight."""
        self._in_sight = message.words
        self._say()

    def action_clear_or_close(self) -> None:
        """Clear the words; close the page where there are none."""
        line = self.query_one(Input)
        if line.value:
            line.value = ""
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        """Scroll the page."""
        self._page.move(lines)

    def action_page(self, pages: int) -> None:
        """Scroll the page by what is shown of it."""
        self._page.move(pages * self._page.page)

    def _say(self) -> None:
        key = "esc shows all" if self.query_one(Input).value else "esc closes"
        frame = self.query_one("#help")
        frame.border_subtitle = Content(f"{self._in_sight} · {key}" if self._in_sight else key)


def lines_of_help(moment: Moment, screen_name: ScreenName, width: int, typed: str = "") -> list[TextLine]:
    """Return the page in lines of ``width`` cells, with what holds all the words that are typed."""
    lines: list[TextLine] = []

    def part(heading: str, why: str, entries: list[_Entry]) -> None:
        if entries:
            lines.extend([*_heading(heading, why, width), *_in_columns(entries, width), []])

    # What cannot be done now is told last.
    for heading, keys in sorted(sections(screen_name), key=lambda section: _is_refused(section[1][0], moment)):
        why = _why_not(keys[0], moment) if _is_refused(keys[0], moment) else ""
        held = [key for key in keys if _holds(typed, f"{key.label} {key.help} {key.also} {key.request}", key.shown)]
        part(heading, why, [entry for key in held for entry in _about_key(key, moment)])
    part("Words and signs", "", [_Entry(*term) for term in TERMS if _holds(typed, term[2], term[0])])
    return lines


def _is_refused(key: Key, moment: Moment) -> bool:
    if key.needs == "replay":
        return moment.replay is None
    return key.needs == "steering" and bool(moment.refusal)


def _why_not(key: Key, moment: Moment) -> str:
    """Return why keys do nothing now; for those of a replay, how one begins."""
    if key.needs == "replay" and moment.remote:
        return ": of a copy of the run directory on this machine"
    if key.needs == "replay":
        return f": tuimon replay {plain(moment.run_path.name, 60)}"
    return f": {moment.refusal}"


def _holds(typed: str, text: str, term: str) -> bool:
    """Return whether each word typed is in the text or in the term; of a single character, whether it is the term."""
    if len(typed.strip()) == 1:
        return typed.strip() in term.split()
    held = f"{term} {text}".lower()
    return all(word in held for word in typed.lower().split())


def _about_key(key: Key, moment: Moment) -> Iterator[_Entry]:
    reason = moment.cannot(key.request) if key.request and not moment.refusal else ""
    yield _Entry(key.shown, Meaning.DIM if reason else Meaning.STRONG, key.help)
    if reason:
        yield _Entry("", Meaning.TEXT, f"not now: {plain(reason, 200)}", Meaning.WARNING)


def _heading(heading: str, why: str, width: int) -> list[TextLine]:
    """Return a heading and why its keys do nothing now, in as many lines as they take."""
    if cell_width(heading + why) <= width:
        return [[(heading, Meaning.STRONG), (why, Meaning.DIM)]]
    below = wrap(why.removeprefix(": "), width - _INDENT)
    return [
        *([(line, int(Meaning.STRONG))] for line in wrap(heading, width)),
        *([(" " * _INDENT + line, int(Meaning.DIM))] for line in below),
    ]


def _in_columns(entries: list[_Entry], width: int) -> Iterator[TextLine]:
    """Yield entries in two columns, the first as wide as its longest term; in one, where that leaves too little."""
    column = max(_LEAST_COLUMN, _INDENT + _BETWEEN + max(cell_width(entry.term) for entry in entries))
    is_below = width < column + _LEAST_WORDS
    for entry in entries:
        yield from _lines_of(entry, _BELOW if is_below else column, width, is_below=is_below)


@lru_cache(maxsize=512)
def _lines_of(entry: _Entry, column: int, width: int, *, is_below: bool) -> tuple[TextLine, ...]:
    """Return a term, and its words from a column on, in as many lines as they take."""
    term = " " * _INDENT + entry.term
    words = wrap(entry.words, max(1, width - column))
    first: list[TextLine] = [[(term, int(entry.code))]] if is_below and entry.term else []
    begins = [" " * column if is_below or index else term.ljust(column) for index in range(len(words))]
    return (
        *first,
        *([(begin, int(entry.code)), (line, int(entry.words_code))] for begin, line in zip(begins, words, strict=True)),
    )
