"""What ``tuimon run`` trains: a TOML file with the tables run, model, data, training and monitor."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomlkit

from tuimon import ownership
from tuimon.errors import UsageError
from tuimon.launch import schedule, user_code
from tuimon.protocol import commands
from tuimon.protocol.validation import what_is_wrong
from tuimon.protocol.values import DEFAULT_OVERHEAD
from tuimon.settings import Alerts, which_there_are

Reference = Annotated[str, msgspec.Meta(min_length=1)]
"""``module:function``: looked for beside the config file, in the working directory, among installed modules."""

Count = Annotated[int, msgspec.Meta(ge=1)]


class Run(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the run is called."""

    name: str = ""
    """Part of the run directory's name; the config file's name without its ending unless set."""
    source: str = ""
    """Absolute path of the config file that it came from. Written by tuimon: modules are looked for beside it."""


class Build(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A function of the user's that makes the model, or the data."""

    build: Reference
    """For `[model]`: returns a `keras.Model`. For `[data]`: returns a dictionary of `fit`'s arguments
    (`x`, `y`, `validation_data`, …), a tuple `(x, y)`, or a data set."""
    arguments: dict[str, Any] = {}
    """Keyword arguments of the function."""


class Training(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the model is compiled and fitted.

    Without a `loss` the model must come compiled, and is trained as it is.
    """

    loss: Reference | None = None
    """Name of a Keras loss, or `module:function`."""
    optimizer: Reference | None = None
    """Name of a class in `keras.optimizers`; Adam unless set."""
    learning_rate: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """The optimizer's own default unless set."""
    metrics: list[Reference] = []
    """Names of Keras metrics, or `module:function`."""
    jit_compile: bool | Literal["auto"] = "auto"
    """Whether XLA compiles the step; "auto": as Keras does it."""
    steps_per_execution: Count = 1
    """Steps in one call of the compiled function."""
    epochs: Count = 1
    """How many."""
    batch_size: Count | None = None
    """Keras' default (32) unless set; a data set has its own."""
    validation_split: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Share of `x` and `y` that is kept for validation."""
    shuffle: bool = True
    """Whether arrays are shuffled before each epoch."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] | None = None
    """For `keras.utils.set_random_seed`, before the model is built; nothing is seeded unless set."""
    evaluate: bool = False
    """Whether the model is evaluated on the validation data before and after `fit`, and once more with the
    weights that a ModelCheckpoint saved."""
    callbacks: list[dict[str, Any]] = []
    """Each a table: `class`, a name in `keras.callbacks` or `module:Class`, and its arguments. A relative
    `filepath` lies in the run directory."""


class Monitor(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What tuimon's own part may do."""

    overhead: Annotated[float, msgspec.Meta(gt=0, lt=1)] = DEFAULT_OVERHEAD
    """Share of the training time that looking at the run may take: reading the layers, probes, diagnosis."""
    probe: bool = True
    """Whether the gap between training mode and inference mode is measured without being asked."""
    probe_every: Count | None = None
    """Steps from one probe to the next; at the ends of epochs unless set."""
    batch_loss: bool = True
    """Whether each batch's own loss is read out."""
    prepare: list[str] = []
    """Modes that are traced before the first step, so that their first use costs nothing: `freeze`,
    `freeze statistics`, `freeze weights conv*`, `phase inference`, `momentum 0.9`."""
    orders: list[str] = []
    """Standing orders: `when nan stop`, `at epoch 20 freeze`, `on best val_loss checkpoint`."""
    schedule: str = ""
    """A TOML file with further orders, as `tuimon export --to schedule` writes it; beside the config file unless its
    path is absolute. They stand in `orders` of the run's config."""
    checkpoint_minutes: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """A full state is saved at the first epoch's end after so many, and when training is stopped, for
    `tuimon run --resume`; 0: only when somebody asks."""
    grace_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """After SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 or SIGINT the training process saves a checkpoint at its step's end, and
    exits; after so many seconds, or a second signal, it exits without one. Docker kills after 10 s, Slurm after 30."""
    checkpoints_kept: Count = 3
    """How many of the newest are kept."""


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A config file."""

    run: Run = msgspec.field(default_factory=Run)
    model: Build
    data: Build
    training: Training = msgspec.field(default_factory=Training)
    monitor: Monitor = msgspec.field(default_factory=Monitor)
    alerts: Alerts | None = None
    """What is run when something happens; the user's settings unless set."""

    @property
    def directories(self) -> tuple[Path, Path]:
        """Directories of the user's modules: that of the config file, then the working directory."""
        return Path(self.run.source).parent, Path.cwd()

    def load(self, reference: str) -> Any:
        """Import and return the function of a ``module:function`` in this config.

        Raises:
            UsageError: It does not exist, or somebody else could have changed it.
        """
        return user_code.load(reference, self.directories)


_LARGEST = 1024 * 1024
_STRUCTS: Mapping[str, type[msgspec.Struct]] = {
    "run": Run,
    "model": Build,
    "data": Build,
    "training": Training,
    "monitor": Monitor,
    "alerts": Alerts,
}
_OF_COMPILE = ("optimizer", "learning_rate", "metrics", "jit_compile", "steps_per_execution")


def read(path: Path, overrides: Iterable[str] = (), *, only_own: bool = False) -> Config:
    """Read a config file.

    Args:
        path: The file.
        overrides: ``TABLE.KEY=VALUE`` each. A value that is not TOML is a string.
        only_own: Whether to refuse a file that belongs to another user, or that others can write. For a config in a run
            directory, which the caller may never have seen.

    Raises:
        UsageError: The file or an override is wrong; the message names the file and the key.
    """
    try:
        data = ownership.read_own(path, "what it names is not run") if only_own else _read(path)
        tables = tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a TOML file: it is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {_toml_error(error)}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: a number is too long, or values are nested too deep") from None
    keys = [_override(tables, text) for text in overrides]
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        key, words = _validation_error(error)
        overridden = any(f"{name}.".startswith(f"{key}.") for name in keys)
        origin = f"--set {key}" if overridden and key else f"{path}: {key}" if key else str(path)
        raise UsageError(f"{origin}: {words}") from None
    config.run.source = config.run.source or str(path.absolute())
    config.run.name = config.run.name or path.stem
    _require_sense(config, path)
    return config


def _read(path: Path) -> bytes:
    # Somebody may name a device by mistake. A pipe is welcome: `tuimon run <(sed … config.toml)`.
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"{path}: no config: it has more than {_LARGEST} bytes")
    return data


def require_functions(config: Config, path: Path) -> None:
    """Check that every function and class in the config exists, without importing or running it.

    Raises:
        UsageError: One does not exist; the message names the file and the key.
    """
    training = config.training
    references = {"model.build": config.model.build, "data.build": config.data.build}
    keras_names: dict[str, tuple[str, str]] = {}
    if training.optimizer:
        keras_names["training.optimizer"] = ("optimizers", training.optimizer)
    if training.loss and ":" in training.loss:
        references["training.loss"] = training.loss
    for number, metric in enumerate(training.metrics):
        if ":" in metric:
            references[f"training.metrics[{number}]"] = metric
    for number, callback in enumerate(training.callbacks):
        key = f"training.callbacks[{number}].class"
        if ":" in callback["class"]:
            references[key] = callback["class"]
        else:
            keras_names[key] = ("callbacks", callback["class"])
    for key, reference in references.items():
        try:
            user_code.find(reference, config.directories)
        except UsageError as error:
            raise UsageError(f"{path}: {key}: {error}") from None
    for key, (module, name) in keras_names.items():
        source = user_code.installed_file(f"keras.{module}")
        names = user_code.names_in(source) if source else None
        if names is not None and name not in names:
            raise UsageError(f'{path}: {key}: Keras has no "{name}"{user_code.suggestion(name, names)}')


def write(config: Config, path: Path) -> None:
    """Write a config with every default filled in; `read` returns an equal one.

    Keys that are None are left out, because TOML has no null.

    Raises:
        OSError: The file cannot be written.
    """
    text = tomlkit.dumps(as_tables(config))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def as_tables(config: Config) -> dict[str, Any]:
    """Return a config as TOML tables, without the keys that are None."""
    parts = {name: getattr(config, name) for name in _STRUCTS}
    tables = {name: msgspec.structs.asdict(part) for name, part in parts.items() if part is not None}
    return {name: {key: value for key, value in table.items() if value is not None} for name, table in tables.items()}


def recorded(config: Config) -> dict[str, Any]:
    """Return a config as its run's log has it: without `alerts`, whose command may hold a password."""
    return {name: table for name, table in as_tables(config).items() if name != "alerts"}


def _require_sense(config: Config, path: Path) -> None:
    training = config.training
    if config.alerts is not None and (trouble := config.alerts.trouble()):
        raise UsageError(f"{path}: alerts.{trouble}")
    _require_orders(config, path)
    for number, words in enumerate(config.monitor.prepare):
        try:
            commands.from_words(words)
        except ValueError as error:
            raise UsageError(f"{path}: monitor.prepare[{number}]: {error}") from None
    if training.loss is None:
        defaults = Training()
        for key in _OF_COMPILE:
            if getattr(training, key) != getattr(defaults, key):
                raise UsageError(
                    f"{path}: training.{key}: without a training.loss the model must come compiled, with this in it"
                )
    else:
        training.optimizer = training.optimizer or "Adam"
        if ":" in training.optimizer:
            raise UsageError(f"{path}: training.optimizer: expected the name of a class in keras.optimizers")
    for number, callback in enumerate(training.callbacks):
        name = callback.get("class")
        if not isinstance(name, str) or not name:
            raise UsageError(f"{path}: training.callbacks[{number}].class: expected the name of a callback")


def _require_orders(config: Config, path: Path) -> None:
    """Check the orders, and put those of the schedule in front of them."""
    monitor = config.monitor
    try:
        schedule.checked(monitor.orders)
        if monitor.schedule:
            read = schedule.read(Path(config.run.source).parent / monitor.schedule)
            monitor.orders, monitor.schedule = [*read, *monitor.orders], ""
    except ValueError as error:
        raise UsageError(f"{path}: monitor.{error}") from None


def _override(tables: dict[str, Any], text: str) -> str:
    """Put ``TABLE.KEY=VALUE`` into ``tables`` and return ``TABLE.KEY``."""
    key, equals, value = text.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not equals or not parents or not all([*parents, last]):
        raise UsageError(f'--set {text}: expected TABLE.KEY=VALUE, as in "training.epochs=3"')
    table = tables
    for name in parents:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {text}: {name} is no table")
    table[last] = _value(value.strip())
    return ".".join([*parents, last])


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, or with a number of thousands of digits
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _toml_error(error: tomllib.TOMLDecodeError) -> str:
    words, _, place = str(error).partition(" (at ")
    line = re.match(r"line (\d+)", place)
    where = f"line {line[1]}: " if line else "at its end: " if place else ""
    return f"{where}not TOML: {words[:1].lower()}{words[1:]}"


def _validation_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return the key of an error, and a sentence about it."""
    place, words = what_is_wrong(error)
    key = place.replace("[...]", "")
    if unknown := re.search(r"unknown field (.*)", words):
        struct = _STRUCTS.get(key, Config)
        known = struct.__struct_fields__
        hint = user_code.suggestion(unknown[1], known) or f"; there are {', '.join(known)}"
        return ".".join(filter(None, (key, unknown[1]))), f"no such {'key' if key else 'table'}{hint}"
    if missing := re.search(r"missing required field (.*)", words):
        return ".".join(filter(None, (key, missing[1]))), "is missing"
    if key.startswith("alerts.on"):
        words += which_there_are(key, words)
    return key, words
