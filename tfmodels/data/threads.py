"""Functions that TensorFlow calls from threads of its own: their errors, and Python's exit."""

import atexit
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

QUIET = 0.1  # seconds without a call, after which enough batches lie ready


@dataclasses.dataclass
class _Calls:
    running: list[Callable[..., Any]]
    last_end: float  # monotonic seconds
    errors: list[Exception]  # as they were raised


_calls = _Calls([], -QUIET, [])
_exiting = threading.Event()


def called_by_threads(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, made to keep its errors for `plain_errors` and to let Python exit."""

    def call(*args: Any) -> Any:
        """Call the function, unless Python is exiting."""
        _calls.running.append(function)
        try:
            if _exiting.is_set():
                raise RuntimeError("Python is exiting")
            return function(*args)
        except Exception as error:
            _calls.errors.append(error)
            raise
        finally:
            _calls.last_end = time.monotonic()
            _calls.running.pop()

    return call


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Raise the error of such a function as it was: TensorFlow wraps it in one of its own."""
    _calls.errors.clear()
    try:
        yield
    except tf.errors.OpError:
        if _calls.errors:
            raise _calls.errors.pop(0) from None
        raise


@atexit.register
def _end_calls() -> None:
    """Let the threads come to rest: at its exit Python would wait for them, and they for it.

    They make batches ahead, until enough lie ready. What is called from now on fails at once.
    """
    _exiting.set()
    while _calls.running or time.monotonic() - _calls.last_end < QUIET:
        time.sleep(QUIET / 10)
