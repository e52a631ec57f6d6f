"""Which weights are validated and kept: R17."""

import math
from collections.abc import Iterator

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.measured import measured
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs.state import RunState

SHARE_OF_LOSS = 0.1
"""The moving statistics must make the loss worse by at least this share of it."""
CERTAIN = 3.0
"""And by this many standard errors."""
MORE_THAN_TRAINED = 2.0
"""And by this many times what they make worse with the trained weights."""


def replaced(state: RunState) -> Iterator[Finding]:
    """R17: other weights than those of training are validated, or left by `fit`.

    Moving averages of the weights are, mostly. The weights of a few small layers are compared: after an epoch's last
    step, in the validation, before the next step, and with what `fit` leaves. It is a note: the validation loss is that
    of other weights than the probe's and the training loss, which may well be wanted.

    It is a warning where the moving statistics of BatchNormalization, which follow the trained weights, do not fit the
    others. Threshold: on training data, in inference mode, with the other weights, they make the loss worse than batch
    statistics do by `SHARE_OF_LOSS` of it and by `CERTAIN` standard errors, and by `MORE_THAN_TRAINED` times what they
    do with the trained weights.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3.2 (one
    more pass over the data for the statistics); `torch.optim.swa_utils.update_bn`.
    """
    for where, fact in state.weights_replaced.items():
        averages = "moving averages of the weights" if _averages(state) else "other weights than those of training"
        if where == "validation":
            told = f"validation sees {averages}, which are taken back after it"
            note = "val_loss is theirs; the training loss and the probe are those of the trained weights"
        else:
            told = f"fit left {averages}, which no validation saw"
            note = "evaluate the model as it is now; the val_loss above is that of the trained weights"
            if _averages(state):
                note += " (`keras.callbacks.SwapEMAWeights()` validates the averages)"
        evidence: dict[str, Number] = {"distance_to_trained_weights": fact.change}
        harm = from_wire(fact.moving) - from_wire(fact.batch)
        if fact.examples:
            evidence |= {"examples": fact.examples, "loss_with_moving_statistics": fact.moving}
        if math.isfinite(harm):
            evidence |= {"loss_with_batch_statistics": fact.batch, "standard_error": fact.standard_error}
        is_harmful = _is_harmful(state, fact, harm)
        if is_harmful:
            worse = measured(harm, from_wire(fact.standard_error))
            told += f"; the moving statistics of BatchNormalization do not fit them: they make the loss {worse} worse"
            note = (
                "let the statistics follow these weights before you use them: put them into the model and train an "
                "epoch at a learning rate of 0"
            )
            if _averages(state):
                note += "; or average over fewer steps (a lower `ema_momentum`)"
        yield Finding(
            rule="R17",
            severity="warning" if is_harmful else "info",
            step=fact.step,
            what=told,
            evidence=evidence,
            advice=note,
            weight=0.5 if is_harmful else 0.1,
        )


def _averages(state: RunState) -> bool:
    return state.fit is not None and state.fit.averages_weights


def _is_harmful(state: RunState, fact: events.WeightsReplaced, harm: float) -> bool:
    loss = max(abs(from_wire(fact.moving)), abs(from_wire(fact.batch)))
    if not math.isfinite(harm) or not harm > max(SHARE_OF_LOSS * loss, CERTAIN * from_wire(fact.standard_error)):
        return False
    of_trained = -from_wire(state.probes[-1].batch_norm) if state.probes else math.nan
    return not harm < MORE_THAN_TRAINED * of_trained
