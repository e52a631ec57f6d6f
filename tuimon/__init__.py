"""tuimon: a terminal monitor for Keras training.

`Monitor` is imported at its first use, so a viewer never loads Keras.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuimon.trainer.keras.monitor import Monitor

__version__ = "0.1.0"
__all__ = ["Monitor"]


def __getattr__(name: str) -> object:
    if name == "Monitor":
        from tuimon.trainer.keras.standing_aside import monitor_class

        return monitor_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
