"""tuimon: a terminal monitor for Keras training.

`Monitor` and `open_session` are imported at their first use, so a viewer never loads Keras.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuimon.query.session import open_session
    from tuimon.trainer.keras.monitor import Monitor

__version__ = "0.1.0"
__all__ = ["Monitor", "open_session"]


def __getattr__(name: str) -> object:
    if name == "Monitor":
        from tuimon.trainer.keras.standing_aside import monitor_class

        return monitor_class()
    if name == "open_session":
        from tuimon.query.session import open_session

        return open_session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
