"""Questions with a few answers, each with its key: the phase, a recalibration, a rollback, and leaving."""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Key as KeyPress
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuimon.numbers import count, duration
from tuimon.protocol.commands import Recalibrate
from tuimon.protocol.events import CheckpointSaved
from tuimon.text import plain
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.viewer.meanings import Meaning, css_style

_LOW = 16
"""With fewer lines, only the marked answer says what it does."""
_IN_SIGHT = 4
"""So many answers are in sight there with the words of one of them."""
BATCHES = Recalibrate().batches
"""How many batches a recalibration reads."""


class Answer(Struct, frozen=True):
    """One answer."""

    key: str
    """The key that gives it."""
    value: str | None
    """What the question returns; None: do nothing."""
    label: str
    """A word or a few."""
    words: str
    """What the answer does, in a sentence."""


class ChoiceDialog(ModalScreen[str | None]):
    """Asks a question with a few answers; returns the value of the one that is chosen, None for escape.

    Args:
        question: The title.
        answers: The answers, from top to bottom.
        current: The value that is in force; the cursor begins there.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+c", "cancel", "cancel")]

    def __init__(self, question: str, answers: list[Answer], current: str | None = None) -> None:
        super().__init__()
        self._question = question
        self._answers = answers
        self._current = current
        self._is_low = False

    def compose(self) -> ComposeResult:
        """Lay out the answers."""
        options = OptionList(*(Option(_shown(answer)) for answer in self._answers), id="answers", markup=False)
        options.border_title = Content(self._question)
        options.border_subtitle = Content("enter chooses the one marked ›, a key its own, esc cancels")
        yield options
        yield TooSmall()

    def on_mount(self) -> None:
        """Put the cursor on the value that is in force."""
        values = [answer.value for answer in self._answers]
        options = self.query_one(OptionList)
        options.highlighted = values.index(self._current) if self._current in values else 0
        options.focus()

    def on_option_list_option_highlighted(self) -> None:
        """Mark the answer that enter chooses; a colour alone would not be seen everywhere."""
        self._show_answers()

    def on_resize(self, event: Resize) -> None:
        """Show all answers in few lines where there are few."""
        self._is_low = event.size.height < _LOW
        self.set_class(self._is_low, "-low")
        self._show_answers()

    def _show_answers(self) -> None:
        options = self.query_one(OptionList)
        for index, answer in enumerate(self._answers):
            is_marked = index == options.highlighted
            prompt = _shown(answer, marked=is_marked, in_full=is_marked or not self._is_low)
            options.replace_option_prompt_at_index(index, prompt)
        if self._is_low and (options.highlighted or 0) < _IN_SIGHT:
            # The list has scrolled to the marked one while all of them stood in full.
            self.call_after_refresh(options.scroll_home, animate=False)

    def on_key(self, event: KeyPress) -> None:
        """Choose the answer whose key is pressed."""
        for answer in self._answers:
            if event.key == answer.key:
                event.stop()
                self.dismiss(answer.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose the answer under the cursor."""
        self.dismiss(self._answers[event.option_index].value)

    def action_cancel(self) -> None:
        """Close the question without an answer."""
        self.dismiss(None)


def _shown(answer: Answer, *, marked: bool = False, in_full: bool = True) -> Content:
    head = (f"{'›' if marked else ' '}{answer.key}  ", "bold")
    if not in_full:
        return Content.assemble(head, answer.label)
    return Content.assemble(head, f"{answer.label}\n    ", (answer.words, css_style(Meaning.DIM)))


def phase_chooser(current: str) -> ChoiceDialog:
    """Return the question for the learning phase."""
    return ChoiceDialog(
        "Learning phase",
        [
            Answer("a", "auto", "auto", "As Keras does it: training in fit, inference in validation."),
            Answer("t", "train", "train (1)", "Batch statistics, random layers on: in validation too."),
            Answer("i", "inference", "inference (0)", "Moving statistics, random layers off: in training too."),
        ],
        current,
    )


def recalibrate_chooser() -> ChoiceDialog:
    """Return the question before the moving statistics are estimated afresh."""
    return ChoiceDialog(
        "Estimate the moving statistics of all layers afresh?",
        [
            Answer(
                "r",
                "recalibrate",
                "recalibrate",
                f"From {BATCHES} training batches, exactly, in place of the old ones.",
            ),
            Answer("d", "dry run", "dry run", "Only says what validation gives with the old and with the new."),
            Answer("c", None, "cancel", "Back to the screen."),
        ],
    )


def rollback_chooser(checkpoint: CheckpointSaved, seconds: float) -> ChoiceDialog:
    """Return the question before a run goes back to a checkpoint that is ``seconds`` old."""
    return ChoiceDialog(
        f"Go back to {plain(checkpoint.name, 40)}?",
        [
            Answer(
                "b",
                checkpoint.name,
                f"roll back to epoch {count(checkpoint.epoch + 1)}, {duration(seconds)} ago",
                "Weights, optimizer, seeds and modes of then; the data go on.",
            ),
            Answer("c", None, "cancel", "Back to the screen."),
        ],
    )


def checkpoint_chooser(checkpoints: Sequence[CheckpointSaved], now: float) -> ChoiceDialog:
    """Return the question to which checkpoint a run goes back; the newest ones first, at most nine."""
    newest = list(reversed(checkpoints))[:9]
    return ChoiceDialog(
        "Go back to which checkpoint?",
        [
            *(
                Answer(
                    str(number),
                    each.name,
                    plain(each.name, 40),
                    f"Epoch {count(each.epoch + 1)}, step {count(each.step)}, {duration(now - each.time)} ago.",
                )
                for number, each in enumerate(newest, start=1)
            ),
            Answer("c", None, "cancel", "Back to the screen."),
        ],
        current=None,
    )


def stop_chooser() -> ChoiceDialog:
    """Return the question when training ends."""
    return ChoiceDialog(
        "End training?",
        [
            Answer("c", None, "cancel", "Back to the screen; training goes on."),
            Answer("s", "batch", "stop after this batch", "Ends training as model.stop_training does."),
            Answer("e", "epoch", "stop after this epoch", "Its validation is still made."),
        ],
    )


def pasted_question(keys: Sequence[str]) -> ChoiceDialog:
    """Return the question what keys that came all at once are to do."""
    shown = plain(" ".join(keys), 50)
    return ChoiceDialog(
        "Pasted? Several keys came at once",
        [
            Answer("n", None, "do nothing", f"Forget {shown}"),
            Answer("t", "type", "type them", "Each does what it does when it is pressed, one after the other."),
        ],
    )


def quit_chooser() -> ChoiceDialog:
    """Return the question on leaving a run that goes on."""
    return ChoiceDialog(
        "Training goes on. Leave this screen?",
        [
            Answer("l", "leave", "leave it training", "Closes this screen only; tuimon watch attaches again."),
            Answer("s", "stop", "stop after this batch", "Ends training as model.stop_training does, then closes."),
            Answer("c", None, "cancel", "Back to the screen."),
        ],
    )
