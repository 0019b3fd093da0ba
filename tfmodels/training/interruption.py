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
    """Whether the user asked for an end.

    Attributes:
        signal: that asked for it; None if there was none.
    """

    signal: int | None = None

    def act(self, where: str) -> None:
        """End the training if the user asked for it, once its state is saved.

        Raises:
            Interrupted: they did.
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
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        """Note the signal, and let the next one act."""
        request.signal = number
        restore()
        print("\nsaving after this step; once more to stop at once", file=sys.stderr)

    for number in SIGNALS:
        if before[number] != signal.SIG_IGN:  # as of a background process of a shell
            signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
