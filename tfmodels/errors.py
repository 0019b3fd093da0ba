"""The errors that a user can cause and mend; each message is one line that says what to do."""


class RunError(Exception):
    """Something failed that the user can do something about (exit code 1)."""

    exit_code = 1


class UsageError(RunError, ValueError):
    """A call that can't be right whatever the machine: a wrong value, name or path (exit code 2)."""

    exit_code = 2
