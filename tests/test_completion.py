"""What real shells complete."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import a_run, make_run
from tuimon.cli.completion import SHELLS
from tuimon.cli.main import COMMANDS, main

LINES = ("tuimon wat", "tuimon watch a-", "tuimon watch --runs")
BASH = """
source "$1"
for line in "${@:2}"; do
  read -ra COMP_WORDS <<< "$line"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  _shtab_tuimon tuimon "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
  echo "${COMPREPLY[@]}"
done
"""
FISH = """
source $argv[1]
for line in $argv[2..]; echo (complete -C $line | string replace -r '\\t.*' ''); end
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with two runs of a name, one of another, and a file."""
    for name in ("a-1", "a-2", "b-1"):
        make_run(tmp_path / "runs", a_run(), name)
    (tmp_path / "runs" / "a-file").touch()
    return tmp_path


def script(shell: str, place: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", shell]) == 0
    path = place / f"_tuimon.{shell}"
    path.write_text(capsys.readouterr().out)
    return path


def needed(shell: str) -> str:
    if (found := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.mark.parametrize(("shell", "code", "zeroth"), [("bash", BASH, ["bash"]), ("fish", FISH, [])])
def test_commands_runs_and_options(
    shell: str, code: str, zeroth: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.run(
        [needed(shell), "-c", code, *zeroth, script(shell, place, capsys), *LINES],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [sorted(line.split()) for line in done.stdout.splitlines()] == [["watch"], ["a-1", "a-2"], ["--runs-dir"]]
    (place / "training.csv").touch()
    make_run(place / "runs", a_run(), "20261130-221413-digits")
    make_run(place / "runs", a_run(), "20261130-221500-digits")
    arguments = [shell, "-c", code, *zeroth, script(shell, place, capsys), "tuimon get di"]
    assert subprocess.check_output(arguments, cwd=place, text=True) == "digits\n"
    for line in ("tuimon import tr", *(["tuimon watch tr"] if shell == "bash" else [])):
        arguments = [shell, "-c", code, *zeroth, script(shell, place, capsys), line]
        assert subprocess.check_output(arguments, cwd=place, text=True) == "training.csv\n"
    elsewhere = {**os.environ, "TUIMON_RUNS_DIR": str(place / "runs")}
    arguments = [shell, "-c", code, *zeroth, script(shell, place, capsys), "tuimon doctor b"]
    assert subprocess.check_output(arguments, cwd="/", env=elsewhere, text=True) == "b-1\n"


def test_zsh_completes_a_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its completion works at a prompt alone."""
    zsh = needed("zsh")
    shutil.move(script("zsh", place, capsys), place / "_tuimon")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place)
        os.execve(zsh, ["zsh", "-f", "-i"], {"TERM": "dumb", "PS1": "> ", "HOME": str(place)})
    said = b""

    def wait_for(words: bytes) -> None:
        nonlocal said
        while words not in said:
            said += os.read(terminal, 4096)

    # What is typed before the prompt is there is no key to zsh.
    os.write(terminal, b"fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; PS1='rea''dy> '\n")
    wait_for(b"ready> ")
    os.write(terminal, b"tuimon doctor b\t")
    wait_for(b"tuimon doctor b-1")
    os.write(terminal, b"\x15exit\n")
    os.waitpid(child, 0)
    os.close(terminal)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_command_is_there(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd.exe"]) == 2
    assert "'cmd.exe'" in capsys.readouterr().err
