"""Imports point down only, and nothing but the trainer loads Keras."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT, environment
from tuimon.cli.main import COMMANDS

LIGHT = [
    "tuimon",
    "tuimon.ui.app",
    "tuimon.launch.config",
    "tuimon.launch.launcher",
    "tuimon.cli.main",
    "tuimon.cli.common.progress_lines",
    "tuimon.export.csv",
    "tuimon.report.web.page",
    "tuimon.report.web.picture",
    "tuimon.export.jsonl",
    "tuimon.export.parquet",
    "tuimon.export.tensorboard",
    *(f"tuimon.cli.{name}" for name in COMMANDS),
]
"""Modules that a login node without TensorFlow can load."""


def loaded_by(statements: str) -> set[str]:
    """Return the modules in a fresh interpreter after ``statements``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statements}\nimport sys\nprint(*sys.modules)"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rsplit("\n", 2)[-2].split())


def test_the_contracts_hold() -> None:
    script = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(script), "--no-cache"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", LIGHT)
def test_a_viewer_loads_no_keras(module: str) -> None:
    # One is called `import`, as its subcommand.
    loaded = loaded_by(f"import importlib; importlib.import_module({module!r})")
    assert module in loaded
    assert not loaded & {"keras", "tensorflow", "jax", "torch"}
    assert not {name for name in loaded if name.startswith("tuimon.trainer")}


def test_a_subcommand_loads_what_it_needs() -> None:
    loaded = loaded_by("from tuimon.cli.main import main; main(['list'])")
    assert "tuimon.cli.list" in loaded
    assert not loaded & {"textual", "plotext", "tomlkit", "tuimon.cli.send", "tuimon.launch.config", "tuimon.ui"}
    for module in ("tuimon.cli.run", "tuimon.cli.watch", "tuimon.cli.replay"):
        assert not loaded_by(f"import {module}") & {"textual", "plotext", "tuimon.ui"}


def test_a_format_is_loaded_when_it_is_used() -> None:
    loaded = loaded_by("import tuimon.cli.export, tuimon.export.parquet, tuimon.export.tensorboard")
    assert not loaded & {"pyarrow", "tensorboard", "pandas"}
    assert "tuimon.export.csv" not in loaded
