"""Fixtures of all tests: nothing of the user's own runs, settings or directories is seen."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# In the background or under nohup, the processes that tests start would inherit that these signals are ignored, and
# tuimon leaves that so.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGUSR1, signal.SIG_DFL)

LIMIT_SECONDS = 600
"""A test that takes longer waits for what never comes. Before that, `faulthandler_timeout` shows where it stands."""


@pytest.fixture(autouse=True)
def _a_time_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that hangs, so that the others still run."""

    def over(*_: Any) -> None:
        pytest.fail(f"{request.node.name} took more than {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _a_place_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("TUIMON_RUNS_DIR", "TUIMON_SETTINGS", "SLURM_JOB_ID", "SLURM_STEP_ID", "ENVIRONMENT")
    for name in (*names, "NO_COLOR", "COLORTERM", "LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "of-the-user" / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of-the-user" / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _the_closing_examination_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a short run is examined must not depend on what else the machine does meanwhile."""
    monkeypatch.setattr("tuimon.trainer.probe_costs.CLOSING_LEAST", 60.0)


@pytest.fixture(autouse=True, scope="module")
def _what_a_module_leaves_is_not_searched_for_garbage() -> Iterator[None]:
    """TensorFlow keeps millions of objects of the graphs that were traced; each search through them takes seconds."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a runs directory."""
    directory = tmp_path / "runs"
    directory.mkdir()
    return directory
