"""The wheel that a clone builds: it installs on a machine without TensorFlow, and works there."""

import subprocess
import sys
from pathlib import Path

import pytest

import tuimon
from helpers import ROOT, a_run, make_run


@pytest.mark.full
def test_a_login_node_installs_it_and_watches(runs: Path, tmp_path: Path) -> None:
    """It needs a package index."""
    run = make_run(runs, a_run(), "here")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    scripts = tmp_path / "venv" / "bin"
    subprocess.run([scripts / "pip", "install", "-q", wheel], check=True)
    assert subprocess.check_output([scripts / "tuimon", "--version"], text=True) == f"tuimon {tuimon.__version__}\n"
    assert run.name in subprocess.check_output([scripts / "python", "-m", "tuimon", "list", runs], text=True)
    done = subprocess.run([scripts / "tuimon", "watch", run.path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert subprocess.run([scripts / "python", "-c", "import keras"], capture_output=True, check=False).returncode == 1
