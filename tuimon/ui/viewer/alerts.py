"""Alerts of the diagnosis: which one matters now, and the key that helps. Pure."""

import shlex

from msgspec import Struct

from tuimon.protocol.commands import Recalibrate, name_of
from tuimon.protocol.events import Alert, FitStarted, RolledBack, RunResumed
from tuimon.runs.state import Command
from tuimon.ui.viewer.meanings import SEVERITY_SIGNS, Meaning
from tuimon.ui.viewer.moment import Moment

_KEYS = {
    "freeze": ("F", "freeze_all", "freezes all"),
    "freeze --statistics": ("H", "hold_all", "holds all"),
    "unfreeze": ("F", "freeze_all", "unfreezes all"),
    "phase": ("p", "phase", "sets the phase"),
    "momentum": ("M", "momentum_of_all", "sets momentum"),
    "recalibrate": ("r", "recalibrate", "recalibrates"),
    "lr": ("l", "learning_rate", "sets the lr"),
    "pause": ("space", "pause", "pauses"),
    "checkpoint": ("c", "checkpoint", "saves"),
    "rollback": ("b", "roll_back", "rolls back"),
    "probe": ("g", "probe", "probes"),
}
"""Keys by the arguments of `tuimon send` for the whole model: the key, what it asks for, what it does."""
_LAYER_KEYS = {
    "freeze": ("f", "freeze_layer", "freezes it"),
    "freeze --statistics": ("h", "hold_layer", "holds it"),
    "unfreeze": ("f", "freeze_layer", "unfreezes it"),
    "momentum": ("m", "momentum_of_layer", "sets momentum"),
}
"""The same for the layer under the cursor."""


class Help(Struct, frozen=True):
    """A key that asks for what an alert advises."""

    key: str
    """The key, as it is written."""
    asks: str
    """The name of what it asks for in the table of keys."""
    words: str
    """What the key does."""
    layer: str | None
    """The layer that must be under the cursor; None where the key concerns the whole model."""


def pressing_alert(moment: Moment) -> Alert | None:
    """Return the newest error, else the newest warning, that nobody has answered, nor read here; None without one.

    An alert is answered once the request that it advises is applied. An alert from before the newest `fit`, or from
    before the run went back, is about another model.
    """
    answered, found = set[str](), None
    for entry in reversed(moment.state.timeline):
        match entry:
            case FitStarted() | RolledBack() | RunResumed():
                break
            case Command(applied=True, request=Recalibrate(dry_run=True)):
                pass  # It only shows what a recalibration would give.
            case Command(applied=True):
                answered.add(name_of(entry.request))
            case Alert(severity="warning" | "error", seq=seq) if seq not in moment.read:
                if not answered.intersection(_split(entry.request)[:1]):
                    if entry.severity == "error":
                        return entry
                    found = found or entry
    return found


def helping_key(alert: Alert, moment: Moment) -> Help | None:
    """Return the key that asks for what an alert advises; None where there is none or it would do something else."""
    words = _split(alert.request)
    if not words or moment.refusal or moment.cannot(words[0]):
        return None
    command = f"{words[0]} --statistics" if "--statistics" in words else words[0]
    paths = list(moment.state.layers) if "--layer" not in words else [alert.layer or ""]
    if "--layer" in words and (alert.layer not in moment.state.layers or "--weights" in words):
        return None
    key = (_LAYER_KEYS if "--layer" in words else _KEYS).get(command)
    # These keys also undo what they do.
    undone = {"freeze": moment.is_frozen, "freeze --statistics": moment.is_held}.get(command)
    if key is None or (undone is not None and all(map(undone, paths))):
        return None
    if command == "unfreeze" and (moment.stays_frozen(paths) or not all(map(moment.is_frozen, paths))):
        return None
    if command == "pause" and moment.is_paused:
        return None
    return Help(*key, layer=alert.layer if "--layer" in words else None)


def sign(alert: Alert) -> tuple[str, Meaning]:
    """Return the sign and the colour of an alert's severity."""
    return SEVERITY_SIGNS.get(alert.severity, SEVERITY_SIGNS["info"])


def _split(request: str) -> list[str]:
    try:
        return shlex.split(request)
    except ValueError:  # quotes that do not match
        return request.split()
