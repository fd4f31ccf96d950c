"""Signals that ask a run to stop: the handler stores the signal and does nothing else."""

import signal
from types import FrameType
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Signals:
    """Stores SIGTERM, SIGINT and SIGUSR1 from `watch` to `release`.

    A second SIGINT interrupts at once: who presses Ctrl-C twice does not want to wait.

    Attributes:
        received: the number of the last stored signal; 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[signal.Signals, Any] = {}
        self._kept: set[signal.Signals] = set()

    def watch(self, *signals: signal.Signals) -> None:
        """Installs the handler for `signals`, by default for all three; only the main thread of a process can.

        It unblocks them. The handler of a signal that was blocked stays until the process ends: that signal must never
        end it.
        """
        chosen = signals or STOPPING
        for number in chosen:
            previous = signal.signal(number, self._note)
            self._previous.setdefault(number, previous)
        self._kept |= set(chosen) & signal.pthread_sigmask(signal.SIG_UNBLOCK, chosen)

    def release(self) -> None:
        """Restores the previous handlers, except for signals that were blocked."""
        for number, handler in self._previous.items():
            if number not in self._kept:
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT == self.received:
            raise KeyboardInterrupt
        self.received = number
