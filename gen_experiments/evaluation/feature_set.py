"""The features of a set of images, from one pass of extractors, with everything that metrics need."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.images import ImageSet
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


@dataclass(frozen=True)
class FeatureSet:
    """Features of a set of images, or their statistics.

    Attributes:
        moments: of the features, with the covariance divided by N − 1.
        features: (N, D) float32 on the CPU; None if only statistics are known.
        pixels_sha256: a hash of all pixels in order, equal for equal images; None without features.
        paired: whether these are reconstructions of the images that they are compared with, in the same order, so that
            resamples draw pairs.
        by_n: whether covariances that are compared are divided by N instead of N − 1.
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


class FeatureCollector:
    """The features by one extractor of images that arrive in batches, on one process or several.

    Moments are summed batch by batch: equal batches give equal moments to the last digit, in training and `evaluate`.

    Args:
        extractor: whose features they are.
        device: of the extractor.
        rows: whether to keep the features of every image too, in the memory of the CPU, 4 bytes per number: 400 MB for
            50,000 images by Inception.
        spatial: whether to sum features at places too, if the extractor has them.
    """

    def __init__(
        self, extractor: FeatureExtractor, device: torch.device, rows: bool = True, spatial: bool = False
    ) -> None:
        self.extractor = extractor
        self._device, self._keeps_rows = device, rows
        self._sums = FeatureSums(extractor.num_features).to(device)
        self._spatial = FeatureSums(extractor.num_spatial).to(device) if spatial and extractor.num_spatial else None
        # Of no images, for a process that gets none.
        self._rows, self._positions = [torch.empty(0, extractor.num_features)], [torch.empty(0, dtype=torch.int64)]

    def update(self, images: Tensor, positions: Tensor) -> Tensor:
        """Adds images, and returns their features.

        Args:
            images: (N, C, H, W) uint8.
            positions: (N,) int64, of the images among all images of all processes.

        Returns:
            (N, D) float32, on the extractor's device.
        """
        inputs = images.to(self._device)
        features: Tensor
        if self._spatial is None:
            features = self.extractor(inputs)
        else:
            features, at_places = self.extractor.with_spatial(inputs)
            self._spatial.update(at_places)
        self._sums.update(features)
        if self._keeps_rows:
            self._rows.append(features.cpu())
            self._positions.append(positions.cpu())
        return features

    def moments(self) -> Moments:
        """Returns the moments of all features, the same on every process. All processes must call it.

        Raises:
            UserError: there are fewer than two images.
        """
        return self._sums.moments()

    def collect(self) -> FeatureSet:
        """Returns all features in the order of their positions, or their moments alone; otherwise as `moments`."""
        moments, features = self.moments(), None
        if self._keeps_rows:
            rows, positions = (torch.cat(parts).to(self._device) for parts in (self._rows, self._positions))
            features = distributed.gather_in_order([rows], [positions])[0].cpu()
        return FeatureSet(moments, features, spatial=None if self._spatial is None else self._spatial.moments())


def batches_of(
    images: ImageSet, batch_size: int, before_each: Callable[[], None] = lambda: None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields this process's share of a set of images, in batches for `extract_features`.

    Args:
        images: the set.
        batch_size: images of a batch.
        before_each: called before each batch that all processes have.
    """
    for part in distributed.own_parts(len(images), batch_size, before_each):
        yield torch.tensor(part), images.read(np.array(part))


def extract_features(
    batches: Iterable[tuple[Tensor, Tensor]],
    extractors: Sequence[FeatureExtractor],
    device: torch.device,
    rows: bool = True,
    spatial: bool = False,
) -> list[FeatureSet]:
    """Returns the features of images by each extractor, from one pass, the same on every process.

    Args:
        batches: of this process: (N,) int64 positions of images among all, and the images, (N, C, H, W) uint8.
        extractors: the networks.
        device: of the networks.
        rows: as for `FeatureCollector`.
        spatial: likewise.

    Raises:
        UserError: there are fewer than two images.
    """
    collectors = [FeatureCollector(extractor, device, rows, spatial) for extractor in extractors]
    for positions, images in batches:
        inputs = images.to(device)
        for collector in collectors:
            collector.update(inputs, positions)
    return [collector.collect() for collector in collectors]


class PixelHash:
    """A hash of all pixels of images that arrive in batches: the hash of the images' own hashes in order."""

    def __init__(self) -> None:
        # Of no images, for a process that gets none.
        self._digests, self._positions = [torch.empty(0, 32, dtype=torch.uint8)], [torch.empty(0, dtype=torch.int64)]

    def update(self, images: Tensor, positions: Tensor) -> None:
        """Adds (N, C, H, W) uint8 images and their (N,) int64 positions among all images of all processes."""
        self._digests.append(torch.stack([_digest(image) for image in images]))
        self._positions.append(positions)

    def hexdigest(self, device: torch.device) -> str:
        """Returns the hash, the same on every process. All processes must call it; `device` is the process's."""
        digests, positions = (torch.cat(parts).to(device) for parts in (self._digests, self._positions))
        ordered, _ = distributed.gather_in_order([digests], [positions])
        return hashlib.sha256(ordered.cpu().numpy().tobytes()).hexdigest()


def _digest(image: Tensor) -> Tensor:
    """Returns the SHA-256 of an image's pixels, (32,) uint8."""
    return torch.frombuffer(
        bytearray(hashlib.sha256(image.contiguous().cpu().numpy().tobytes()).digest()), dtype=torch.uint8
    )
