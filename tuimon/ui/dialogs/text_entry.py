"""A question that is answered with a number or a few words, on one line."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tuimon.diagnosis.layers import half_life
from tuimon.numbers import count, figure, learning_rate, number, setting
from tuimon.protocol import values
from tuimon.protocol.commands import Recalibrate
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.dialogs.kept_texts import kept_texts
from tuimon.ui.drawing.too_small import TooSmall

_SHOWN_VALUES = 4
_MOST_NAMES = 5
_MOST_BATCHES = 100_000

Value = TypeVar("Value")


class TextDialog(ModalScreen[str | None], Generic[Value]):
    """Asks for a text; returns it once ``read`` takes it, or None for escape.

    Args:
        question: The title.
        present: The value that is in force now, in words.
        wanted: Which texts are taken, in words.
        read: Turns a text into a value; raises ``ValueError`` with words for people.
        effect: Returns the effect of a value, in words.
        longest: How many characters may be typed.
        does: What enter does, in words.
        text: What stands in the line at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # The input line would copy.
        Binding("escape,ctrl+c", "cancel", "cancel", priority=True)
    ]

    def __init__(
        self,
        question: str,
        *,
        present: str,
        wanted: str,
        read: Callable[[str], Value],
        effect: Callable[[Value], str],
        longest: int = 40,
        does: str = "sends it",
        text: str = "",
    ) -> None:
        super().__init__()
        self._question = question
        self._present = present
        self._wanted = wanted
        self._read = read
        self._effect = effect
        self._longest = longest
        self._does = does
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay out the line: the present value above it, the effect of the typed one below."""
        with Vertical(id="entry") as panel:
            panel.border_title = Content(plain(self._question))
            panel.border_subtitle = Content(f"enter {self._does}, esc cancels")
            yield Static(Content(self._present), id="present", markup=False)
            first = self._text or kept_texts(self.app).get(self._question, "")
            line = Input(first, max_length=self._longest, compact=True, select_on_focus=False)
            line.cursor_blink = False
            yield line
            yield Static(Content(self._wanted), id="effect", markup=False)
        yield TooSmall()

    @property
    def question(self) -> str:
        """The title."""
        return self._question

    def on_mount(self) -> None:
        """Let the line take the first key."""
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the effect of the typed value, or its error."""
        effect = self.query_one("#effect", Static)
        words, is_wrong = self._about(event.value)
        effect.update(Content(words))
        effect.set_class(is_wrong, "wrong")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the text; a text with an error stays, to be corrected."""
        if not event.value:
            self.query_one("#effect", Static).update(Content(f"Nothing is typed yet. {self._wanted}"))
        elif not self._about(event.value)[1]:
            self.dismiss(event.value)

    def action_cancel(self) -> None:
        """Close the question without an answer."""
        self.dismiss(None)

    def _about(self, text: str) -> tuple[str, bool]:
        if not text:
            return self._wanted, False
        try:
            value = self._read(text)
        except ValueError as error:
            words = plain(str(error))
            return f"{words[:1].upper()}{words[1:]}.", True
        return self._effect(value), False


def learning_rate_entry(state: RunState) -> TextDialog[float | None]:
    """Return the question for the learning rate."""
    now = learning_rate(state.learning_rate)

    def effect(value: float | None) -> str:
        if value is None:
            return "The optimizer's schedule sets it, from the next step on."
        factor = f", {figure(value / state.learning_rate, 3)} times the present rate" if state.learning_rate else ""
        return f"{learning_rate(value)} from the next step on{factor}."

    return TextDialog(
        "Learning rate",
        present=f"Now {now}"
        if state.learning_rate is not None
        else "The present rate is known at the end of an epoch.",
        wanted=f"A number above 0, or the word {values.SCHEDULE}.",
        read=values.learning_rate,
        effect=effect,
    )


def momentum_entry(state: RunState, paths: list[str]) -> TextDialog[float]:
    """Return the question for the momentum of some layers; none: of all."""
    of = ", ".join(paths) or ("all layers" if len(state.layers) > 1 else next(iter(state.layers), "all layers"))
    momenta = {state.momentum.get(path, state.layers[path].layer.momentum) for path in paths or state.layers}
    now = ", ".join(setting(value) for value in sorted(momenta)[:_SHOWN_VALUES])

    def effect(value: float) -> str:
        if value == 0:
            return "The moving statistics become the last batch's."
        if value == 1:
            return "The moving statistics stay as they are."
        return f"Half-life of the moving statistics: {number(half_life(value), 2)} steps."

    return TextDialog(
        f"Momentum of {of}",
        present=f"Now {now}{', …' if len(momenta) > _SHOWN_VALUES else ''}",
        wanted="A number from 0 (the last batch alone) to 1 (held).",
        read=values.momentum,
        effect=effect,
    )


def layers_entry(state: RunState, question: str, *, of_any: bool) -> TextDialog[list[str]]:
    """Return the question for the layers that a request is about.

    Args:
        state: Knows the BatchNormalization layers.
        question: The title.
        of_any: True where layers of any kind are meant: which ones match is known to the trainer alone.
    """

    def read(text: str) -> list[str]:
        return text.split() if of_any else matching_layers(state, text)

    def effect(found: list[str]) -> str:
        if of_any:
            return f"Layers of any kind that match {' or '.join(map(plain, found))}."
        shown = ", ".join(plain(path, 40) for path in found[:_SHOWN_VALUES])
        return (
            f"{count(len(found))} of {count(len(state.layers))}: {shown}{', …' if len(found) > _SHOWN_VALUES else ''}"
        )

    return TextDialog(
        question,
        present="A glob, such as *bn_1 or block2*: it matches a path or its last part.",
        wanted="One glob or several, with spaces between.",
        read=read,
        effect=effect,
        longest=500,
    )


def matching_layers(state: RunState, text: str) -> list[str]:
    """Return the paths of the BatchNormalization layers that any of several globs matches, in the model's order.

    Raises:
        ValueError: none matches.
    """
    globs = text.split()
    found = [
        path
        for path in state.layers
        if any(fnmatchcase(name, each) for each in globs for name in (path, path.rpartition("/")[2]))
    ]
    if not found:
        names = [path.rpartition("/")[2] for path in state.layers]
        shown = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
        raise ValueError(
            f"no BatchNormalization layer matches; there are {plain(shown, 200)}; * stands for any letters"
        )
    return found


def batches_entry() -> TextDialog[int]:
    """Return the question for the number of batches of a recalibration."""

    def read(text: str) -> int:
        if not (text.strip().isdecimal() and 1 <= int(text) <= _MOST_BATCHES):
            raise ValueError(f"expected a whole number from 1 to {count(_MOST_BATCHES)}")
        return int(text)

    return TextDialog(
        "Estimate the moving statistics of all layers afresh",
        present=f"Usually from {Recalibrate().batches} training batches.",
        wanted="How many batches.",
        read=read,
        effect=lambda number: f"From {count(number)} training batches, exactly, in place of the old ones.",
    )


def note_entry(state: RunState, text: str = "") -> TextDialog[str]:
    """Return the question for a note; ``text`` stands in the line at first."""

    def effect(_: str) -> str:
        return f"Stays in the log and in the timeline, at about step {count(state.step)}."

    return TextDialog(
        "Note",
        present="What you saw, tried or want to remember of this run.",
        wanted="Any text, on one line.",
        read=values.note,
        effect=effect,
        text=text,
        longest=500,
    )
