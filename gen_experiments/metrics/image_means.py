"""Means over the images of an evaluation, over batches and processes."""

import torch
from torch import Tensor

from gen_experiments import distributed


class ImageMeans:
    """Means of values over images, for batches and processes of different sizes.

    Lightning's own mean over processes rounds the number of images of a process down to a common integer.

    Args:
        names: of the values.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._sums: Tensor | None = None

    def update(self, images: int, **means: Tensor) -> None:
        """Adds a batch by its means: scalars over `images` images; an empty batch changes nothing."""
        if not images:
            return
        values = torch.stack([means[name].detach().double() for name in self.names])
        sums = torch.cat([images * values, values.new_tensor([images])])
        self._sums = sums if self._sums is None else self._sums + sums

    def compute(self, device: torch.device) -> dict[str, Tensor]:
        """Returns the means, float32 scalars that are the same on every process, and resets the sums.

        The means of no images are NaN.

        Args:
            device: of the process, which may have no images.
        """
        empty = torch.zeros(len(self.names) + 1, dtype=torch.float64, device=device)
        total = distributed.all_reduce_sum(empty if self._sums is None else self._sums)
        self._sums = None
        return dict(zip(self.names, (total[:-1] / total[-1]).float(), strict=True))
