"""Pictures that are decoded when they are read, by threads that work ahead."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from gen_experiments.cores import usable_cores
from gen_experiments.data.framing import USUAL, Framing, Place
from gen_experiments.data.picture_decoding import Numbers, Pictures, decode_one
from gen_experiments.data.undecodable import refusal
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, height_and_width

AHEAD = 2  # batches that are decoded while one is used
# Portions of a batch per thread: while a thread decodes large pictures others take more portions.
PORTIONS = 4


class DecodedAsRead:
    """The pixels of pictures: a virtual array of (N, channels, H, W) uint8 or uint16.

    Threads are enough: Pillow releases the interpreter's lock while it decodes and resizes.

    Args:
        pictures: what to decode.
        size: of the pixels.
        channels: of the pixels.
        workers: threads that decode; none starts before the first picture is read.
        framing: how pictures are brought to the size.
    """

    def __init__(self, pictures: Pictures, size: Size, channels: int, workers: int, framing: Framing = USUAL) -> None:
        self.pictures, self.size, self.channels, self.workers = pictures, size, channels, workers
        self.framing = framing

    def __len__(self) -> int:
        """Returns the number of pictures."""
        return len(self.pictures)

    def __getitem__(self, indices: NDArray[np.int64], /) -> Numbers:
        """Returns the pixels of some of the pictures: (len(indices), channels, H, W).

        Raises:
            UserError: a picture cannot be decoded; the message names it.
        """
        return next(self.ahead([indices]))

    def ahead(
        self, batches: Iterable[NDArray[np.int64]], places: Iterable[NDArray[np.float32]] | None = None
    ) -> Iterator[Numbers]:
        """Yields the pixels of each batch in turn, while the next batches are decoded.

        Args:
            batches: numbers of pictures.
            places: for each batch of n pictures the kept parts, (n, 3) with the fields of `Place`; None for the middle.

        Raises:
            UserError: as for one batch, when it is yielded.
        """
        begun: deque[tuple[Numbers, list[Future[None]]]] = deque()
        try:
            for indices, at in zip(batches, itertools.repeat(None) if places is None else places, strict=False):
                begun.append(self._begin(indices, at))
                if len(begun) > AHEAD:
                    yield _finish(*begun.popleft())
            while begun:
                yield _finish(*begun.popleft())
        finally:
            for _, portions in begun:
                for portion in portions:
                    portion.cancel()

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """The threads. A thread in which no signal handler runs starts the first of them.

        If a signal interrupts the start of a first thread, the pool does not know the thread, and the process waits for
        it forever at its end.
        """
        pool = ThreadPoolExecutor(self.workers, "decoding")
        starter = Thread(target=pool.submit, args=(int,))
        starter.start()
        starter.join()
        return pool

    def _begin(self, indices: NDArray[np.int64], at: NDArray[np.float32] | None) -> tuple[Numbers, list[Future[None]]]:
        pixels: Numbers = np.empty(
            (len(indices), self.channels, *height_and_width(self.size)), dtype=self.framing.dtype
        )

        def decode(places: NDArray[np.int64]) -> None:
            for place in places:
                picture = self.pictures[int(indices[place])]
                kept = None if at is None else Place(*at[place].tolist())
                pixels[place] = decode_one(picture, self.size, self.channels, self.framing, kept)

        portions = np.array_split(np.arange(len(indices)), min(len(indices), PORTIONS * self.workers) or 1)
        return pixels, [self._pool.submit(decode, portion) for portion in portions]


def decode_in_order(
    pictures: Pictures, size: Size, channels: int, framing: Framing, parts: Iterable[range]
) -> Iterator[Numbers]:
    """Yields the pixels of each part of the pictures in turn, while the next parts are decoded by all cores.

    Args:
        pictures: what to decode.
        size: of the pixels.
        channels: of the pixels.
        framing: how pictures are brought to the size.
        parts: ranges that make up all numbers of pictures.

    Raises:
        UserError: a picture cannot be decoded; the message also names others behind it.
    """
    numbers, done = (np.arange(part.start, part.stop) for part in parts), 0
    try:
        for pixels in DecodedAsRead(pictures, size, channels, usable_cores(), framing).ahead(numbers):
            yield pixels
            done += len(pixels)
    except UserError as error:

        def decode(number: int) -> object:
            return decode_one(pictures[number], size, channels, framing)

        raise refusal(pictures, decode, range(done, len(pictures))) or error from error


def _finish(pixels: Numbers, portions: list[Future[None]]) -> Numbers:
    try:
        for portion in portions:
            portion.result()
    finally:
        for portion in portions:
            portion.cancel()
    return pixels
