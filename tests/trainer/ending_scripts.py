"""A script that trains with a Monitor and ends in the way that it is told: ``python ending_scripts.py HOW RUNS``."""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import tuimon

HOW, RUNS = sys.argv[1:3]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fail() -> None:
    raise ValueError("a mistake\nof the user's")


def interrupt() -> None:
    raise KeyboardInterrupt


def leave() -> None:
    sys.exit(0)


def leave_in_words() -> None:
    sys.exit("no GPU")


def vanish() -> None:
    os._exit(7)


ENDS: dict[str, Callable[[], None]] = {
    "kill": kill,
    "hang up": lambda: os.kill(os.getpid(), signal.SIGHUP),
    "user's signal": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "handled": kill,
    "traceback": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "fail": fail,
    "interrupt": interrupt,
    "exit": leave,
    "exit in words": leave_in_words,
    "vanish": vanish,
}


class Ending(keras.callbacks.Callback):
    """Ends the program in the second epoch, before the Monitor hears of the end of the step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if HOW in ENDS and int(self.model.optimizer.iterations) == 7:
            ENDS[HOW]()


class Begun(keras.callbacks.Callback):
    """Tells that steps are made."""

    begun = threading.Event()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.begun.set()


def train(epochs: int) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((20, 4), "float32")
    monitor = tuimon.Monitor(runs_dir=RUNS, name=HOW, examine_at_end=False)
    model.fit(x, x[:, :1], batch_size=4, epochs=epochs, verbose=0, callbacks=[Ending(), Begun(), monitor])


if HOW == "handled":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if HOW == "traceback":
    faulthandler.register(signal.SIGUSR1)
if HOW == "thread":
    threading.Thread(target=train, args=(1_000_000,), daemon=True).start()
    Begun.begun.wait()
else:
    train(3)
