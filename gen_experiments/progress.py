"""Shows the progress of long work, such as a command or the decoding of images."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from gen_experiments import distributed

QUIET = 5.0  # seconds before anything is shown, as most work has ended by then
BETWEEN_LINES = 30.0  # seconds between two lines in a log file
LINE = "{n_fmt} of {total_fmt}{unit} ({percentage:.0f}%), {remaining} left, {rate_fmt}"


class _Bar(tqdm):  # type: ignore[misc]
    """A bar whose unit has a space before it behind a number, as in "6 images", but not in "2.00s/images"."""

    def __str__(self) -> str:
        return str(super().__str__()).replace("s/ ", "s/")


class _Lines:
    """Writes what tqdm draws over and over in one line of a terminal as lines of a file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        if drawn := text.strip():
            self._file.write(f"{drawn}\n")

    def flush(self) -> None:
        self._file.flush()


def progress(total: int, what: str, chunk: int = 1, shared: bool = False) -> Iterator[range]:
    """Yields ranges of at most `chunk` numbers that make up 0 ... `total` - 1, and shows the progress; see `counting`.

    Args:
        total: the number of items.
        what: their name, such as "images".
        chunk: items of a range.
        shared: whether each process of a group gets its own share of the ranges; else each gets all.
    """
    with counting(total, what) as add:
        for number, first in enumerate(range(0, total, chunk)):
            part = range(first, min(first + chunk, total))
            if not shared or number % distributed.world_size() == distributed.rank():
                yield part
            add(len(part))


@contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """Yields a function that adds to the number of items that are done, and shows the progress on stderr.

    On a terminal it is a bar; in a file it is a line every 30 seconds.

    Args:
        total: the number of items.
        what: their name, such as "images".
    """
    on_terminal = sys.stderr.isatty()
    interval = 1.0 if on_terminal else BETWEEN_LINES
    with _Bar(
        total=total,
        unit=f" {what}",
        delay=QUIET,
        mininterval=interval,
        maxinterval=interval,
        miniters=1,  # else a thread of tqdm repeats the last line while the next item takes its time
        leave=False,
        bar_format=None if on_terminal else LINE,
        file=sys.stderr if on_terminal else _Lines(sys.stderr),
        disable=distributed.rank() > 0,
    ) as bar:
        yield bar.update
