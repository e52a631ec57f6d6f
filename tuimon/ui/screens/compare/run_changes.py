"""Tags, pins and deletes runs: it asks what is to be asked, and works in threads, since a disk may be slow."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from tuimon.runs.listing import removal, tags
from tuimon.runs.listing.summary import Summary
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain
from tuimon.ui.dialogs.kept_texts import kept_texts, note_on, unsent_note
from tuimon.ui.dialogs.questions import Answer, ChoiceDialog
from tuimon.ui.dialogs.text_entry import TextDialog
from tuimon.ui.frame.base_screen import BaseScreen
from tuimon.ui.viewer.moment import Moment


@dataclass
class RunChanged(Message):
    """What was asked for is done, or is not."""

    words: str
    """What happened, in a sentence; empty where it is seen."""
    pinned_here: Path | None = None
    """The run to measure against on this screen alone, because its tag cannot be written."""


@dataclass
class DeletionExamined(Message):
    """It is known what would be deleted."""

    run: RunDirectory
    """The run."""
    words: str
    """What goes with it; or why it is not deleted."""
    is_refused: bool = False
    """True where it is not deleted."""


class RunChanges:
    """Changes runs for a screen, which hears `RunChanged` and `DeletionExamined`.

    Args:
        screen: Opens the questions, and hears the messages.
    """

    def __init__(self, screen: BaseScreen) -> None:
        self._screen = screen

    def tag(self, line: Summary) -> None:
        """Ask for tags to add and to take away."""
        present = " ".join(line.tags.tags)

        def effect(changes: tuple[list[str], list[str]]) -> str:
            after = line.tags.changed(*changes).tags
            return f"Then its tags are: {' '.join(after)}." if after else "Then it has no tags."

        question = TextDialog(
            f"Tags of {plain(line.name, 60)}",
            present=f"Now {present}" if present else "It has no tags.",
            wanted="Words to add; with - before, to take away.",
            does="keeps them",
            read=lambda text: _checked(line, text),
            effect=effect,
            longest=200,
        )

        def change(text: str | None) -> None:
            if text is not None:
                add, remove = tags.changes_in(text)
                after = line.tags.changed(add, remove).tags
                # A small screen has no column of tags.
                said = f"Tags of {line.name}: {' '.join(after)}" if after else f"{line.name} has no tags"
                self._work(lambda: tags.change_tags(line.path, add, remove), said=said)

        self._screen.app.push_screen(question, change)

    def note(self, line: Summary, moment: Moment) -> None:
        """Ask for the note; one that the watched run did not take any more is offered."""
        kept = kept_texts(self._screen.app)
        question = TextDialog(
            f"Note on {plain(line.name, 60)}",
            present=f"Now: {line.tags.note}" if line.tags.note else "It has no note.",
            wanted="Any text, on one line; a - alone takes it away.",
            does="keeps it",
            read=tags.note,
            effect=lambda _: f"Stays in {tags.FILE_NAME} in the run directory, beside the log.",
            longest=tags.LONGEST_NOTE,
            text=unsent_note(self._screen.app, line.path, moment),
        )

        def change(text: str | None) -> None:
            if text is not None:
                kept[note_on(line.path)] = text
                self._work(lambda: write(text))

        def write(text: str) -> None:
            tags.change_tags(line.path, note="" if text.strip() == "-" else tags.note(text))
            kept.pop(note_on(line.path), None)

        self._screen.app.push_screen(question, change)

    def pin(self, line: Summary, others: Iterable[Path]) -> None:
        """Make a run the baseline, or no longer, if it is."""
        if tags.BASELINE in line.tags.tags:
            self._work(lambda: tags.change_tags(line.path, remove=[tags.BASELINE]))
            return
        paths = list(others)
        self._work(lambda: tags.pin_baseline(line.path, paths), pinned_here=line.path)

    def delete(self, line: Summary) -> None:
        """Look at what would be deleted; the screen asks then."""
        run = RunDirectory(line.path)

        def examine() -> Message:
            try:
                doubt = removal.doubt(run)
            except OSError as error:
                return RunChanged(f"{run.name}: {error.strerror or error}")
            if doubt is not None:
                remedy = f"; if you know that it is over: tuimon delete --force {run.name}" * doubt.may_be_forced
                return DeletionExamined(run, f"{doubt.words}{remedy}", is_refused=True)
            return DeletionExamined(run, removal.contents(run).words)

        self._in_thread(examine)

    def ask_to_delete(self, examined: DeletionExamined) -> None:
        """Ask once, and delete; or say why it is not deleted."""
        run, words = examined.run, plain(examined.words)
        if examined.is_refused:
            # A sentence to be read to its end, which a line of the list has no room for.
            answers = [Answer("c", None, "close", f"{words[:1].upper()}{words[1:]}.")]
            self._screen.app.push_screen(ChoiceDialog(f"{plain(run.name, 60)} is not deleted", answers))
            return
        question = ChoiceDialog(
            f"Delete {plain(run.name, 60)} for good?",
            [
                Answer("d", "delete", "delete", f"Everything in its directory: {words}."),
                Answer("c", None, "cancel", "Back to the screen."),
            ],
        )

        def delete() -> Message:
            try:
                removal.delete(run)
            except removal.NotDeletedError as error:
                return DeletionExamined(run, str(error), is_refused=True)
            except OSError as error:
                return RunChanged(f"Not deleted: {error.strerror or error}.")
            return RunChanged(f"Deleted {run.name}.")

        def answered(answer: str | None) -> None:
            if answer is not None:
                self._in_thread(delete)

        self._screen.app.push_screen(question, answered)

    def _work(self, change: Callable[[], object], pinned_here: Path | None = None, said: str = "") -> None:
        def work() -> Message:
            try:
                change()
            except ValueError as error:
                return RunChanged(f"Nothing was changed: {error}.")
            except OSError as error:
                words = f"The tags cannot be written: {error.strerror or error}"
                if pinned_here is not None:
                    return RunChanged(f"{words}; pinned on this screen alone.", pinned_here=pinned_here)
                return RunChanged(f"{words}.")
            return RunChanged(said)

        self._in_thread(work)

    def _in_thread(self, work: Callable[[], Message]) -> None:
        screen = self._screen
        screen.run_worker(lambda: screen.post_message(work()), name="run changes", thread=True)


def _checked(line: Summary, text: str) -> tuple[list[str], list[str]]:
    changes = tags.changes_in(text)
    line.tags.changed(*changes)
    return changes
