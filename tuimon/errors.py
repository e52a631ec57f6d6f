"""The one exception that means "the person at the keyboard can mend this"."""


class UsageError(Exception):
    """What happened, where, and what to do, in one line. The command line prints it and exits 2."""
