"""The exception that rejects a request."""


class RejectedError(Exception):
    """A request cannot be carried out; the message tells the sender why."""
