"""The metrics of a run by name, in the order in which they are shown."""

from tuimon.runs.state import RunState

LEARNING_RATE = "learning rate"
"""The name of the learning rate among the metrics."""
RATE_NAMES = ("learning_rate", "lr")
"""How Keras and its callbacks call it in the logs of an epoch."""


def names_of(state: RunState) -> list[str]:
    """Return the metrics of a run: the loss first, then in the order of the log, the learning rate last."""
    found = dict.fromkeys((*state.batch_metrics, *state.running_metrics, *map(_own_name, state.epoch_metrics)))
    # Another program may log validation by steps: it belongs to the chart of what it validates.
    found = dict.fromkeys(name if _own_name(name) not in found else _own_name(name) for name in found)
    ordered = sorted(found, key=lambda name: name != "loss")
    return [*ordered, LEARNING_RATE] if len(state.learning_rates) and LEARNING_RATE not in found else ordered


def loss_name(state: RunState) -> str:
    """Return the metric that counts as the loss: that of this name, else the first one."""
    names = [*state.batch_metrics, *(name for name in state.epoch_metrics if not name.startswith("val_"))]
    return "loss" if "loss" in names or not names else names[0]


def is_learning_rate(name: str) -> bool:
    """Return whether a metric is the learning rate."""
    return name == LEARNING_RATE or name in RATE_NAMES


def _own_name(name: str) -> str:
    return name.removeprefix("val_")
