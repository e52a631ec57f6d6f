"""The help screen: keys, signs and colours."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tuimon.text import plain
from tuimon.ui.drawing.cells import wrap
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.viewer.key import Key, ScreenName
from tuimon.ui.viewer.keys import sections
from tuimon.ui.viewer.meanings import Meaning, css_style
from tuimon.ui.viewer.moment import Moment

_WIDTH = 100
_MARGINS = 10
"""Columns of the page for frame, padding and scroll bar."""
_TERM_WIDTH, _INDENT = 16, 2
_DIM = css_style(Meaning.DIM)

_TERMS: tuple[tuple[str, Meaning, str], ...] = (
    ("training", Meaning.TRAINING, "batch statistics are used, the moving statistics follow"),
    ("frozen", Meaning.FROZEN, "trainable=False: moving statistics are used; they, gamma and beta are held"),
    (
        "inference",
        Meaning.INFERENCE,
        "moving statistics are used and held; gamma and beta learn: held, or by the phase",
    ),
    ("momentum", Meaning.COMMAND, "beside a mode: the momentum that was asked for, instead of the model's own"),
    ("asked", Meaning.DIM, "a request of yours that the trainer has not answered yet"),
    ("batch", Meaning.BATCH, "loss of each batch; a column holds its smallest to its largest"),
    ("valid", Meaning.VALIDATION, "validation loss, once an epoch"),
    ("▲", Meaning.ERROR, "at the top of a chart: a value there was NaN or infinite"),
    ("┊ ▲", Meaning.COMMAND, "a request took effect at this step, or the run went back or on from a checkpoint"),
    ("5–95 %", Meaning.BAND, "between these quantiles lie nine of ten channels; the line is the median"),
    ("gap", Meaning.GAP, "loss in training mode minus loss in inference mode, on the same held batches; made of"),
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


class _SearchLine(Input):
    """Takes letters, but leaves those that close the page to it as long as nothing is typed."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Return whether a key is typed here, before it means anything else."""
        return super().check_consume_key(key, character) and bool(self.value or key not in ("q", "question_mark"))


class HelpScreen(ModalScreen[None]):
    """Lists the keys, and what words and signs mean; only what matches, while somebody types.

    Args:
        moment: Says which keys do nothing now, and why.
        screen_name: The screen whose keys come first.
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

    def __init__(self, moment: Moment, screen_name: ScreenName) -> None:
        super().__init__()
        self._moment = moment
        self._screen_name = screen_name
        self._width = 0
        """The width of the app for which the lines are broken."""

    def compose(self) -> ComposeResult:
        """Lay out the whole page for the size of the app: to fill it in later means to lay it out twice."""
        with Vertical(id="help") as page:
            page.border_title = Content("help")
            page.border_subtitle = Content("esc closes")
            line = _SearchLine(placeholder="type to search", compact=True, max_length=100)
            line.cursor_blink = False
            yield line
            with VerticalScroll(id="help-page", can_focus=False):
                yield Static(self._lines(self.app.size.width), markup=False)
        yield TooSmall()

    def on_mount(self) -> None:
        """Let the line take the first key."""
        self.query_one(Input).focus()

    def on_resize(self, event: Resize) -> None:
        """Break the lines for this width."""
        if event.size.width != self._width:
            self._show(event.size.width)

    def on_input_changed(self) -> None:
        """List what the words find."""
        self._show(self.size.width)
        self.query_one("#help-page").scroll_home(animate=False)

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
        self.query_one("#help-page").scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll the page by what is shown of it."""
        page = self.query_one("#help-page")
        page.scroll_relative(y=pages * max(1, page.size.height - 1), animate=False)

    def _lines(self, width: int, words: str = "") -> Content:
        self._width = width
        return _page(self._moment, self._screen_name, min(_WIDTH, width) - _MARGINS, words)

    def _show(self, width: int) -> None:
        words = self.query_one(Input).value
        self.query_one("#help-page > Static", Static).update(self._lines(width, words))
        self.query_one("#help").border_subtitle = Content("esc shows all" if words else "esc closes")


def _page(moment: Moment, screen_name: ScreenName, width: int, typed: str = "") -> Content:
    """Return the page in lines of ``width`` cells, with what holds all the words that are typed."""
    lines: list[Content] = []

    def part(heading: str, why: str, shown: list[list[Content]]) -> None:
        if shown:
            lines.extend([Content.assemble((heading, "bold"), (why, _DIM)), *chain.from_iterable(shown), Content("")])

    # What cannot be done now is told last.
    for heading, keys in sorted(sections(screen_name), key=lambda section: _is_refused(section[1][0], moment)):
        why = _why_not(keys[0], moment) if _is_refused(keys[0], moment) else ""
        part(
            heading,
            why,
            [
                list(_about_key(key, moment, width))
                for key in keys
                if _holds(typed, f"{key.label} {key.help} {key.also} {key.request}", key.shown)
            ],
        )
    part(
        "Words and signs",
        "",
        [
            list(_entry(term, css_style(meaning), words, width))
            for term, meaning, words in _TERMS
            if _holds(typed, words, term)
        ],
    )
    return Content("\n").join(lines or [Content.styled("No key and no word matches.", _DIM)])


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


def _about_key(key: Key, moment: Moment, width: int) -> Iterator[Content]:
    reason = moment.cannot(key.request) if key.request and not moment.refusal else ""
    yield from _entry(key.shown, _DIM if reason else "bold", key.help, width)
    if reason:
        yield from _entry("", "", f"not now: {plain(reason, 200)}", width, css_style(Meaning.WARNING))


@lru_cache(maxsize=512)
def _entry(term: str, style: str, words: str, width: int, words_style: str = _DIM) -> tuple[Content, ...]:
    """Return a term and its words, in as many lines as they take."""
    return tuple(
        Content.assemble(
            " " * _INDENT, ((term if index == 0 else "").ljust(_TERM_WIDTH - _INDENT), style), (line, words_style)
        )
        for index, line in enumerate(wrap(words, max(10, width - _TERM_WIDTH)))
    )
