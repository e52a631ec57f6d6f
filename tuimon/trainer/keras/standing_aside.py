"""Chooses the Monitor, or a stand-in that records nothing if the Monitor cannot work.

The stand-in serves if Keras runs on another backend than TensorFlow, or if one of them cannot be imported. A script
with a Monitor trains all the same. This module loads no TensorFlow.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tuimon.protocol.values import DEFAULT_OVERHEAD
from tuimon.trainer.options import Options, Resume
from tuimon.trainer.standard_error import say

Batch = TypeVar("Batch")
Step = Callable[..., Any]

_EVENTS = ("batch", "epoch", "train", "train_batch", "test", "test_batch", "predict", "predict_batch")
_HOOKS = ("set_params", "set_model", *(f"on_{event}_{edge}" for event in _EVENTS for edge in ("begin", "end")))


@functools.cache
def monitor_class() -> type[Any]:
    """Return the Monitor, or its stand-in if the Monitor cannot work here."""
    base: type[Any] = _callback_without_keras()
    compiled: Callable[..., Step] = _as_it_is
    try:
        import keras

        base = keras.callbacks.Callback
        # Check before tuimon imports TensorFlow, which would take the GPUs from another backend.
        backend = keras.backend.backend()
        if backend != "tensorflow":
            return _stand_in(f"Keras on {backend} is not recorded yet, only on TensorFlow", base, compiled)
        compiled = getattr(sys.modules.get("tensorflow"), "function", _as_it_is)
        from tuimon.trainer.keras.monitor import Monitor
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything, and training goes on
        return _stand_in(f"nothing is recorded: {type(error).__name__}: {error}", base, compiled)
    return Monitor


class StandsAside:
    """Takes the arguments of a Monitor, says once why nothing is recorded, and does nothing else.

    The arguments are checked as the Monitor checks them.

    Args:
        run_dir: Not used.
        name: Not used.
        runs_dir: Not used.
        probe: Not used.
        probe_every: Not used.
        overhead: Not used.
        batch_loss: Not used.
        examine_at_end: Not used.
        console: Not used.
        prepare: Not used.
        resume: Not used.
        checkpoint_minutes: Not used.
        orders: Not used.

    Raises:
        ValueError: The Monitor would reject these arguments, too.
    """

    why = ""
    """Why nothing is recorded."""
    compiled: Callable[..., Step]
    """Compiles the training step of a loop, instead of ``tf.function``."""

    def __init__(
        self,
        run_dir: str | Path | None = None,
        *,
        name: str | None = None,
        runs_dir: str | Path | None = None,
        probe: tuple[Any, ...] | bool | None = None,
        probe_every: int | None = None,
        overhead: float = DEFAULT_OVERHEAD,
        batch_loss: bool = True,
        examine_at_end: bool = True,
        console: bool = True,
        prepare: Sequence[str] = (),
        resume: Resume | None = None,
        checkpoint_minutes: float | None = None,
        orders: Sequence[str] | str | Path = (),
    ) -> None:
        super().__init__()
        Options.checked(
            overhead=overhead,
            probe=probe,
            probe_every=probe_every,
            prepare=prepare,
            resume=resume,
            checkpoint_minutes=checkpoint_minutes,
            orders=orders,
        )
        _say_once(self.why)

    @contextlib.contextmanager
    def watch(self, model: Any, optimizer: Any = None) -> Iterator["UnwatchedLoop"]:
        """Run a user's training loop unwatched.

        Args:
            model: The model; ``model.stop_training`` ends the loop.
            optimizer: Not used.

        Yields:
            The loop, which yields epochs and batches.
        """
        yield UnwatchedLoop(model, self.compiled)

    @property
    def run_dir(self) -> Path | None:
        """None: there is no run."""
        return None

    @property
    def was_stopped(self) -> bool:
        """False: no request can stop the training."""
        return False


class UnwatchedLoop:
    """An unwatched training loop with the methods of `tuimon.trainer.keras.loop.Loop`.

    Args:
        model: The model.
        compiled: Compiles the training step.
    """

    def __init__(self, model: Any, compiled: Callable[..., Step]) -> None:
        self._model = model
        self._compiled = compiled
        if self._is_stopped():
            model.stop_training = False  # An earlier fit left it True.

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the numbers of the epochs, from 0, until the last one, or until the user's code stops the training."""
        for epoch in range(count):
            yield epoch
            if self._is_stopped():
                return

    def steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, until the last one, or until the user's code stops the training."""
        for batch in batches:
            if self._is_stopped():
                return
            yield batch

    def log(self, **values: Any) -> None:
        """Ignore the values of the step."""

    def log_epoch(self, **values: Any) -> None:
        """Ignore the values of the epoch."""

    def function(self, step: Step, **options: Any) -> Step:
        """Return the training step, compiled by ``tf.function`` if Keras runs on TensorFlow.

        Args:
            step: The training step.
            options: Options of ``tf.function``.
        """
        return self._compiled(step, **options)

    def _is_stopped(self) -> bool:
        return bool(getattr(self._model, "stop_training", False))


def _stand_in(why: str, base: type[Any], compiled: Callable[..., Step]) -> type[Any]:
    # `pickle` finds the class again by the Monitor's name.
    members = {"__module__": "tuimon", "__doc__": StandsAside.__doc__, "why": why, "compiled": staticmethod(compiled)}
    return type("Monitor", (StandsAside, base), members)


def _callback_without_keras() -> type[Any]:
    """Return a class with the hooks of a Keras callback."""
    return type("Callback", (), {**dict.fromkeys(_HOOKS, _do_nothing), "params": None, "model": None})


def _do_nothing(self: object, *args: Any, **kwargs: Any) -> None:
    """Ignore the arguments of a callback's hook."""


def _as_it_is(step: Step, **options: Any) -> Step:
    return step


@functools.cache
def _say_once(why: str) -> None:
    say(f"{why} (training goes on)")
