"""Signals that end a command: as an exception or, while it waits for other processes, at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from gen_experiments.runs.job import has_peers, process_suffix
from gen_experiments.runs.signals import STOPPING

PATIENCE = 5.0  # seconds until a signal ends a process that waits for others


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGUSR1 arrived; code that handles Ctrl-C handles it in the same way.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def say_stopped(number: int) -> int:
    """Prints that a signal has stopped this process; returns the exit code."""
    name = signal.Signals(number).name
    print(f"stopped by {name}{process_suffix()}: the files that were written so far are whole", file=sys.stderr)
    return 128 + number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGUSR1 raise an exception, as Ctrl-C does, so that no file is left half written.

    A signal that is blocked, as SIGUSR1 under SLURM, waits for a run that stores it.

    Python runs no handlers while the main thread waits for other processes, for minutes or forever if one of them has
    ended. Therefore another thread ends this process where no handler has run after `PATIENCE`: files are renamed when
    they are complete, so that nothing is lost. A run replaces the handlers while it trains.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    command = _Command()
    command.begin()
    try:
        yield
    finally:
        command.end()


class _Command:
    """The handlers of a command, and the thread that looks whether they run."""

    def __init__(self) -> None:
        self._has_run = threading.Event()
        unblocked = set(STOPPING) - signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self._previous = {number: signal.getsignal(number) for number in unblocked}
        self._ends = os.pipe()
        self._former = -1

    def begin(self) -> None:
        for number, handler in self._previous.items():
            if handler != signal.SIG_IGN:  # as a shell has it for commands in the background
                signal.signal(number, self._stop)
        reading, writing = self._ends
        os.set_blocking(writing, False)
        self._former = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), daemon=True).start()

    def end(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._former)
        os.close(self._ends[1])  # which ends the thread

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        self._has_run.set()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def _watch(self, reading: int) -> None:
        """Ends this process if no handler runs after a signal."""
        while arrived := os.read(reading, 1):
            number = arrived[0]
            if self._handles(number) and has_peers() and not self._has_run.wait(PATIENCE) and self._handles(number):
                with suppress(Exception):
                    sys.stdout.flush()
                    say_stopped(number)
                os._exit(128 + number)
        os.close(reading)

    def _handles(self, number: int) -> bool:
        return signal.getsignal(number) == self._stop


def _leave_to_the_parent() -> None:
    """Keeps the signals of a forked process from the thread of its parent."""
    signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
