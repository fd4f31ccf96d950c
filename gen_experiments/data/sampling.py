"""Which images make up a batch: pure functions of seed, epoch and number, so that a run can resume anywhere."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gen_experiments import distributed, randomness
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSet
from gen_experiments.randomness import Stream


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Returns the order of `count` images in an epoch, a permutation that depends only on the arguments."""
    return np.random.default_rng([Stream.ORDER, seed, epoch]).permutation(count)


def own_part(batch: NDArray[np.int64], rank: int, world_size: int) -> NDArray[np.int64]:
    """Returns this process's contiguous part of a global batch; joined in rank order, the parts are the batch."""
    return np.array_split(batch, world_size)[rank]


class StreamedSet(ImageSet, Protocol):
    """Images that can be read batch by batch, ahead of their use."""

    def stream(
        self, batches: Iterable[NDArray[np.int64]], seeds: Iterable[NDArray[np.int64]] | None = None
    ) -> Iterator[torch.Tensor]:
        """Yields the images of each batch of indices; in training their seeds may change them."""


class TrainingBatches:
    """Endless epochs of shuffled global batches, of which each process gets its part; a data loader for Lightning.

    The last images of an epoch that do not fill a batch are left out. `state_dict` and `load_state_dict` are
    Lightning's protocol for loaders that resume in the middle of an epoch.

    Args:
        images: the training images.
        batch_size: images of a global batch.
        seed: of the order and of the flips.
        flip: mirror half of the images.
        limit: the batches of an epoch (`trainer.limit_train_batches`): a number or, if it is a float, a share. The next
            epoch has an order of its own.
        repeat: every epoch has the batches of the first (`trainer.overfit_batches`).

    Raises:
        UserError: the batch cannot be divided among the processes, or is larger than the training split.
    """

    def __init__(
        self,
        images: StreamedSet,
        batch_size: int,
        seed: int,
        flip: bool,
        limit: float = 1.0,
        repeat: bool = False,
    ) -> None:
        processes = distributed.world_size()
        if batch_size < processes or batch_size % processes:
            raise UserError(f"data.batch_size={batch_size} cannot be divided among {processes} devices: set a multiple")
        if batch_size > len(images):
            raise UserError(f"data.batch_size={batch_size} is more than the {len(images)} training images: lower it")
        self.images, self.batch_size, self.seed, self.flip = images, batch_size, seed, flip
        self._epoch, self._done = 0, 0
        self._repeat = repeat
        # Lightning takes no more of an epoch, and does not say where it ends.
        self._of_epoch = min(limit if isinstance(limit, int) else int(limit * len(self)), len(self))

    def __len__(self) -> int:
        """Returns the number of batches of an epoch without a limit."""
        return len(self.images) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        """Returns the rest of the current epoch."""
        if self._done >= self._of_epoch:
            self._epoch, self._done = self._epoch + 1, 0
        order = epoch_order(len(self.images), self.seed, 0 if self._repeat else self._epoch)
        # For all images at once: batch by batch it would take as long as reading.
        seeds = randomness.seeds_of(torch.from_numpy(order), Stream.CHANGE, self.seed, self._epoch).numpy()
        own = zip(self._parts(order, self._done), self._parts(seeds, self._done), strict=True)
        read = self.images.stream(self._parts(order, self._done), self._parts(seeds, self._done))
        for (indices, of_images), pixels in zip(own, read, strict=True):
            # Counted when it is yielded: a batch that is decoded ahead is not done.
            self._done += 1
            yield _batch(self.images, pixels, indices, self._draw_mirrors(len(indices)), torch.from_numpy(of_images))

    def _parts(self, values: NDArray[np.int64], first: int) -> Iterator[NDArray[np.int64]]:
        for number in range(first, len(self)):
            batch = values[number * self.batch_size : (number + 1) * self.batch_size]
            yield own_part(batch, distributed.rank(), distributed.world_size())

    def _draw_mirrors(self, count: int) -> torch.Tensor | None:
        if not self.flip:
            return None
        rng = randomness.generator("cpu", Stream.MIRROR, self.seed, self._epoch, self._done)
        return randomness.rand_rows(count, rng=rng) < 0.5

    def state_dict(self) -> dict[str, Any]:
        """Returns the epoch, its number of yielded batches, the batch size and the number of images."""
        return {"epoch": self._epoch, "done": self._done, "batch_size": self.batch_size, "images": len(self.images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues after the last yielded batch, or with a new epoch if the batches have changed."""
        self._epoch, self._done = state["epoch"], state["done"]
        same = (state.get("batch_size", self.batch_size), state.get("images", len(self.images)))
        if same != (self.batch_size, len(self.images)) or self._done > len(self):
            self._epoch, self._done = self._epoch + 1, 0


class EvaluationBatches:
    """All images once, in order; each process gets its part of every batch, and an image always has the same seed.

    A process without images gets one empty batch, as Lightning takes no empty loader.

    Args:
        images: the images.
        batch_size: images of a global batch.
    """

    def __init__(self, images: StreamedSet, batch_size: int) -> None:
        self.images, self.batch_size = images, batch_size

    def __len__(self) -> int:
        """Returns the number of batches of this process."""
        return sum(1 for _ in self._parts())

    def __iter__(self) -> Iterator[Batch]:
        """Returns the batches."""
        for indices, pixels in zip(self._parts(), self.images.stream(self._parts()), strict=True):
            yield _evaluation_batch(self.images, pixels, indices)

    def _parts(self) -> Iterator[NDArray[np.int64]]:
        for start in range(0, len(self.images), self.batch_size):
            batch = np.arange(start, min(start + self.batch_size, len(self.images)))
            own = own_part(batch, distributed.rank(), distributed.world_size())
            if len(own) or start == 0:
                yield own


def evaluation_batch(images: StreamedSet, indices: NDArray[np.int64]) -> Batch:
    """Returns the images at `indices` as in an evaluation: an image always has the same seed."""
    (pixels,) = images.stream([indices])
    return _evaluation_batch(images, pixels, indices)


def _evaluation_batch(images: ImageSet, pixels: torch.Tensor, indices: NDArray[np.int64]) -> Batch:
    return _batch(images, pixels, indices, None, randomness.seeds_of(torch.from_numpy(indices), Stream.CHANGE))


def _batch(
    images: ImageSet,
    pixels: torch.Tensor,
    indices: NDArray[np.int64],
    mirrored: torch.Tensor | None,
    seeds: torch.Tensor,
) -> Batch:
    labels = images.labels(indices)
    # Pinned memory lets the copy to a GPU overlap with computation; the other tensors are too small to matter.
    return Batch(pixels.pin_memory() if _has_gpu() else pixels, labels, mirrored, torch.from_numpy(indices), seeds)


@cache
def _has_gpu() -> bool:
    """Returns whether there is a GPU; cached because without one each call searches the disk for a driver."""
    return torch.cuda.is_available()
