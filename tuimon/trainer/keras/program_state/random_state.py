"""Stores and restores the random numbers of a program: of Python, NumPy and TensorFlow's global generator."""

import random
from typing import Any

import numpy as np

from tuimon.text import plain
from tuimon.trainer.engine import Arrays
from tuimon.trainer.keras.internals import random_numbers
from tuimon.trainer.keras.program_state.stored_values import restored, store


def capture(arrays: Arrays) -> dict[str, Any]:
    """Return the states of the generators as JSON; arrays within them go into ``arrays``."""
    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "python": [version, np.array(words, dtype=np.uint32), gauss],
        "numpy": np.random.get_state(legacy=False),
        "tensorflow": random_numbers.global_state(),
    }
    return {name: store(state, f"random/{name}", arrays) for name, state in states.items()}


def restore(states: dict[str, Any], arrays: Arrays) -> list[str]:
    """Restore the states that fit; return what does not, in words."""
    wrong = []
    for name, put in (("python", _put_python), ("numpy", np.random.set_state), ("tensorflow", _put_tensorflow)):
        if name in states:
            try:
                put(restored(states[name], arrays))
            except Exception as error:  # noqa: BLE001 - another version may have another state
                wrong.append(f"the random numbers of {name} begin anew: {plain(str(error), 200)}")
    return wrong


def _put_python(state: Any) -> None:
    version, words, gauss = state
    random.setstate((version, tuple(int(word) for word in words), gauss))


def _put_tensorflow(state: Any) -> None:
    if state is not None:
        random_numbers.put_global_state(state)
