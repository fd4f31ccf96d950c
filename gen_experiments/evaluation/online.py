"""Scores of images that arrive in batches during training, on one or several processes: of sets, and of pairs."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from gen_experiments.contracts import require_attributes
from gen_experiments.evaluation.feature_set import (
    ClassLabels,
    FeatureCollector,
    FeatureSet,
    batches_of,
    extract_features,
)
from gen_experiments.evaluation.intervals import Score
from gen_experiments.evaluation.records import SMALLER_IS_BETTER
from gen_experiments.evaluation.reference_statistics import ReferenceStatistics
from gen_experiments.evaluation.scores import score
from gen_experiments.images import Batch, ImageSet, to_float, to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.reconstruction import WINDOW, l1, psnr, ssim

OF_MOMENTS = {"fid"}  # needs only sums of features
Distances = Callable[[Tensor, Tensor], Tensor]


class OnlineScores:
    """Metrics of `evaluation.scores` over features that are added batch by batch.

    FID alone keeps only sums, and takes the reference's statistics from a cache on disk. Other metrics keep the
    features of all images in the memory of the CPU (`FeatureCollector`).

    Args:
        extractor: whose features they are.
        metrics: keys of `evaluation.scores.METRICS`.
    """

    def __init__(self, extractor: FeatureExtractor, metrics: Sequence[str]) -> None:
        require_attributes(extractor, "num_features", "resize", "weights_hash")
        self.extractor, self.metrics = extractor, tuple(metrics)
        self._keeps_features = not set(metrics) <= OF_MOMENTS
        self._statistics = ReferenceStatistics(extractor)
        self._collector: FeatureCollector | None = None
        self._reference: FeatureSet | None = None
        self._reference_name = ""

    @property
    def best_by(self) -> tuple[str, str]:
        """The first metric, by which the best checkpoint is chosen, and `min` or `max` for which values are better."""
        return self.metrics[0], "min" if self.metrics[0] in SMALLER_IS_BETTER else "max"

    def reset(
        self,
        reference: ImageSet,
        batch_size: int,
        device: torch.device,
        before_each: Callable[[], None] = lambda: None,
        class_names: Sequence[str] = (),
    ) -> None:
        """Resets the sums. All processes must call it; each computes its part of a new reference.

        Args:
            reference: what the images are compared with.
            batch_size: images per pass of the extractor.
            device: the extractor's device.
            before_each: called before each pass that all processes have.
            class_names: names of the reference's labels, in the order of their numbers; empty to ignore labels.

        Raises:
            UserError: fewer than two reference images.
        """
        self._collector = FeatureCollector(self.extractor, device, rows=self._keeps_features)
        if not self._keeps_features:
            self._reference = FeatureSet(self._statistics.moments(reference, batch_size, device, before_each))
        elif self._reference is None or self._reference_name != reference.fingerprint:
            batches = batches_of(reference, batch_size, before_each)
            (features,) = extract_features(batches, [self.extractor], device)
            numbers = reference.labels(np.arange(len(reference))) if class_names else None
            self._reference = replace(features, labels=ClassLabels.of(numbers, class_names))
            self._reference_name = reference.fingerprint

    def update(self, images: Tensor, positions: Tensor) -> Tensor:
        """Adds images, and returns their features; as `FeatureCollector.update`."""
        assert self._collector is not None
        return self._collector.update(images, positions)

    def compute(self, paired: bool = False, labels: Tensor | None = None) -> dict[str, Score]:
        """Returns the metrics by name, the same on every process. All processes must call it.

        Args:
            paired: whether the images are reconstructions of the reference, in the same order.
            labels: (N,) int64, the classes of all images in the order of their positions, numbered as the reference's.

        Raises:
            UserError: fewer than two images, or too few for a metric.
        """
        assert self._collector is not None
        assert self._reference is not None
        of_reference, own = self._reference.labels, None
        if labels is not None and of_reference is not None:
            own = of_reference._replace(numbers=labels)
        scored = replace(self._collector.collect(), paired=paired, labels=own)
        return score(scored, self._reference, self.extractor, self.metrics)

    def variety(self) -> float:
        """Returns tr Σ / tr Σᵣ of images and reference. All processes must call it."""
        assert self._collector is not None
        assert self._reference is not None
        return float(self._collector.moments().covariance.trace() / self._reference.moments.covariance.trace())


class PairScores:
    """Scores of a model's images against the true ones, image by image: means over the images of all processes.

    All are of uint8 images, as written to disk.

    Args:
        lpips: maps two (N, C, H, W) batches in [-1, 1] -> (N,) perceptual distances; None for none.
    """

    def __init__(self, lpips: Distances | None = None) -> None:
        self.lpips, self._takes_ssim = lpips, True
        self._means = {name: MeanMetric() for name in ("psnr", "ssim", "l1", "psnr_gain", "lpips")}

    def load(self, shape: tuple[int, ...], device: torch.device) -> None:
        """Loads the network of LPIPS, if it is measured, and compares two images of shape (C, H, W) on a device.

        Raises:
            UserError: its weights are missing, or it does not take such images.
        """
        if self.lpips is not None:
            images = torch.zeros(1, *shape, device=device)
            self.lpips(images, images)

    def reset(self, shape: tuple[int, ...], device: torch.device) -> None:
        """Resets the means, on a device, for images of shape (C, H, W)."""
        self._takes_ssim = min(shape[1:]) >= WINDOW
        for mean in self._means.values():
            mean.to(device).reset()

    def update(self, outputs: Tensor, batch: Batch) -> None:
        """Adds (N, C, H, W) uint8 images that a model made from a batch."""
        images = to_uint8(batch.images)
        ratio = psnr(outputs, images)
        self._means["psnr"].update(ratio)
        if self._takes_ssim:
            self._means["ssim"].update(ssim(outputs, images))
        if batch.source_images is not None:
            self._means["l1"].update(l1(outputs, images))
            self._means["psnr_gain"].update(ratio - psnr(to_uint8(batch.source_images), images))
        if self.lpips is not None:
            self._means["lpips"].update(self.lpips(to_float(outputs), to_float(images)))

    def compute(self, with_sources: bool) -> dict[str, Tensor]:
        """Returns `psnr`, with sources `l1` and `psnr_gain`, `ssim` of images that it takes, and `lpips` if measured.

        `l1` is of pixels on a [0, 1] scale; `psnr_gain` is the gain in dB over the unchanged source.
        """
        measured = {"ssim": self._takes_ssim, "l1": with_sources, "psnr_gain": with_sources, "lpips": self.lpips}
        names = ["psnr", *(name for name, is_measured in measured.items() if is_measured)]
        return {name: self._means[name].compute() for name in names}
