"""Means over the images of an evaluation, over batches and processes."""

import torch
from torch import Tensor

from gen_experiments import distributed


class ImageMeans:
    """Means of values over images, whatever share of them a batch or a process holds.

    Lightning's own mean over processes rounds the number of images of a process down to a common integer.

    Args:
        names: of the values.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._sums: Tensor | None = None

    def update(self, images: int, **means: Tensor) -> None:
        """Counts a batch by its own means: scalars over `images` images; a batch of none counts for nothing."""
        if not images:
            return
        values = torch.stack([means[name].detach().double() for name in self.names])
        sums = torch.cat([images * values, values.new_tensor([images])])
        self._sums = sums if self._sums is None else self._sums + sums

    def compute(self, device: torch.device) -> dict[str, Tensor]:
        """Returns the means, float32 scalars that are the same on every process, and forgets what was counted.

        NaN stands for the mean of no images at all.

        Args:
            device: of the process, which may have counted nothing.
        """
        empty = torch.zeros(len(self.names) + 1, dtype=torch.float64, device=device)
        total = distributed.all_reduce_sum(empty if self._sums is None else self._sums)
        self._sums = None
        return dict(zip(self.names, (total[:-1] / total[-1]).float(), strict=True))
