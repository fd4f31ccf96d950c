"""One pass of an extractor over images: all that the metrics need of them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import FeatureSums, Moments


@dataclass
class Collected:
    """What is known of a set of images.

    Attributes:
        moments: of their features.
        features: (N, D) float32 on the CPU; None where only statistics are known.
        pixels_sha256: a hash of all pixels in order, by which equal images are told; None with the features.
        paired: whether these are reconstructions of the images they are compared with, in the same order: a sample of
            both is then one of pairs.
    """

    moments: Moments
    features: Tensor | None = None
    pixels_sha256: str | None = None
    paired: bool = False


def collect(batches: Iterable[Tensor], extractor: FeatureExtractor, device: torch.device) -> Collected:
    """Returns the features of batches of (N, C, H, W) uint8 images and their moments.

    The moments are summed as `callbacks.evaluation` sums them: from equal batches they are equal to the last digit.

    Raises:
        UserError: there are fewer than two images.
    """
    sums, parts, digest = FeatureSums(extractor.num_features).to(device), [], hashlib.sha256()
    for images in batches:
        digest.update(images.contiguous().cpu().numpy().tobytes())
        features = extractor(images.to(device))
        sums.update(features)
        parts.append(features.cpu())
    return Collected(sums.moments(), torch.cat(parts), digest.hexdigest())
