"""The gradients of a run's layers, and how far a step moves their weights: the newest ones of the newest `fit`."""

import numpy as np
from msgspec import Struct

from tuimon.protocol.events import Probe, ProbeGradient
from tuimon.protocol.wire import FloatArray, Number, from_wire
from tuimon.runs.series import IntArray
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.viewer.moment import Moment, no_probe_words


class LayerGradient(Struct, frozen=True):
    """One layer with weights that a step trains."""

    path: str
    """Its path."""
    gradient: ProbeGradient | None
    """As last measured; None: not measured."""
    moved: Number
    """The norm of what one step changed, as a share of the norm of the weights; None: not known."""
    unchanged: int
    """How many steps, one after another as they were measured, changed none of its weights."""


def newest_probe(state: RunState) -> Probe | None:
    """Return the newest probe of this `fit` that measured gradients; None where there is none."""
    begin = state.fit.seq if state.fit is not None else -1
    for probe in reversed(state.probes):
        if probe.seq < begin:
            break
        if probe.gradients:
            return probe
    return None


def layer_gradients(state: RunState) -> list[LayerGradient]:
    """Return the layers whose gradients or changes are known, in the order of the model."""
    probe = newest_probe(state)
    gradients = probe.gradients if probe is not None else {}
    moved = state.weight_updates.layers if state.weight_updates is not None else {}
    return [
        LayerGradient(path, gradients.get(path), moved.get(path), state.steps_without_change.get(path, 0))
        for path in dict.fromkeys((*gradients, *moved))
    ]


def over_time(state: RunState, path: str | None) -> tuple[IntArray, FloatArray]:
    """Return the steps of all probes that measured a layer's gradient, and its norm there.

    Args:
        state: The log, folded.
        path: Path of the layer; None: the gradient of all weights together.
    """
    norms = [
        (probe.step, from_wire(probe.gradient_norm if path is None else probe.gradients[path].norm))
        for probe in state.probes
        if (probe.gradients if path is None else path in probe.gradients)
    ]
    return np.array([step for step, _ in norms], dtype=np.int64), np.array([norm for _, norm in norms], dtype=float)


def why_none(moment: Moment) -> str:
    """Return why no gradient and no change of weights is known."""
    state = moment.state
    if not state.probes:
        return f"Gradients come with a probe. {no_probe_words(moment)}"
    if reason := state.probes[-1].why_no_gradients:
        return f"No gradients: {plain(reason, 200)}."
    return "The newest probe has measured no gradients: it leaves them out where they would take too long."
