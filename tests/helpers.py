"""What several tests need: logs to read, conditions to wait for, processes that are ended."""

import errno
import fcntl
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec
import pytest

from tuimon.protocol import commands, events
from tuimon.runs import liveness
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState

ROOT = Path(__file__).parent.parent
STAND_IN = Path(__file__).parent / "stand_in_trainer.py"
Value = TypeVar("Value")
PATIENCE_SECONDS = 60.0
"""For another process; on a busy machine everything takes long."""
SENDER = events.Sender(uid=1000, user="somebody", host="somewhere", pid=7)
"""Who asks in logs that are made."""


def until(condition: Callable[[], Value], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> Value:
    """Return the first true value of ``condition``, asked over and over."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {what or condition}"
        time.sleep(0.01)
    return value


def numbered(facts: Iterable[events.AnyEvent], start: float = 1000.0) -> list[events.AnyEvent]:
    """Number ``facts`` as a log does, a second apart where they have no time, and return them."""
    listed = list(facts)
    for seq, event in enumerate(listed):
        event.seq = seq
        event.time = event.time or start + seq
    return listed


def encode_log(facts: Iterable[events.AnyEvent]) -> bytes:
    """Return a log of ``facts``, numbered."""
    return b"".join(msgspec.json.encode(event) + b"\n" for event in numbered(facts))


def read_log(run: RunDirectory) -> list[events.AnyEvent]:
    """Return the facts of a run's log."""
    return Tail(run.session_log).read_all()


def requests_in(run: RunDirectory) -> list[commands.AnyRequest]:
    """Return the requests that lie in a run directory, in the order in which they were put there."""
    paths = sorted(run.commands.glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [commands.decode(path.read_bytes()) for path in paths]


def fold(facts: Iterable[events.AnyEvent]) -> RunState:
    """Return what facts add up to that are numbered already."""
    state = RunState()
    state.apply(facts)
    return state


def make_run(runs: Path, facts: Iterable[events.AnyEvent], name: str = "run") -> RunDirectory:
    """Return a run with a log of ``facts``, long ago."""
    run = RunDirectory.at(runs / name)
    run.session_log.write_bytes(encode_log(facts))
    os.utime(run.session_log, (1000, 1000))
    return run


def started(**fields: object) -> events.RunStarted:
    """Return the first fact of a run, of this machine and of a process that is long gone."""
    values: dict[str, object] = {
        "protocol": events.PROTOCOL,
        "attempt": 0,
        "name": "sample",
        "host": "somewhere",
        "pid": 1,
        "process_started": None,
        "boot_id": liveness.boot_id(),
        "versions": {"python": "3.11"},
        "config": {},
    }
    return events.RunStarted(**{**values, **fields})  # type: ignore[arg-type]


def layer(path: str, **fields: object) -> events.BatchNormLayer:
    values: dict[str, object] = {
        "path": path,
        "channels": 3,
        "momentum": 0.99,
        "epsilon": 0.001,
        "trainable": True,
        "synchronized": False,
    }
    return events.BatchNormLayer(**{**values, **fields})  # type: ignore[arg-type]


def model_built(*layers: events.BatchNormLayer, **fields: object) -> events.ModelBuilt:
    """Return the fact of a small model with these BatchNormalization layers."""
    values: dict[str, object] = {
        "name": "model",
        "parameters": 30,
        "trainable_parameters": 24,
        "batch_norm_layers": [*layers],
        "other_layers": [],
    }
    return events.ModelBuilt(**{**values, **fields})  # type: ignore[arg-type]


def fit_started(**fields: object) -> events.FitStarted:
    """Return the first fact of a ``fit`` that takes no request."""
    values: dict[str, object] = {
        "optimizer": "Adam",
        "epochs": 2,
        "initial_epoch": 0,
        "steps_per_epoch": 2,
        "jit_compile": False,
        "can": {},
    }
    return events.FitStarted(**{**values, **fields})  # type: ignore[arg-type]


def probe_fact(**fields: object) -> events.Probe:
    """Return a probe of a loss of 1 without a gap; fields replace what it has."""
    values: dict[str, object] = {
        **dict.fromkeys(("train", "inference"), 1.0),
        **dict.fromkeys(("gap", "batch_norm", "stochastic", "other", "standard_error"), 0.0),
        "reason": "epoch",
        "examples": 16,
        "masks": 1,
        "passes": 4,
        "seconds": 0.1,
    }
    return events.Probe(**{**values, **fields})  # type: ignore[arg-type]


def statistics(
    mean: float = 0.0, *, variance: float = 1.0, mode: str = "training", gamma: bool = True
) -> events.BatchNormStatistics:
    return events.BatchNormStatistics(
        moving_mean=[mean + number for number in range(7)],
        moving_variance=[variance] * 7,
        gamma=[1.0] * 7 if gamma else None,
        beta=[0.0] * 7,
        dead=0,
        non_finite=0,
        mode=mode,
    )


def a_run() -> list[events.AnyEvent]:
    """Return the facts of a short run: two epochs of two steps, a freeze in between, the end."""
    return [
        started(),
        events.StateChanged(state="preparing", detail="loading Keras"),
        model_built(layer("bn_1"), layer("bn_2", trainable=False), other_layers=["dropout"]),
        events.Evaluated(name="before training", logs={"loss": -6.1}),
        fit_started(can={"freeze": ""}),
        events.StateChanged(state="training"),
        events.Batches(first_step=0, metrics={"loss": [0.5, "nan"]}, running={"auc": 0.75}, batches=2, step=2),
        events.EpochEnded(logs={"loss": 0.45, "val_loss": "inf"}, learning_rate=1e-3, seconds=1.0, step=2),
        events.BatchNorm(layers={"bn_1": statistics(), "bn_2": statistics(mode="frozen", gamma=False)}, step=2),
        events.CommandApplied(
            id="a-0",
            request={"command": "freeze", "layers": []},
            sender=SENDER,
            first_step=2,
            traced_seconds=0.5,
            frozen=["bn_1", "bn_2"],
            step=2,
            epoch=1,
        ),
        events.CommandVerified(
            id="a-0", held=True, detail="moving statistics of 2/2 layers unchanged", step=3, epoch=1
        ),
        events.Batches(first_step=2, metrics={"loss": [-0.25, -0.5]}, batches=2, step=4, epoch=1),
        events.EpochEnded(logs={"loss": -0.375, "val_loss": -0.5}, learning_rate=1e-3, seconds=1.0, step=4, epoch=1),
        events.BatchNorm(layers={"bn_1": statistics(mode="frozen")}, step=4, epoch=1),
        events.Heartbeat(step=4, epoch=1),
        events.RunEnded(status="finished", step=4, epoch=1),
    ]


NO_LOCKS = ("ENOLCK", "ENOSYS", "EBADF", "EOPNOTSUPP", "EINVAL", "EIO")
"""What `flock` fails with where a file system has no locks: NFS, Lustre, EFS, FUSE."""


def without_locks(monkeypatch: pytest.MonkeyPatch, name: str = "ENOLCK") -> None:
    """Let ``flock`` fail as it does on a file system without locks."""

    def no_flock(descriptor: int, operation: int) -> None:
        code = getattr(errno, name)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_flock)


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a process under test: this checkout's tuimon, no terminal, nothing of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TUIMON_", "SLURM_"))}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "TERM": "dumb", "TF_CPP_MIN_LOG_LEVEL": "2", **variables}


def command(*arguments: object) -> list[str]:
    """Return the command line of ``tuimon``."""
    return [sys.executable, "-m", "tuimon", *map(str, arguments)]


@contextmanager
def stand_in(run: RunDirectory, behaviour: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that holds a run's log as a trainer does, and end it afterwards; see stand_in_trainer.py."""
    before = run.session_log.stat().st_size if run.session_log.is_file() else 0
    arguments = [sys.executable, str(STAND_IN), str(run.path), behaviour]
    process = subprocess.Popen(arguments, env=environment(), stdin=subprocess.DEVNULL)
    try:
        until(
            lambda: run.session_log.is_file() and run.session_log.stat().st_size > before,
            what="the stand-in's first line",
        )
        yield process
    finally:
        process.kill()
        process.wait()


def selected(names: Iterable[str], *often: str) -> list[Any]:
    """Return ``names`` as parameters of a test: those of ``often`` always run, the others in the full tests."""
    return [pytest.param(name, marks=() if name in often else pytest.mark.full) for name in names]


def script(path: str) -> ModuleType:
    """Return a file of the project that lies in no package, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Its dataclasses look there for their types.
    spec.loader.exec_module(module)
    return module
