"""Keeps training and validation batches of one ``fit`` for probes."""

import math
from collections.abc import Callable

from tuimon.trainer.engine import MAXIMUM_BYTES_AHEAD, Batch, Data, Engine, ProbeError

MOST = 8
"""Training batches, and validation batches, to keep at most."""
MOST_BYTES = 256 * 1024**2
"""Memory that further batches may take together with the first one."""
GROWTH = 1.3
"""Each further batch is taken after this many times as many steps as the last one, so that an epoch whose data come in
an order of their own is seen at many places."""

SEARCHED_EPOCHS = 2
"""Epochs in which each step is looked at for a place of which there is no batch yet."""


class HeldBatches:
    """Keeps batches as the steps get them.

    The first training batch stays; the others are replaced one after another as training goes on. Of each place in the
    epoch one is kept: where the data come in the same order in each epoch, it is the same batch there.

    Args:
        engine: The model.
        first_step: Steps of the run before this ``fit``.
        takes_all: Whether to keep batches unasked, from the first step on.
        steps_of_epoch: Steps of an epoch; 0: unknown. More batches would be the same ones again.
        note: Called with words if validation batches cannot be kept.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        first_step: int,
        takes_all: bool,
        note: Callable[[str], None],
        steps_of_epoch: int = 0,
    ) -> None:
        self.training: list[Batch] = []
        """Training batches of one size, the first one first."""
        self.validation: list[Batch] = []
        """Validation batches."""
        self.why_not = ""
        """The reason why the first training batch cannot be probed; empty if it can, or is not there yet."""
        self._engine = engine
        self._takes_all = takes_all and engine.reads_ahead_freely
        self._note = note
        self._most = min(MOST, steps_of_epoch or MOST)
        self._first_step = self._step = first_step
        self._next_step: float = first_step
        self._replaced = 0
        self._places: list[int] = []
        """Step of the epoch at which each of `training` came."""
        self._steps_of_epoch = steps_of_epoch
        self._validation_calls = 0
        self._next_validation_call = 0
        self._validation_is_over = False

    def put(self, batch: Batch) -> None:
        """Keep the user's batch, and no other.

        Raises:
            ProbeError: The batch cannot be probed.
        """
        self._engine.passes.check(batch)
        self.training = [batch]
        self._takes_all = False

    def before_step(self, step: int) -> None:
        """Take the batch of this step if it is time. Called before each step."""
        if self._takes_all and step >= self._next_step:
            self._step, self._next_step = step, math.inf
            self._engine.steps.before_next(self._take)

    def take_first(self, data: Data) -> bool:
        """Take the coming batch as the first one; return False if there is none.

        Raises:
            ProbeError: The batch cannot be probed.
        """
        batches = data.ahead(1, MAXIMUM_BYTES_AHEAD)
        if not batches:
            return False
        self._engine.passes.check(batches[0])
        self.training = [batches[0]]
        self._places = [self._place]
        return True

    @property
    def _place(self) -> int:
        done = self._step - self._first_step
        return done % self._steps_of_epoch if self._steps_of_epoch else done

    def before_validation_step(self) -> None:
        """Take the batch of this validation step if it is time. Called before each validation step."""
        call, self._validation_calls = self._validation_calls, self._validation_calls + 1
        if self._takes_all and not self._validation_is_over and call >= self._next_validation_call:
            self._next_validation_call = 2 * call + 1
            self.take_validation()

    def take_validation(self) -> None:
        """Take the batch of the coming validation step."""
        self._engine.validation.before_next(self._take_validation)

    def end_validation(self) -> None:
        """Keep the batches of the first validation: those of the next are taken for the same."""
        self._validation_is_over = self._validation_is_over or bool(self.validation)
        self._validation_calls = self._next_validation_call = 0

    def _take(self, data: Data) -> None:
        done = self._step - self._first_step
        self._next_step = self._first_step + max(done + 1, math.ceil(done * GROWTH))
        try:
            if not self.training:
                self.take_first(data)
            else:
                self._take_further(data)
        except ProbeError as error:
            if not self.training:
                self.why_not = str(error)
                self._takes_all = False

    def _take_further(self, data: Data) -> None:
        passes = self._engine.passes
        size = passes.bytes_of(self.training[0])
        room = min(self._most, 1 + int((MOST_BYTES - size) // max(size, 1)))
        if room < 2:
            self._takes_all = False
            return
        batches = data.ahead(1, MAXIMUM_BYTES_AHEAD)
        if not batches or passes.examples(batches[0]) != passes.examples(self.training[0]):
            return  # An epoch's last batch may be smaller.
        passes.check(batches[0])
        place = self._place
        if place in self._places:
            index = self._places.index(place)
            if index:
                self.training[index] = batches[0]
            is_early = self._step - self._first_step < SEARCHED_EPOCHS * self._steps_of_epoch
            if not index or (len(self.training) < room and is_early):
                self._next_step = self._step + 1  # There are other places.
        elif len(self.training) < room:
            self.training.append(batches[0])
            self._places.append(place)
        else:
            index = 1 + self._replaced % (room - 1)
            self.training[index], self._places[index] = batches[0], place
            self._replaced += 1

    def _take_validation(self, data: Data) -> None:
        passes, count = self._engine.passes, len(self.validation)
        if count >= MOST or (count and (count + 1) * passes.bytes_of(self.validation[0]) > MOST_BYTES):
            return
        batches = data.ahead(1, MAXIMUM_BYTES_AHEAD)
        try:
            for batch in batches:
                passes.check(batch)
        except ProbeError as error:
            self._validation_is_over = True
            self._note(f"the probe does without validation data: {error}")
            return
        self.validation += batches
