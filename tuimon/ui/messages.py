"""The message by which the reading threads tell the app what has happened."""

import threading
from dataclasses import dataclass, field

from textual.message import Message

from tuimon.ui.viewer.news import News


@dataclass
class Heard(Message):
    """Something has happened outside of the screen."""

    news: News
    """What has happened."""
    taken: threading.Event = field(default_factory=threading.Event)
    """Set when more is wanted: a long log must not keep the screen from being drawn."""
    reader: object = None
    """Who has read it: what comes late of a run that is shown no more is ignored. None: whoever reads the run."""
