"""What of a run is done in a shell: the viewer names the command, with the run's name in it."""

from msgspec import Struct


class ShellCommand(Struct, frozen=True, kw_only=True):
    """A command that is typed in a shell."""

    does: str
    """What it does to the run that is shown."""
    command: str
    """The command; `{run}` stands for the run's name."""
    also: str
    """Further words by which it is found."""


SHELL_COMMANDS = (
    ShellCommand(
        does="replay this run",
        command="tuimon replay {run}",
        also="again history earlier rewind",
    ),
    ShellCommand(
        does="diagnose this run: what is wrong, why, and what to do",
        command="tuimon doctor {run}",
        also="doctor diagnosis rules problem overfit overfitting spikes nan inf diverge drift gap parts dead slow",
    ),
    ShellCommand(
        does="export this run: as a page, a picture, a table, for TensorBoard",
        command="tuimon export {run} --to html --out {run}.html",
        also="html svg csv pandas parquet jsonl share report send download save",
    ),
    ShellCommand(
        does="wait for the end of this run",
        command="tuimon wait {run}",
        also="until finished exit code script",
    ),
    ShellCommand(
        does="be told when a run ends, crashes or goes wrong",
        command="tuimon alerts test",
        also="alerts notify notifications slack mail webhook phone message",
    ),
)
"""In the order in which they are listed."""
