"""Scores of a model's images against the true images during training, image by image."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from gen_experiments.images import Batch, to_float, to_uint8
from gen_experiments.metrics.reconstruction import l1, psnr, ssim

Distances = Callable[[Tensor, Tensor], Tensor]


class PairScores:
    """Means over the images of all processes, on uint8 images as written to disk.

    Args:
        lpips: maps two (N, C, H, W) batches in [-1, 1] -> (N,) perceptual distances; None for none.
    """

    def __init__(self, lpips: Distances | None = None) -> None:
        self._lpips = lpips
        self._means = {name: MeanMetric() for name in ("psnr", "ssim", "l1", "psnr_gain", "lpips")}

    def reset(self, device: torch.device) -> None:
        """Resets the means, on a device."""
        for mean in self._means.values():
            mean.to(device).reset()

    def update(self, made: Tensor, batch: Batch) -> None:
        """Adds (N, C, H, W) uint8 images that a model made from a batch."""
        images = to_uint8(batch.images)
        ratio = psnr(made, images)
        self._means["psnr"].update(ratio)
        self._means["ssim"].update(ssim(made, images))
        if batch.sources is not None:
            self._means["l1"].update(l1(made, images))
            self._means["psnr_gain"].update(ratio - psnr(to_uint8(batch.sources), images))
        if self._lpips is not None:
            self._means["lpips"].update(self._lpips(to_float(made), to_float(images)))

    def compute(self, with_sources: bool) -> dict[str, Tensor]:
        """Returns `psnr`, `ssim`, with sources also `l1` and `psnr_gain`, and `lpips` if it is measured.

        `l1` is of pixels on a [0, 1] scale; `psnr_gain` is the gain in dB over the unchanged source.
        """
        names = ["psnr", "ssim", *(["l1", "psnr_gain"] if with_sources else []), *(["lpips"] if self._lpips else [])]
        return {name: self._means[name].compute() for name in names}
