"""Words about requests in answers and notes, and why a request cannot be carried out."""

from tuimon.protocol import commands
from tuimon.protocol.values import SCHEDULE_SET_ASIDE
from tuimon.trainer.engine import Engine, users_frozen
from tuimon.trainer.requests import mode_changes
from tuimon.trainer.requests.inbox import Received
from tuimon.trainer.requests.standing_orders import OwnRequest


def why_saved(received: Received) -> str:
    """Return why a request saves a checkpoint."""
    return received.sender.user if isinstance(received, OwnRequest) else "asked"


def needs(request: commands.AnyRequest) -> str:
    """Return what a request waits for that a paused run cannot give it."""
    is_recalibration = isinstance(request, commands.Recalibrate)
    return "more batches than this epoch has left" if is_recalibration else "the next step"


def detail(received: Received, engine: Engine) -> str:
    """Return what is worth saying about a change of mode that was made."""
    request = received.request
    if isinstance(request, commands.Unfreeze | commands.Freeze) and not request.weights:
        layers = engine.layers
        left = set(mode_changes.matched(request, layers)) & set(users_frozen(layers))
        if left and isinstance(request, commands.Freeze):
            one = len(left) == 1
            return (
                f"{len(left)} layer{' stays as it is: it was' if one else 's stay as they are: they were'} frozen "
                "before training"
            )
        if left:
            return f"{len(left)} layers stay frozen: they were frozen before training"
    if isinstance(request, commands.LearningRate) and request.learning_rate is not None:
        return SCHEDULE_SET_ASIDE
    return ""


def words(asked: list[Received]) -> str:
    """Return several requests in words."""
    return ", ".join(commands.describe(received.request) for received in asked if received.request)


def capabilities(engine: Engine) -> dict[str, str]:
    """Return, for each request, the reason why it cannot be carried out; empty if it can."""
    layers = engine.layers
    # An incomplete model may still create any layer.
    has_layers = bool(layers.batch_norm) or not layers.are_complete
    no_layers = "" if has_layers else "this model has no BatchNormalization layers"
    depends = has_layers or layers.others
    reasons = dict.fromkeys(("freeze", "unfreeze", "momentum", "recalibrate"), no_layers)
    reasons["phase"] = "" if depends else "no layer of this model depends on the learning phase"
    return {command: engine.why_not(command) or reasons.get(command, "") for command in commands.NAMES}
