"""Knows what has become of the batch of one call, so that an error of tuimon loses none and trains none twice."""

from collections.abc import Callable
from typing import Any


class OneCall:
    """One call of the step. The functions that take its batch run through this object."""

    def __init__(self) -> None:
        self.data: Any = None
        """The argument of the function, once it is known: batches that were read ahead have left their queue."""
        self.has_result = False
        """True once a function has run the step."""
        self.result: Any = None
        """What the function returned."""
        self.users_error: BaseException | None = None
        """The newest exception of a function or of the user's data."""

    def run(self, function: Callable[[Any], Any], data: Any) -> Any:
        """Run the step by a function; return its result."""
        self.result = self.of_user(function, data)
        self.has_result, self.users_error = True, None
        return self.result

    def of_user(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call code of the user; note its exception as theirs."""
        try:
            return function(*arguments)
        except BaseException as error:
            self.users_error = error
            raise
