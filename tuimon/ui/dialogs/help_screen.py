"""The help screen: keys, signs and colours."""

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static

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
    ("▲ ✗ •", Meaning.WARNING, "a warning, an error, a remark of the diagnosis; enter says why"),
    ("overhead", Meaning.TEXT, "the share of the time that monitoring takes"),
    ("change", Meaning.TEXT, "how far the moving mean went since the first sample, in standard deviations"),
)


class HelpScreen(ModalScreen[None]):
    """Lists the keys, and what words and signs mean.

    Args:
        moment: Says which keys do nothing now, and why.
        screen_name: The screen whose keys come first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,ctrl+c", "close", "close"),
        Binding("up,k", "scroll(-1)", "up"),
        Binding("down,j", "scroll(1)", "down"),
    ]

    def __init__(self, moment: Moment, screen_name: ScreenName) -> None:
        super().__init__()
        self._moment = moment
        self._screen_name = screen_name

    def compose(self) -> ComposeResult:
        """Lay out an empty page."""
        with VerticalScroll(id="help") as page:
            page.border_title = Content("help")
            page.border_subtitle = Content("esc closes")
            yield Static(markup=False)
        yield TooSmall()

    def on_resize(self, event: Resize) -> None:
        """Break the lines for this width."""
        width = min(_WIDTH, event.size.width) - _MARGINS
        self.query_one("#help > Static", Static).update(_page(self._moment, self._screen_name, width))

    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        """Scroll the page."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def _page(moment: Moment, screen_name: ScreenName, width: int) -> Content:
    lines: list[Content] = []
    for heading, keys in sections(screen_name):
        why = f": {moment.refusal}" if keys[0].needs == "steering" and moment.refusal else ""
        lines.append(Content.assemble((heading, "bold"), (why, _DIM)))
        lines += [line for key in keys for line in _about_key(key, moment, width)]
        lines.append(Content(""))
    lines.append(Content.styled("Words and signs", "bold"))
    lines += [line for term, meaning, words in _TERMS for line in _entry(term, css_style(meaning), words, width)]
    return Content("\n").join(lines)


def _about_key(key: Key, moment: Moment, width: int) -> Iterator[Content]:
    reason = moment.cannot(key.request) if key.request and not moment.refusal else ""
    yield from _entry(key.shown, _DIM if reason else "bold", key.help, width)
    if reason:
        yield from _entry("", "", f"not now: {plain(reason, 200)}", width, css_style(Meaning.WARNING))


def _entry(term: str, style: str, words: str, width: int, words_style: str = _DIM) -> Iterator[Content]:
    """Yield a term and its words, in as many lines as they take."""
    for line in wrap(words, max(10, width - _TERM_WIDTH)):
        yield Content.assemble(" " * _INDENT, (term.ljust(_TERM_WIDTH - _INDENT), style), (line, words_style))
        term = ""
