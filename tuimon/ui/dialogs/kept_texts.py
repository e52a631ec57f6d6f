"""What was typed and could not be sent: the question offers it again, so that nobody types it twice."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from textual.app import App

from tuimon.protocol.commands import Note
from tuimon.ui.viewer.moment import Moment

_OF_APPS: MutableMapping[App[Any], dict[str, str]] = WeakKeyDictionary()


def kept_texts(app: App[Any]) -> dict[str, str]:
    """Return the texts that were typed in an app and are not sent: by the question, of a note by `note_on`."""
    return _OF_APPS.setdefault(app, {})


def note_on(run: Path) -> str:
    """Return the name under which a note on a run is kept, whichever question asked for it."""
    return f"note on {run}"


def unsent_note(app: App[Any], run: Path, moment: Moment) -> str:
    """Return the note on a run that was typed last; empty where the log has it, and while its answer is awaited.

    Args:
        app: Where it was typed.
        run: The directory of the run.
        moment: Of the run that is watched.
    """
    text = kept_texts(app).get(note_on(run), "")
    if run != moment.run_path:
        return text
    answered = (command.request for command in moment.state.commands.values() if command.applied)
    is_taken = any(isinstance(request, Note) and request.text == text for request in answered)
    return "" if is_taken or any(asked.command == "note" for asked in moment.asked) else text
