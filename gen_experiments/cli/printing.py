"""Prints an error in one line, once for the processes that torchrun has started on a machine."""

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gen_experiments.runs.job import log_folder, process_rank, process_suffix

PATIENCE = 1.0  # seconds that a process waits while another one prints


def print_error(text: str) -> None:
    """Prints an error to stderr, unless another process of this torchrun and machine has printed the same one.

    A process leaves an error out only after it has read that another one has printed it: an error of one process alone
    is never lost, and where the processes cannot share files each prints it.
    """
    with _first_to_print(text) as first:
        if first:
            print(f"error{process_suffix()}: {text}", file=sys.stderr, flush=True)


@contextmanager
def _first_to_print(text: str) -> Iterator[bool]:
    """Yields whether this process is to print a text; meanwhile the others wait.

    A file beside torchrun's logs holds the processes that have printed the text or left it out. One that is among them
    has come to the same error again, such as that of a script's next command.
    """
    folder, number = log_folder(), process_rank()
    file = None if folder is None else _locked(str(folder / f"error_{hashlib.sha256(text.encode()).hexdigest()}"))
    if file is None:
        yield True
        return
    try:
        others = os.read(file, 1 << 20).decode().split()
        first = not others or number in others
        yield first
        with suppress(OSError):  # on a full disk all print
            os.ftruncate(file, 0)
            os.pwrite(file, " ".join([number] if first else [*others, number]).encode(), 0)
    finally:
        os.close(file)


def _locked(path: str) -> int | None:
    """Returns an open file that no other process has; None where there is none within `PATIENCE`."""
    try:
        import fcntl

        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except (ImportError, OSError):  # on Windows; torchrun has removed its logs
        return None
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() < end:
                time.sleep(0.01)
                continue
        except OSError:  # no locks on this file system
            pass
        os.close(file)
        return None
