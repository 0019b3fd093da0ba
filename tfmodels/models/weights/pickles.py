"""Unpickle arrays and nothing else: no code is run, and little memory allocated on a claim."""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from tfmodels.errors import RunError
from tfmodels.safe_files import printable

MOST_OPERATIONS = 10_000  # of a pickle; AlexNet's have under 1,000


def unpickle(
    path: Path,
    file: IO[bytes],
    names: Mapping[tuple[str, str], Any],
    load: Callable[[Any], Any] | None = None,
    encoding: str = "utf-8",
) -> Any:
    """Return what a pickle holds, made of stand-ins.

    Args:
        path: of the file, for messages.
        file: at the start of the pickle; afterwards, at its end. Its `read` must not take memory
            for more than there is, whatever it is asked for: an `io.BytesIO` or a map of a file.
        names: stand-ins for what the pickle may import, by module and name.
        load: returns what lies outside of the pickle, by its persistent id.
        encoding: of strings that Python 2 wrote.

    Raises:
        RunError: it imports anything else.
        Exception: of many kinds, where it is damaged.
    """
    start = file.tell()
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        # Each takes hundreds of bytes, and one that stores at a place takes all places before it.
        place = argument if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") else 0
        if max(count, place or 0) > MOST_OPERATIONS:
            raise ValueError(f"a pickle of more than {MOST_OPERATIONS:,} operations")
    file.seek(start)
    unpickler = _Unpickler(file, encoding=encoding)
    unpickler.path, unpickler.names, unpickler.load_outside = path, names, load
    return unpickler.load()


class _Unpickler(pickle.Unpickler):
    path: Path
    names: Mapping[tuple[str, str], Any]
    load_outside: Callable[[Any], Any] | None

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of what is imported."""
        if (module, name) not in self.names:
            wanted = printable(f"{module}.{name}")
            raise RunError(f"{self.path} wants to import {wanted}: refused")
        return self.names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Return what lies outside of the pickle."""
        if self.load_outside is None:
            raise ValueError("something outside of the pickle")
        return self.load_outside(pid)
