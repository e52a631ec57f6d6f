"""Why: one alert at a time, with the numbers that it rests on and what to do."""

import math
import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key as KeyPress
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from tuimon.numbers import count, number
from tuimon.protocol.events import Alert
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs.state import OVER
from tuimon.text import plain
from tuimon.ui.drawing.cells import cell_width, fit, wrap
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.viewer.alerts import Help, helping_key, sign
from tuimon.ui.viewer.keys import WHY_KEY, textual_name
from tuimon.ui.viewer.meanings import Meaning, css_style
from tuimon.ui.viewer.moment import Moment

_WIDTH = 84
_MARGINS = 9
"""Columns of the page for frame, padding and scroll bar."""
_INDENT = 2
_MOST_NUMBERS = 40
_NAME_LIMIT = 40


class WhyScreen(ModalScreen[Alert | None]):
    """Shows one alert at a time; returns the alert whose key was pressed, or None where none was.

    Args:
        moment: Holds the alerts, oldest first, and says which keys do anything now.
        chosen: The alert to begin with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(f"escape,enter,q,ctrl+c,{WHY_KEY}", "close", "close"),
        Binding("left", "other(-1)", "older"),
        Binding("right", "other(1)", "newer"),
        Binding("up,k", "scroll(-1)", "up"),
        Binding("down,j", "scroll(1)", "down"),
    ]

    def __init__(self, moment: Moment, chosen: Alert) -> None:
        super().__init__()
        self._moment = moment
        self._alerts: Sequence[Alert] = tuple(moment.state.alerts)
        self._help: Help | None = None
        self._index = next(index for index, alert in enumerate(self._alerts) if alert is chosen)

    def compose(self) -> ComposeResult:
        """Lay out an empty page."""
        with VerticalScroll(id="why"):
            yield Static(markup=False)
        yield TooSmall()

    def on_resize(self, _: Resize) -> None:
        """Break the lines for this width."""
        self._show()

    def on_key(self, event: KeyPress) -> None:
        """Close with the alert where the key that it names is pressed."""
        if self._help is not None and event.key == textual_name(self._help.key):
            event.stop()
            self.dismiss(self._alerts[self._index])

    def action_other(self, by: int) -> None:
        """Show an older or a newer alert."""
        self._index = max(0, min(len(self._alerts) - 1, self._index + by))
        self._show()

    def action_scroll(self, lines: int) -> None:
        """Scroll the page."""
        self.query_one("#why").scroll_relative(y=lines, animate=False)

    def action_close(self) -> None:
        """Close the page."""
        self.dismiss(None)

    def _show(self) -> None:
        page = self.query_one("#why")
        alert = self._alerts[self._index]
        self._help = helping_key(alert, self._moment)
        page.border_title = Content(f"why: alert {self._index + 1} of {len(self._alerts)}")
        older = "← older  " if self._index else ""
        newer = "→ newer  " if self._index < len(self._alerts) - 1 else ""
        page.border_subtitle = Content(f"{older}{newer}esc closes")
        width = min(_WIDTH, self.size.width) - _MARGINS
        page.query_one(Static).update(_page(alert, self._help, width, is_over=self._moment.status in OVER))
        page.scroll_home(animate=False)


def _page(alert: Alert, wanted: Help | None, width: int, *, is_over: bool) -> Content:
    """Return an alert in lines of ``width`` cells."""
    shown, meaning = sign(alert)
    when = time.strftime("%H:%M:%S", time.localtime(alert.time))
    lines = [
        Content.assemble(
            (f"{shown} {plain(alert.severity, 20)}  {plain(alert.rule, 10)}", css_style(meaning)),
            (f"   step {count(alert.step)}   epoch {count(alert.epoch + 1)}   {when}", css_style(Meaning.DIM)),
        ),
        Content(""),
        *_text(_sentence(alert.what), width, css_style(Meaning.STRONG)),
    ]
    if alert.layer is not None:
        lines += [Content(""), _heading("Layer"), *_text(plain(alert.layer), width)]
    if alert.evidence:
        lines += [Content(""), _heading("Evidence"), *_numbers(alert.evidence, width)]
    lines += [Content(""), _heading("What to do"), *_text(_sentence(alert.advice), width)]
    if alert.request:
        request = f"tuimon send RUN {plain(alert.request, 300)}"
        if wanted is not None:
            lines.append(_key_line(wanted, request, width))
        lines += _text(request, width, css_style(Meaning.COMMAND)) if wanted is None else []
        lines += _text("This run is over: the request is for one that trains.", width) if is_over else []
    return Content("\n").join(lines)


def _key_line(wanted: Help, request: str, width: int) -> Content:
    words = f" {wanted.words}, as does  "
    room = width - _INDENT - len(wanted.key) - len(words)
    return Content.assemble(
        " " * _INDENT,
        (wanted.key, css_style(Meaning.KEY)),
        (words, css_style(Meaning.DIM)),
        (fit(request, room), css_style(Meaning.COMMAND)),
    )


def _numbers(evidence: dict[str, Number], width: int) -> list[Content]:
    """Return names and numbers, the numbers aligned at their points."""
    shown = [(plain(name.replace("_", " "), _NAME_LIMIT), _number(value)) for name, value in evidence.items()]
    rest = len(shown) - _MOST_NUMBERS
    shown = shown[:_MOST_NUMBERS]
    names = max(cell_width(name) for name, _ in shown)
    whole = max(len(text.partition(".")[0]) for _, text in shown)
    lines = []
    for name, text in shown:
        space = " " * (names - cell_width(name) + 3 + whole - len(text.partition(".")[0]))
        line = fit(f"{name}{space}{text}", width - _INDENT)
        lines.append(Content.assemble(" " * _INDENT, line))
    if rest > 0:
        lines.append(Content.styled(f"{' ' * _INDENT}and {rest} more in the log", css_style(Meaning.DIM)))
    return lines


def _number(value: Number) -> str:
    real = from_wire(value)
    if value is None:
        return "–"
    if math.isfinite(real) and real == int(real) and abs(real) < 1e12:
        return count(int(real))
    return number(real)


def _sentence(text: str) -> str:
    words = plain(text)
    return f"{words[:1].upper()}{words[1:]}" + ("" if words.endswith((".", "!", "?", "…")) else ".")


def _heading(text: str) -> Content:
    return Content.styled(text, css_style(Meaning.TITLE))


def _text(text: str, width: int, style: str = "") -> list[Content]:
    return [
        Content.assemble(" " * _INDENT, (line, style)) if style else Content(" " * _INDENT + line)
        for line in wrap(text, max(10, width - _INDENT))
    ]
