"""Chooses the Monitor, or a stand-in that records nothing where the Monitor cannot work.

That is where Keras runs on another backend than TensorFlow, or where one of them cannot be imported. A script that
has a Monitor in it trains there all the same. This module loads no TensorFlow.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tuimon.protocol.values import DEFAULT_OVERHEAD
from tuimon.text import plain
from tuimon.trainer.options import Options

Batch = TypeVar("Batch")
Step = Callable[..., Any]

_EVENTS = ("batch", "epoch", "train", "train_batch", "test", "test_batch", "predict", "predict_batch")
_HOOKS = ("set_params", "set_model", *(f"on_{event}_{edge}" for event in _EVENTS for edge in ("begin", "end")))


@functools.cache
def monitor_class() -> type[Any]:
    """Return the Monitor, or the class that stands in for it here."""
    base: type[Any] = _callback_without_keras()
    compiled: Callable[..., Step] = _as_it_is
    try:
        import keras

        base = keras.callbacks.Callback
        # Asked before anything of ours imports TensorFlow, which would take the GPUs from the other backend.
        backend = keras.backend.backend()
        if backend != "tensorflow":
            return _stand_in(f"Keras on {backend} is not recorded yet, only on TensorFlow", base, compiled)
        compiled = getattr(sys.modules.get("tensorflow"), "function", _as_it_is)
        from tuimon.trainer.keras.monitor import Monitor
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything, and training goes on
        return _stand_in(f"nothing is recorded: {type(error).__name__}: {error}", base, compiled)
    return Monitor


class StandsAside:
    """Takes the arguments of a Monitor and does nothing but say once why nothing is recorded.

    Args:
        run_dir: Not used, as are the others; they are checked as the Monitor checks them.
        name: Not used.
        runs_dir: Not used.
        probe: Not used.
        probe_every: Not used.
        overhead: Not used.
        batch_loss: Not used.
        prepare: Not used.

    Raises:
        ValueError: The Monitor would not take these arguments either.
    """

    why = ""
    """Why nothing is recorded."""
    compiled: Callable[..., Step]
    """Compiles the train step of a loop, in the place of ``tf.function``."""

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
        prepare: Sequence[str] = (),
    ) -> None:
        super().__init__()
        Options.checked(overhead=overhead, probe=probe, probe_every=probe_every, prepare=prepare)
        _say_once(self.why)

    @contextlib.contextmanager
    def watch(self, model: Any, optimizer: Any = None) -> Iterator["UnwatchedLoop"]:
        """Let a training loop of the user's own run.

        Args:
            model: The model; ``model.stop_training`` ends the loop.
            optimizer: Not used.

        Yields:
            What the loop runs through.
        """
        yield UnwatchedLoop(model, self.compiled)

    @property
    def run_dir(self) -> Path | None:
        """None: there is no run."""
        return None

    @property
    def was_stopped(self) -> bool:
        """False: nobody can ask for a stop."""
        return False


class UnwatchedLoop:
    """A training loop that nobody watches; it has the methods of `tuimon.trainer.keras.loop.Loop`.

    Args:
        model: The model.
        compiled: Compiles the train step.
    """

    def __init__(self, model: Any, compiled: Callable[..., Step]) -> None:
        self._model = model
        self._compiled = compiled
        if self._is_stopped():
            model.stop_training = False  # It is of a fit before.

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the numbers of the epochs, from 0, until there are no more or the user's code stops the training."""
        for epoch in range(count):
            yield epoch
            if self._is_stopped():
                return

    def steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, until there are no more or the user's code stops the training."""
        for batch in batches:
            if self._is_stopped():
                return
            yield batch

    def log(self, **values: Any) -> None:
        """Leave the values of the step: nothing is recorded."""

    def log_epoch(self, **values: Any) -> None:
        """Leave the values of the epoch: nothing is recorded."""

    def function(self, step: Step, **options: Any) -> Step:
        """Return the train step, compiled by ``tf.function`` where Keras runs on TensorFlow.

        Args:
            step: The train step.
            options: Of ``tf.function``.
        """
        return self._compiled(step, **options)

    def _is_stopped(self) -> bool:
        return bool(getattr(self._model, "stop_training", False))


def _stand_in(why: str, base: type[Any], compiled: Callable[..., Step]) -> type[Any]:
    # Under the Monitor's own name, by which `pickle` finds it again.
    members = {"__module__": "tuimon", "__doc__": StandsAside.__doc__, "why": why, "compiled": staticmethod(compiled)}
    return type("Monitor", (StandsAside, base), members)


def _callback_without_keras() -> type[Any]:
    """Return a class that has the hooks of a Keras callback."""
    return type("Callback", (), {**dict.fromkeys(_HOOKS, _do_nothing), "params": None, "model": None})


def _do_nothing(self: object, *args: Any, **kwargs: Any) -> None:
    """Take what a callback is told."""


def _as_it_is(step: Step, **options: Any) -> Step:
    return step


@functools.cache
def _say_once(why: str) -> None:
    with contextlib.suppress(Exception):  # There may be no stderr.
        print(plain(f"tuimon: {why} (training goes on)"), file=sys.stderr)
