"""Makes the scopes that put a mode in force in a training step, in a test step, and in a call outside of both."""

from collections.abc import Callable
from typing import Any

from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.learning_rate import KerasLearningRate
from tuimon.trainer.keras.steps.mode_scope import ModeScope
from tuimon.trainer.keras.steps.step_flags import StepFlags, as_they_are
from tuimon.trainer.modes import AUTO, LearningPhase, Mode


class Scopes:
    """Makes the scopes of one model.

    Args:
        model: The model.
        layers: Its layers.
        flags: The ``trainable`` flags of its training step.
        learning_rate: Its optimizer's learning rate.
    """

    def __init__(self, model: Any, layers: KerasLayers, flags: StepFlags, learning_rate: KerasLearningRate) -> None:
        self._model = model
        self._layers = layers
        self._flags = flags
        self._learning_rate = learning_rate

    def of_training(self, mode: Mode) -> ModeScope:
        """Return the scope of ``mode`` in a training step."""
        rate = self._learning_rate.variable if mode.own_learning_rate else None
        flags = self._flags.put if mode != AUTO else self._flags.put_before
        return self._scope(mode, flags, learning_rate=rate)

    def of_validation(self, mode: Mode) -> ModeScope:
        """Return the scope of ``mode``, which `validation_mode` returned, in a test step."""
        # A validation with batch statistics and dropout must not change variables that training uses.
        flags = self._flags.put if mode != AUTO else as_they_are
        return self._scope(mode, flags, keeps_state=mode.phase == "train")

    def of_call(self, mode: Mode) -> ModeScope:
        """Return the scope of ``mode`` for a call in training mode outside of a step. The call changes no state."""
        phase: LearningPhase = "auto" if mode.phase == "auto" else "train"
        of_call = Mode(frozen=self._layers.frozen_in_step(mode), statistics=mode.statistics, phase=phase)
        return self._scope(of_call, self._flags.put, keeps_state=True)

    def validation_mode(self, mode: Mode) -> Mode:
        """Return the mode of a validation beside training in ``mode``; `AUTO` if Keras' own test step does the same."""
        if mode.phase == "train":
            # Frozen layers stay in inference mode in a validation.
            return Mode(frozen=self._layers.frozen_in_step(mode), statistics=mode.statistics, phase="train")
        return Mode(phase=mode.phase)

    def _scope(
        self,
        mode: Mode,
        flags: Callable[[], Callable[[], object]],
        *,
        learning_rate: Any = None,
        keeps_state: bool = False,
    ) -> ModeScope:
        return ModeScope(
            mode,
            self._model,
            self._layers.by_path,
            learning_rate=learning_rate,
            keeps_state=keeps_state,
            trainable=flags,
        )
