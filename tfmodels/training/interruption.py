"""Ctrl-C and SIGTERM during training: the step is finished and the state saved first."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from tfmodels.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A request to stop.

    Attributes:
        signal: that asked for it; None if there was none.
    """

    signal: int | None = None

    def stop(self, where: str) -> None:
        """Stop the training if that was asked for, once its state is saved.

        Raises:
            Interrupted: it was.
        """
        if self.signal is not None:
            raise Interrupted(f"stopped {where}", self.signal)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note the first SIGINT or SIGTERM of the block; a second one acts as it did before.

    Only the main thread gets signals; in others nothing is noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        """Let signals act as they did before."""
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        """Note the signal, and let the next one act."""
        request.signal = number
        restore()
        print("\nsaving after this step; once more to stop at once", file=sys.stderr)

    for number in SIGNALS:
        if before[number] not in (signal.SIG_IGN, None):  # of a shell's background process, or in C
            signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
