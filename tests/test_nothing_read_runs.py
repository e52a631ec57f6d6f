"""Nothing that is read is unpickled, evaluated or imported, and nothing is written outside of what was named."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers import ROOT, a_run, make_run, started
from trainer.test_hostile_checkpoints import Harm, checkpoint, npy
from tuimon.cli.main import main
from tuimon.runs.run_directory import RunDirectory

MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "runpy", "code", "imp"}
CALLS = {"eval", "exec", "__import__", "system", "popen", "import_module", "load_module", "exec_module"}
"""Names of functions that run what they are given, whatever module or object they belong to."""
USERS_CODE = "tuimon/launch/user_code.py"
"""Loads the functions that a config names, after it checked whose they are."""
ALLOWED = {
    # Only modules of tuimon's own.
    ("tuimon/cli/export.py", "import_module"),
    ("tuimon/cli/main.py", "import_module"),
    (USERS_CODE, "import_module"),
    (USERS_CODE, "exec_module"),
}


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def dangers(tree: ast.AST) -> Iterator[str]:
    """Yield what could run something that was read."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in MODULES:
                yield module
            case ast.Call():
                if called(node) in CALLS:
                    yield called(node)
                for keyword in node.keywords:
                    is_on = not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                    if keyword.arg in ("allow_pickle", "shell") and is_on:
                        yield f"{keyword.arg}=True"
                is_numpys = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in (
                    "np",
                    "numpy",
                    "np.lib.format",
                )
                reads = called(node) in ("load", "read_array", "fromfile", "loadtxt")
                if is_numpys and reads and "allow_pickle" not in {keyword.arg for keyword in node.keywords}:
                    yield f"{called(node)} without allow_pickle=False"


def test_no_module_runs_what_it_reads() -> None:
    found = {
        (str(path.relative_to(ROOT)), danger)
        for path in (ROOT / "tuimon").rglob("*.py")
        for danger in dangers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from yaml import load",
        "import importlib; importlib.import_module(name)",
        "eval(text)",
        "os.system(text)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=flag)",
        "subprocess.run(text, shell=True)",
        "spec.loader.exec_module(module)",
    ],
)
def test_what_runs_something_is_found(code: str) -> None:
    assert list(dangers(ast.parse(code)))


# A runs directory of somebody else

OTHER = 12345
MLP = "20991231-000000-mlp"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Return a directory of the caller's with files that nobody named."""
    directory = tmp_path / "victim"
    make_run(tmp_path, a_run(), "victim")
    (directory / "precious").write_text("precious")
    return directory


@pytest.fixture
def planted(runs: Path, victim: Path) -> RunDirectory:
    """Return a run that another user planted, whose every part leads elsewhere or would run something."""
    run = make_run(runs, a_run(), MLP)
    mark = runs.parent / "mark"
    run.config.write_text(
        f'[run]\nname = "mlp"\n[model]\nbuild = "os:system"\n[model.arguments]\ncommand = "touch {mark}"\n'
        '[data]\nbuild = "os:getcwd"\n[training]\nepochs = 1\n'
    )
    run.checkpoints.mkdir()
    checkpoint(run.checkpoints / "step-00000001.npz", **{"000000.npy": npy(np.array([Harm(mark)], object))})
    run.commands.rmdir()
    run.commands.symlink_to(victim)
    run.trainer_log.symlink_to(victim / "precious")
    (run.path / "tags.json").symlink_to(victim / "precious")

    (runs / "linked").symlink_to(victim)
    (runs / ".deleted-1-1").symlink_to(victim)
    # They may be running, as far as can be seen from here, so requests are sent to them.
    far = started(host="far", boot_id="another")
    silent = make_run(runs, [far], "silent")
    silent.commands.rmdir()
    silent.commands.symlink_to(victim)
    make_run(runs.parent, [far], "live")
    (runs / "live").symlink_to(runs.parent / "live")
    if os.getuid() == 0:
        for path in (runs, *runs.rglob("*")):
            os.chown(path, OTHER, OTHER, follow_symlinks=False)
    return run


def tree(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return everything about the files of a directory."""
    found = {}
    for path in (directory, *sorted(directory.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(directory))] = (content, status.st_mode, status.st_mtime_ns)
    return found


TRIED: dict[str, list[tuple[list[str], int]]] = {
    "run": [(["run", "--resume", name], 2) for name in (MLP, "mlp", "linked")],
    "watch": [(["watch", MLP], 0), (["watch", "linked"], 0)],
    "replay": [(["replay", MLP], 2)],
    "list": [(["list"], 0), (["list", "--json"], 0)],
    "doctor": [(["doctor", MLP], 1), (["doctor", "linked", "--json"], 1)],
    "export": [(["export", MLP, "--to", "csv", "--out", "out.csv"], 0)],
    "send": [
        (["send", MLP, "stop"], 3),
        (["send", "linked", "stop"], 3),
        (["send", "silent", "stop", "--timeout", "0"], 2),
        (["send", "live", "stop", "--timeout", "0"], 2),
    ],
    "tag": [(["tag", MLP, "best"], 2), (["tag", "linked", "best"], 2), (["tag", MLP, "baseline"], 2)],
    "delete": [(["delete", "linked", "--yes"], 1), (["delete", MLP, "--yes"], 0)],
}
"""Commands, and their exit codes."""


@pytest.mark.parametrize("what", TRIED)
def test_a_planted_run_runs_nothing_and_writes_nowhere(
    planted: RunDirectory,
    victim: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may plant another user's run")
    monkeypatch.setenv("TUIMON_RUNS_DIR", str(planted.path.parent))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = tree(victim), tree(tmp_path / "live")
    for arguments, code in TRIED[what]:
        assert main(arguments) == code, (arguments, capsys.readouterr().err)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert "\x1b" not in said.out + said.err
    assert not (tmp_path / "mark").exists()
    assert (tree(victim), tree(tmp_path / "live")) == before
