"""Print what completes tuimon's commands, options and runs in your shell.

  bash   tuimon completion bash > ~/.local/share/bash-completion/completions/tuimon
  zsh    tuimon completion zsh > DIR/_tuimon, where DIR is in $fpath
  fish   tuimon completion fish > ~/.config/fish/completions/tuimon.fish
  tcsh   tuimon completion tcsh > ~/.tuimon.tcsh, and source it in ~/.tcshrc

In bash, zsh and fish, RUN is completed with the runs in $TUIMON_RUNS_DIR, else in ./runs, also
without their date; in bash and zsh with paths where no run begins so.
"""

import argparse
from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish", "tcsh")
RUNS = {
    "bash": "_tuimon_runs",
    "zsh": "_tuimon_runs",
    "fish": "(__tuimon_runs)",
}
"""What completes the name of a run, in each shell."""
FUNCTIONS = {
    "bash": """
_tuimon_runs() {
  (
    cd -- "${TUIMON_RUNS_DIR:-runs}" 2>/dev/null || exit
    compgen -d -- "$1" && exit
    shopt -s nullglob
    for run in ????????-??????-"$1"*/; do run=${run%/}; printf '%s\n' "${run:16}"; done | sort -u | grep .
  ) || compgen -f -- "$1"
}
""",
    "zsh": """
_tuimon_runs() {
  local -a found=(${TUIMON_RUNS_DIR:-runs}/*(N/:t))
  compadd -a found || compadd -- ${found#????????-??????-} || _files
}
""",
    "fish": r"""
function __tuimon_runs
  set -q TUIMON_RUNS_DIR; and set -l runs $TUIMON_RUNS_DIR; or set -l runs runs
  for run in $runs/*/
    string replace -r '.*/([^/]+)/$' '$1\trun' -- $run
    string replace -f -r '.*/\d{8}-\d{6}-([^/]+)/$' '$1\tnewest run of this name' -- $run
  end
end
""",
}
_ARE_RUNS = ("run", "runs")
"""Names of arguments that take a run. Of `tuimon run` it is another one: its config."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def execute(options: argparse.Namespace) -> int:
    """Print the script and return the exit code."""
    import shtab

    from tuimon.cli.main import make_parser

    parser = make_parser()
    for action in _arguments(parser):
        if action.dest in _ARE_RUNS:
            action.complete = RUNS  # type: ignore[attr-defined]
        elif action.dest in ("config", "path"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest == "runs_dir":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, options.shell, preamble=FUNCTIONS.get(options.shell, "")))
    return 0


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        for subparser in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from _arguments(subparser)
