"""The errors that a user can cause and mend; each message is one line that says what to do."""


class RunError(Exception):
    """Something failed that the user can do something about (exit code 1)."""

    exit_code = 1


class UsageError(RunError, ValueError):
    """A wrong call: a value, name or path that can't be right (exit code 2)."""

    exit_code = 2
