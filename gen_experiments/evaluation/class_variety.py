"""Detects classes whose samples hardly differ; distances between distributions hardly show that."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gen_experiments.images import ImageSet, evenly_spaced
from gen_experiments.metrics.class_spread import ClassSpread, class_spread
from gen_experiments.metrics.features import FeatureExtractor

MIN_SAMPLES = 10  # samples of a class whose spread is judged
REFERENCE_IMAGES = 2000


class ClassVariety:
    """The spread of the samples of each class over the spread of its real images.

    Args:
        extractor: whose features are compared.
        names: of the classes, in the order of their numbers.
    """

    def __init__(self, extractor: FeatureExtractor, names: Sequence[str]) -> None:
        self.extractor, self.names = extractor, tuple(names)
        self._samples = ClassSpread(len(self.names), extractor.num_features)
        self._real: tuple[str, Tensor] | None = None

    def reset(self, images: ImageSet, batch_size: int, device: torch.device) -> None:
        """Resets the counts; the reference are at most 2,000 real images, whose features each process computes once.

        Without labels nothing is judged. The extractor is on the device, and gets `batch_size` images in a pass.
        """
        self._samples.to(device).reset()
        if self._real is not None and self._real[0] == images.fingerprint:
            return
        self._real = images.fingerprint, torch.full((len(self.names),), torch.nan, device=device)
        if images.labels(np.arange(1)) is None:
            return
        chosen = evenly_spaced(len(images), REFERENCE_IMAGES)
        features, labels = self.extractor.features_of(images, chosen, batch_size), images.labels(chosen)
        assert labels is not None
        self._real = images.fingerprint, class_spread(features, labels, len(self.names))

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Adds the (N, D) features of samples and their (N,) labels."""
        self._samples.update(features, labels)

    def compute(self) -> tuple[Tensor, str] | None:
        """Returns the smallest ratio (scalar, 1 for samples as varied as the data) and its class.

        None if no class has ten samples and two real images. All processes must call it.
        """
        assert self._real is not None
        counts, spread = self._samples.compute()
        shares = (spread / self._real[1]).reshape(-1)
        judged = shares.isfinite() & (counts.reshape(-1) >= MIN_SAMPLES)
        if not judged.any():
            return None
        number = int(shares.masked_fill(~judged, torch.inf).argmin())
        return shares[number], self.names[number]
