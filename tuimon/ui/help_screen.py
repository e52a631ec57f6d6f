"""The help screen: keys, signs and colours."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tuimon.ui.keys import KEYS, Key
from tuimon.ui.palette import STYLES, Meaning

_TERMS: tuple[tuple[str, Meaning, str], ...] = (
    ("training", Meaning.TRAINING, "batch statistics are used, the moving statistics follow"),
    ("frozen", Meaning.FROZEN, "trainable=False: moving statistics are used; they, gamma and beta are held"),
    ("inference", Meaning.INFERENCE, "moving statistics are used and held; gamma and beta learn"),
    ("asked", Meaning.DIM, "a request of yours that the trainer has not answered yet"),
    ("batch", Meaning.BATCH, "loss of each batch; a column holds its smallest to its largest"),
    ("valid", Meaning.VALIDATION, "validation loss, once an epoch"),
    ("▲", Meaning.ERROR, "at the top of a chart: a value there was NaN or infinite"),
    ("┊ ▲", Meaning.COMMAND, "a request took effect at this step"),
    ("5–95 %", Meaning.BAND, "between these quantiles lie nine of ten channels; the line is the median"),
    ("change", Meaning.TEXT, "how far the moving mean went since the first sample, in standard deviations"),
)


class HelpScreen(ModalScreen[None]):
    """Keys, and what the signs mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,ctrl+c", "close", "close"),
        Binding("up,k", "scroll(-1)", "up"),
        Binding("down,j", "scroll(1)", "down"),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the page."""
        with VerticalScroll(id="help") as page:
            page.border_title = Content("help")
            page.border_subtitle = Content("esc closes")
            yield Static(_page(), markup=False)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        """Scroll."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def _page() -> Content:
    lines: list[Content] = []
    for heading, needs in (
        ("Keys", ("always", "tabs")),
        ("In a run that takes requests", ("steering",)),
        ("In a replay", ("replay",)),
    ):
        lines.append(Content.styled(heading, "bold"))
        lines += [_entry(key) for key in KEYS if key.needs in needs]
        lines.append(Content(""))
    lines.append(Content.styled("Words and signs", "bold"))
    lines += [
        Content.assemble("  ", (f"{term:<11}", str(STYLES[meaning])), (words, "dim")) for term, meaning, words in _TERMS
    ]
    return Content("\n").join(lines)


def _entry(key: Key) -> Content:
    return Content.assemble("  ", (f"{key.shown:<11}", "bold"), (key.help, "dim"))
