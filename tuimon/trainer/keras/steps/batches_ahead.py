"""Reads the next batches of a ``fit`` ahead of training, which still gets them in the same order."""

import functools
import time
from collections import deque
from typing import Any

import tensorflow as tf

from tuimon.trainer.keras.internals.variables import bytes_of_batch


class BatchesAhead:
    """Keeps batches that were read from the iterator, until the train function takes them.

    Args:
        steps: Batches that the train function takes in one call: ``steps_per_execution``.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._source: Any = None
        self._kept: deque[Any] = deque()
        self._error: Exception | None = None

    @property
    def has_some(self) -> bool:
        """True if training still has to take batches from here."""
        return bool(self._kept)

    def clear(self) -> None:
        """Drop all batches and the iterator."""
        self._kept.clear()
        self._source = self._error = None

    def peek(self, iterator: Any, count: int, maximum_bytes: int) -> list[Any]:
        """Return the next batches that ``iterator`` will give to training.

        Args:
            iterator: As Keras passes it to the train function.
            count: How many batches; fewer are returned if the data end.
            maximum_bytes: Reading stops once the batches take this much.
        """
        self._follow(iterator)
        size = sum(map(bytes_of_batch, self._kept))
        while len(self._kept) < count and size < maximum_bytes and self._error is None:
            if not self._read():
                break
            size += bytes_of_batch(self._kept[-1])
        return [*self._kept][:count]

    def wait(self, iterator: Any, maximum_bytes: int) -> float | None:
        """Read the batches of the coming call; return the seconds that it took, None if some were read already."""
        if self._kept or not isinstance(iterator, tf.data.Iterator):
            return None  # A call on distributed batches would be traced anew.
        began = time.perf_counter()
        self.peek(iterator, self._steps, maximum_bytes)
        return time.perf_counter() - began

    def error_due(self, iterator: Any) -> Exception | None:
        """Return what the user's data raised for the batch whose turn it is; None if they raised nothing."""
        self._follow(iterator)
        if self._kept:
            return None
        error, self._error = self._error, None
        return error

    def of(self, iterator: Any) -> Any:
        """Return the argument of the train function for one call, in place of ``iterator``."""
        self._follow(iterator)
        if not self._kept:
            self._free()
            return iterator
        self._fill()
        batches = [*self._kept][: self._steps]
        # Distributed batches cannot form an iterator of the same kind; Keras takes a list as well.
        is_distributed = isinstance(iterator, tf.distribute.DistributedIterator)
        data = batches if is_distributed else _iterator(batches, iterator)
        self._drop(len(batches))  # Not before: an error above leaves them for `rest`.
        self._free()
        return data

    def rest(self, iterator: Any) -> Any:
        """Return the same as `of` after an error in it: the batches as a list."""
        if iterator is not self._source or not self._kept:
            return iterator
        self._fill()
        batches = [*self._kept][: self._steps]
        self._drop(len(batches))
        return batches

    def _free(self) -> None:
        """Let go of an iterator of which nothing is kept: it may hold many batches and threads."""
        if not self._kept and self._error is None:
            self._source = None

    def _fill(self) -> None:
        while len(self._kept) < self._steps and self._error is None and self._read():
            pass

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._kept.popleft()

    def _follow(self, iterator: Any) -> None:
        if iterator is not self._source:
            # Another epoch: Keras has dropped the rest of the last one.
            self.clear()
            self._source = iterator

    def _read(self) -> bool:
        try:
            self._kept.append(next(self._source))
        except (StopIteration, tf.errors.OutOfRangeError):
            return False
        except Exception as error:  # noqa: BLE001 - whatever the user's data raise, training must get it
            self._error = error
            return False
        return True


def _iterator(batches: list[Any], like: tf.data.Iterator) -> tf.data.Iterator:
    """Return an iterator over batches with the same element spec as ``like``, so that no function is traced anew."""

    def one(batch: Any) -> tf.data.Dataset:
        variant = tf.data.experimental.to_variant(tf.data.Dataset.from_tensors(batch))
        return tf.data.experimental.from_variant(variant, structure=like.element_spec)

    return iter(functools.reduce(tf.data.Dataset.concatenate, map(one, batches)))
