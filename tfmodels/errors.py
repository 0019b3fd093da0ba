"""The errors that a user can cause and mend; each message is one line that says what to do.

A message names parameters in backquotes, `name` or `name=value`. In Python that is how they are
set; the command line shows them as flags, `--name` or `--name value`.
"""

from collections.abc import Sequence


class RunError(Exception):
    """Something failed that the user can do something about (exit code 1)."""

    exit_code = 1


class UsageError(RunError, ValueError):
    """A wrong call: a value, name or path that can't be right (exit code 2)."""

    exit_code = 2


class DivergenceError(RunError):
    """The loss of a training is no number any more, or has exploded; going on is no use."""


class Interrupted(KeyboardInterrupt):  # it isn't an error
    """The user or the system ended a training, whose state is saved.

    Attributes:
        signal: number of the signal that asked for it.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


def first_names(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
