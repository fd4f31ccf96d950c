"""Shows the progress of long work, such as a command or the decoding of images."""

import sys
from collections.abc import Iterator

from tqdm import tqdm

from gen_experiments import distributed

QUIET = 5.0  # seconds before anything is shown, as most work has ended by then
BETWEEN_LINES = 30.0  # seconds between two lines in a log file


def progress(total: int, what: str, chunk: int = 1, shared: bool = False) -> Iterator[range]:
    """Yields ranges of at most `chunk` numbers that make up 0 ... `total` - 1, and shows the progress on stderr.

    Args:
        total: the number of items.
        what: their name, such as "images".
        chunk: items of a range.
        shared: whether each process of a group gets its own share of the ranges; else each gets all.
    """
    on_terminal = sys.stderr.isatty()
    interval = 1.0 if on_terminal else BETWEEN_LINES
    with tqdm(
        total=total,
        unit=f" {what}",
        delay=QUIET,
        mininterval=interval,
        maxinterval=interval,
        leave=False,
        ascii=not on_terminal,
        file=sys.stderr,
        disable=distributed.rank() > 0,
    ) as bar:
        for number, first in enumerate(range(0, total, chunk)):
            part = range(first, min(first + chunk, total))
            if not shared or number % distributed.world_size() == distributed.rank():
                yield part
            bar.update(len(part))
