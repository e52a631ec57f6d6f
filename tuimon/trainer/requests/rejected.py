"""The answer to a request that is not taken."""


class RejectedError(Exception):
    """A request cannot be taken; says why, in words."""
