"""tuimon: a terminal monitor for Keras training.

The names below are imported when they are first used, so that a viewer never loads Keras.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuimon.trainer.monitor import Monitor

__version__ = "0.1.0"
__all__ = ["Monitor"]

_LAZY = {"Monitor": "tuimon.trainer.monitor"}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
