"""Stores and restores the state of a fit's callbacks: how long EarlyStopping has waited, what was best so far.

Keras' own callbacks have no way to tell their state, so their attributes are read and set. Any other callback tells it
by ``get_state()`` and takes it by ``set_state(state)``.
"""

from collections.abc import Iterable
from typing import Any

from tuimon.text import plain
from tuimon.trainer.engine import Arrays
from tuimon.trainer.keras.internals.callbacks import Kind, is_stateless, kind_of
from tuimon.trainer.keras.program_state.stored_values import restored, store

State = list[dict[str, Any]]
"""For each callback with a state its class, what must be the same for the state to fit, and the state, as JSON."""


def capture(callbacks: Iterable[Any], arrays: Arrays) -> State:
    """Return the states of callbacks as JSON; arrays within them go into ``arrays``."""
    return [_captured(callback, number, arrays) for number, callback in enumerate(_watched(callbacks))]


def restore(callbacks: Iterable[Any], states: State, arrays: Arrays, *, rolls_back: bool = False) -> list[str]:
    """Restore the states that fit; return what does not, in words.

    The first callback of a class gets the state of the first one, and so on.

    Args:
        callbacks: The callbacks of the fit.
        states: As ``capture`` returned them.
        arrays: The arrays within them.
        rolls_back: Whether files and records that callbacks have made since stay, as at a rollback. The state that
            tells of these stays, too.
    """
    present = list(_watched(callbacks))
    there = {name: [each for each in states if each.get("class") == name] for name in map(_class_of, present)}
    here = {name: [each for each in present if _class_of(each) == name] for name in there}
    gone = dict.fromkeys(_short(each["class"]) for each in states if each.get("class") not in there)
    wrong = [f"{name} is not among the callbacks any more" for name in gone]
    for name, mine in here.items():
        if not there[name]:
            continue  # It is new.
        if len(there[name]) != len(mine):
            wrong.append(f"{_short(name)}: there were {len(there[name])} of it, now {len(mine)}")
            continue
        for callback, saved in zip(mine, there[name], strict=True):
            why = _restored(callback, saved, arrays, rolls_back=rolls_back)
            if why:
                wrong.append(f"{_short(name)}: {why}")
    return list(dict.fromkeys(wrong))


def _captured(callback: Any, number: int, arrays: Arrays) -> dict[str, Any]:
    saved: dict[str, Any] = {"class": _class_of(callback)}
    mine: Arrays = {}
    try:
        if (kind := _kind(callback)) is not None:
            saved["same"] = {name: repr(getattr(callback, name, None)) for name in kind.same}
            state: Any = {name: getattr(callback, name) for name in kind.attributes if hasattr(callback, name)}
        elif _tells(callback):
            state = callback.get_state()
        else:
            return saved
        saved["state"] = store(state, f"callback/{number}", mine)
    except Exception as error:  # noqa: BLE001 - a user's callback may raise anything
        return {"class": saved["class"], "why": f"its state could not be saved: {plain(str(error), 200)}"}
    arrays.update(mine)
    return saved


def _restored(callback: Any, saved: dict[str, Any], arrays: Arrays, *, rolls_back: bool) -> str:
    """Restore one state; return why not, if so."""
    kind = _kind(callback)
    if rolls_back and kind is not None and not kind.rolls_back:
        return ""
    if "state" not in saved:
        # In a process that goes on, it does not begin anew.
        return str(saved.get("why", "" if rolls_back else "it has no get_state and set_state"))
    for name, value in (saved.get("same") or {}).items():
        if repr(getattr(callback, name, None)) != value:
            return f"its {name} was {plain(str(value), 60)}"
    try:
        state = restored(saved["state"], arrays)
        if kind is not None:
            for name in kind.attributes:
                if name in state:
                    setattr(callback, name, state[name])
        elif _tells(callback):
            callback.set_state(state)
        else:
            return "it has no get_state and set_state any more"
    except Exception as error:  # noqa: BLE001 - a user's callback may raise anything
        return f"its state could not be restored: {plain(str(error), 200)}"
    return ""


def _kind(callback: Any) -> Kind | None:
    """Return what Keras' own class keeps; None if the callback tells its state itself, or is none of Keras'."""
    return None if _tells(callback) else kind_of(callback)


def _tells(callback: Any) -> bool:
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def _watched(callbacks: Iterable[Any]) -> Iterable[Any]:
    """Yield the callbacks that may have a state: neither tuimon's own nor Keras' own without one."""
    for callback in callbacks:
        is_ours = type(callback).__module__.startswith("tuimon.")
        if not is_ours and (_tells(callback) or kind_of(callback) is not None or not is_stateless(callback)):
            yield callback


def _class_of(callback: Any) -> str:
    return f"{type(callback).__module__}.{type(callback).__qualname__}"


def _short(name: str) -> str:
    return plain(str(name).rpartition(".")[2], 60)
