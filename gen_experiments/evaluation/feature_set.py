"""The features of a set of images, from one pass of extractors, with everything that metrics need."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import FeatureSums, Moments


class ClassLabels(NamedTuple):
    """The classes of images.

    Attributes:
        numbers: (N,) int64, the classes of the images.
        names: of the classes, in the order of their numbers.
    """

    numbers: Tensor
    names: tuple[str, ...]

    @classmethod
    def of(cls, numbers: Tensor | None, names: Sequence[str]) -> "ClassLabels | None":
        """Returns the labels, or None for images of unknown classes."""
        return None if numbers is None else cls(numbers, tuple(names))


@dataclass
class FeatureSet:
    """Features of a set of images, or their statistics.

    Attributes:
        moments: of the features.
        features: (N, D) float32 on the CPU; None if only statistics are known.
        pixels_sha256: a hash of all pixels in order, equal for equal images; None without features.
        paired: whether these are reconstructions of the images that they are compared with, in the same order, so that
            resamples draw pairs.
        by_n: whether covariances are divided by N instead of N − 1.
        spatial: moments of features at places, if the extractor has them.
        labels: the classes of the images, if known.
    """

    moments: Moments
    features: Tensor | None = None
    pixels_sha256: str | None = None
    paired: bool = False
    by_n: bool = False
    spatial: Moments | None = None
    labels: ClassLabels | None = None

    def divided(self, moments: Moments) -> Moments:
        """Returns moments with the covariance divided as `by_n` says."""
        return moments.of_all() if self.by_n else moments


def extract_features(
    batches: Iterable[tuple[Tensor, Tensor]], extractors: Sequence[FeatureExtractor], device: torch.device
) -> list[FeatureSet]:
    """Returns the features of images and their moments by each extractor, the same on every process.

    The moments are summed as in `evaluation.online`: equal batches give equal moments to the last digit. The hash of
    the pixels is the hash of the images' hashes in order.

    Args:
        batches: of this process: (N,) int64 positions of images among all, and the images, (N, C, H, W) uint8.
        extractors: the networks.
        device: of the networks.

    Raises:
        UserError: there are fewer than two images.
    """
    sums = [FeatureSums(extractor.num_features).to(device) for extractor in extractors]
    at_places = [FeatureSums(extractor.num_spatial).to(device) for extractor in extractors]
    rows: list[list[Tensor]] = [[torch.empty(0, extractor.num_features)] for extractor in extractors]
    places, digests = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, 32, dtype=torch.uint8)]
    for numbers, images in batches:
        places.append(numbers)
        digests.append(torch.stack([_digest(image) for image in images]))
        inputs = images.to(device)
        for extractor, own, places_of_own, kept in zip(extractors, sums, at_places, rows, strict=True):
            features, spatial = extractor.with_spatial(inputs)
            own.update(features)
            places_of_own.update(spatial)
            kept.append(features.cpu())
    moments = [own.moments() for own in sums]
    order = torch.cat(places).to(device)
    gathered = [distributed.gather_in_order([torch.cat(kept).to(device)], [order])[0].cpu() for kept in rows]
    pixels, _ = distributed.gather_in_order([torch.cat(digests).to(device)], [order])
    sha256 = hashlib.sha256(pixels.cpu().numpy().tobytes()).hexdigest()
    spatial_moments = [own.moments() if own.dim else None for own in at_places]
    return [
        FeatureSet(known, features, sha256, spatial=spatial)
        for known, features, spatial in zip(moments, gathered, spatial_moments, strict=True)
    ]


def _digest(image: Tensor) -> Tensor:
    """Returns the SHA-256 of an image's pixels, (32,) uint8."""
    return torch.frombuffer(
        bytearray(hashlib.sha256(image.contiguous().cpu().numpy().tobytes()).digest()), dtype=torch.uint8
    )
