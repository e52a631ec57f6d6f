"""The one exception that means "the person at the keyboard can mend this"."""


class UsageError(Exception):
    """What happened, where, and what to do, in one line. The command line prints it."""

    exit_code = 2
    """What the command line exits with."""
