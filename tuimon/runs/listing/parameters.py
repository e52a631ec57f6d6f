"""The parameters of a run: what its facts and its config say that it was made with."""

import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeGuard

from tuimon.regular_file import read_regular
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState

Value = str | int | float | bool
"""A parameter's value."""
RATE = "learning rate"
"""The learning rate at the end of the first epoch; before that, the one in the config."""
NEWEST_RATE = "learning rate, newest"
"""The learning rate of now; all other parameters are as the run began."""
SHORT = {"learning rate": "lr", "batch size": "batch", "steps per epoch": "steps/epoch"}
"""Short names for the headings of columns."""
_FIRST = ("learning rate", "batch size", "optimizer", "epochs", "steps per epoch")
"""The parameters that people look for first."""
_NO_COLUMN = frozenset((NEWEST_RATE, "host", "trainable parameters"))
"""Parameters that are no column: they say little of a run among many."""
_NOT_COMPARED = frozenset(("run.name", "run.source"))
"""Keys of a config that differ between any two runs, so that the difference says nothing."""
_SAID_BY_FIT = frozenset(("training.optimizer", "training.epochs", "training.batch_size", "training.learning_rate"))
"""Keys of a config left out, since the facts of the fit say the same, for a user's own script, too."""
_CONFIG_BYTES = 256 * 1024
_LONGEST_INTEGER = 64
"""Bits; TOML has no limit, and a longer one is shown as a text."""


def parameters_of(state: RunState, config: Mapping[str, object] | None = None) -> dict[str, Value]:
    """Return the parameters of a run by name, the most telling ones first; those that are not known are missing.

    Args:
        state: The run.
        config: The config in its directory, for a run without one in its facts.
    """
    found = _known(state, config or {})
    return {key: value for key, value in found if value is not None}


def config_of(run: RunDirectory) -> dict[str, object]:
    """Return the config in a run's directory; empty without one."""
    try:
        return tomllib.loads(read_regular(run.config, _CONFIG_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        # A user's own script has no config; its parameters are then those in the facts.
        return {}


def differing(runs: Iterable[Mapping[str, Value]]) -> list[str]:
    """Return the names of the parameters that have more than one known value, in the order of their columns.

    Example:
        >>> differing([{"optimizer": "Adam", "epochs": 3}, {"optimizer": "SGD", "epochs": 3}, {}])
        ['optimizer']
    """
    values: dict[str, set[tuple[str, Value]]] = {}
    for parameters in runs:
        for key, value in parameters.items():
            # In Python, 1 and True are the same.
            values.setdefault(key, set()).add((type(value).__name__, value))
    found = [key for key, different in values.items() if len(different) > 1 and key not in _NO_COLUMN]
    return sorted(found, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))


def short_name(key: str) -> str:
    """Return the heading of a parameter's column.

    Example:
        >>> short_name("learning rate"), short_name("model.units")
        ('lr', 'units')
    """
    return SHORT.get(key) or key.rpartition(".")[2] or key


def is_named(key: str, name: str) -> bool:
    """Return whether a person means a parameter by a name: its whole key, its last part, or its heading.

    Example:
        >>> is_named("learning rate", "lr"), is_named("batch size", "batch_size"), is_named("model.units", "units")
        (True, True, True)
    """
    wanted = _plain_name(name)
    return wanted in (_plain_name(key), _plain_name(short_name(key)), _plain_name(key.rpartition(".")[2]))


def _plain_name(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name.strip().lower())


def _told(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _known(state: RunState, config: Mapping[str, object]) -> Iterator[tuple[str, Value | None]]:
    # The log of another program, or an export, does not tell how a fit began.
    fit = None if state.run is not None and state.run.source else state.fit
    tables = state.run.config if state.run is not None and state.run.config else config
    if fit is not None:
        yield "optimizer", fit.optimizer
    rates = state.learning_rates.values
    if len(rates):
        # A log that does not tell the rates of its epochs has nan there.
        yield RATE, _told(rates[0])
        yield NEWEST_RATE, _told(rates[-1])
    elif _is_number(wanted := _of_training(tables).get("learning_rate")):
        yield RATE, float(wanted)
    if fit is not None:
        yield "epochs", state.fits.epochs_planned(fit)
        yield "steps per epoch", fit.steps_per_epoch
        yield "batch size", fit.batch_size
        yield "XLA", bool(fit.jit_compile)
    if state.model is not None:
        yield "parameters", state.model.parameters
        yield "trainable parameters", state.model.trainable_parameters
        yield "BatchNormalization layers", len(state.layers)
    for key, value in _flat(tables, ""):
        if key not in _NOT_COMPARED and not (fit is not None and key in _SAID_BY_FIT):
            yield key, value
    if state.run is not None:
        yield from state.run.versions.items()
        yield "host", state.run.host or None


def _of_training(tables: Mapping[str, object]) -> Mapping[str, object]:
    training = tables.get("training")
    return training if isinstance(training, Mapping) else {}


def _flat(value: object, key: str) -> Iterator[tuple[str, Value]]:
    """Yield the keys of nested tables with dots between, and their values."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{number}]")
    else:
        yield key, value if isinstance(value, bool) or _is_number(value) else str(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value of a config is a number that others of its kind can be compared with."""
    return isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _LONGEST_INTEGER)
