"""Scores of images that arrive in batches, on one or several processes, against a reference."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.contracts import require_attributes
from gen_experiments.evaluation.comparison import SMALLER_IS_BETTER
from gen_experiments.evaluation.feature_set import ClassLabels, FeatureSet
from gen_experiments.evaluation.intervals import Score
from gen_experiments.evaluation.reference import ReferenceStatistics
from gen_experiments.evaluation.scores import score
from gen_experiments.images import ImageSet
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import FeatureSums

OF_MOMENTS = {"fid"}  # needs only sums of features


class OnlineScores:
    """Metrics of `evaluation.scores` over features that are added batch by batch.

    FID alone keeps only sums, and takes the reference's statistics from a cache on disk. Other metrics keep the
    features of all images in the memory of the CPU, 4 bytes per number: 400 MB for 50,000 images by Inception.

    Args:
        extractor: whose features they are.
        metrics: keys of `evaluation.scores.METRICS`.
    """

    def __init__(self, extractor: FeatureExtractor, metrics: Sequence[str]) -> None:
        require_attributes(extractor, "num_features", "resize", "weights_hash")
        self.extractor, self.metrics = extractor, tuple(metrics)
        self._keeps_features = not set(metrics) <= OF_MOMENTS
        self._statistics = ReferenceStatistics(extractor)
        self._sums = FeatureSums(extractor.num_features)
        self._rows: list[Tensor] = []
        self._positions: list[Tensor] = []
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
        self._sums.to(device).reset()
        self._rows, self._positions = [], []
        if not self._keeps_features:
            self._reference = FeatureSet(self._statistics.moments(reference, batch_size, device, before_each))
        elif self._reference is None or self._reference_name != reference.fingerprint:
            self._reference = self._features_of(reference, batch_size, device, before_each)
            numbers = reference.labels(np.arange(len(reference))) if class_names else None
            self._reference.labels = ClassLabels.of(numbers, class_names)
            self._reference_name = reference.fingerprint

    def update(self, features: Tensor, positions: Tensor) -> None:
        """Adds (N, D) features of images and the (N,) positions of the images among all images of all processes."""
        self._sums.update(features)
        if self._keeps_features:
            self._rows.append(features.cpu())
            self._positions.append(positions.cpu())

    def compute(self, paired: bool = False, labels: Tensor | None = None) -> dict[str, Score]:
        """Returns the metrics by name, the same on every process. All processes must call it.

        Args:
            paired: whether the images are reconstructions of the reference, in the same order.
            labels: (N,) int64, the classes of all images in the order of their positions, numbered as the reference's.

        Raises:
            UserError: fewer than two images, or too few for a metric.
        """
        assert self._reference is not None
        features = self._gathered(self._rows, self._positions) if self._keeps_features else None
        scored = FeatureSet(self._sums.moments(), features, paired=paired)
        if labels is not None and self._reference.labels is not None:
            scored.labels = self._reference.labels._replace(numbers=labels)
        return score(scored, self._reference, self.extractor, self.metrics)

    def variety(self) -> float:
        """Returns tr Σ / tr Σᵣ of images and reference. All processes must call it."""
        assert self._reference is not None
        return float(self._sums.moments().covariance.trace() / self._reference.moments.covariance.trace())

    def _features_of(
        self, images: ImageSet, batch_size: int, device: torch.device, before_each: Callable[[], None]
    ) -> FeatureSet:
        """Returns moments and features of images; each process computes its batches."""
        sums = FeatureSums(self.extractor.num_features).to(device)
        rows, positions = [], []
        for part in distributed.own_parts(len(images), batch_size, before_each):
            features = self.extractor(images.read(np.array(part)).to(device))
            sums.update(features)
            rows.append(features.cpu())
            positions.append(torch.tensor(part))
        return FeatureSet(sums.moments(), self._gathered(rows, positions))

    def _gathered(self, rows: list[Tensor], positions: list[Tensor]) -> Tensor:
        """Returns the features of all processes, in the order of their positions, on the CPU."""
        device = self._sums.total.device
        own = torch.cat([*rows, torch.empty(0, self.extractor.num_features)]).to(device)
        places = torch.cat([*positions, torch.empty(0, dtype=torch.int64)]).to(device)
        return distributed.gather_in_order([own], [places])[0].cpu()
