"""The Fréchet distance between distributions of images (FID), with the reference's statistics kept on disk."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from gen_experiments import distributed
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSet
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.storage import atomic_write, cache_root


def symmetric_root(matrix: Tensor) -> Tensor:
    """Returns the symmetric square root of a symmetric (D, D) matrix; negative eigenvalues, by rounding, become 0."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor, root1: Tensor | None = None) -> Tensor:
    """Returns ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of two Gaussians (https://arxiv.org/abs/1706.08500).

    The trace of the root is Σ √λ over the eigenvalues λ of the symmetric Σ₁^½ Σ₂ Σ₁^½. That is quicker than the root of
    the product, and rounding cannot make it complex.

    Args:
        mean1: (D,) float64.
        cov1: (D, D) float64, symmetric.
        mean2: (D,) float64.
        cov2: (D, D) float64, symmetric.
        root1: `symmetric_root(cov1)`, most of the work, where it is known already.

    Returns:
        float64 scalar.
    """
    root = symmetric_root(cov1) if root1 is None else root1
    cross = torch.linalg.eigvalsh(root @ cov2 @ root).clamp_min(0).sqrt().sum()
    distance: Tensor = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * cross
    return distance


class FrechetDistance(FrechetInceptionDistance):
    """torchmetrics' FID, in float64 and summed over processes, against statistics that are computed once and cached.

    Args:
        extractor: whose features are compared.
    """

    STATISTICS = ("real_features_sum", "real_features_cov_sum", "real_features_num_samples")

    def __init__(self, extractor: FeatureExtractor) -> None:
        super().__init__(feature=extractor, reset_real_features=False)
        self._rooted: tuple[str, torch.device] | None = None
        self._root: Tensor | None = None

    @property
    def extractor(self) -> FeatureExtractor:
        """The network given."""
        assert isinstance(self.inception, FeatureExtractor)
        return self.inception

    def reference(self, images: ImageSet, batch_size: int, between: Callable[[], None] = lambda: None) -> None:
        """Takes `images` for the reference and forgets the generated ones. All processes must call it.

        The sums are read from the cache, or computed, each process a part, and written there.

        Args:
            images: the reference.
            batch_size: images in a pass of the extractor.
            between: called before each of the passes that every process has.

        Raises:
            UserError: fewer than two images.
        """
        if len(images) < 2:
            raise UserError(f"FID needs at least two reference images, not {len(images)}: give the split more images")
        self.reset()
        name = f"{images.fingerprint}-{len(images)}-{self.extractor.fingerprint}"
        path = cache_root() / "statistics" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.safetensors"
        sums = _read(path, self.extractor.num_features, self.device)
        # All processes must go the same way, also when one of them found the file just before another wrote it.
        found = distributed.all_reduce_sum(torch.tensor(int(sums is not None), device=self.device))
        if sums is None or int(found) < distributed.world_size():
            sums = self._sums(images, batch_size, between)
            if distributed.rank() == 0:
                _write(path, sums)
        if self._rooted != (name, self.device):
            self._rooted = name, self.device
            self._root = symmetric_root(_moments(*(sums[state] for state in self.STATISTICS))[1])
        # The states are summed over processes when they are synchronised, so one process holds them.
        share = 1 if distributed.rank() == 0 else 0
        for state in self.STATISTICS:
            setattr(self, state, sums[state] * share)

    def update(self, images: Tensor, real: bool = False) -> None:
        """Counts (N, C, H, W) uint8 generated images."""
        super().update(images, real)

    def compute(self) -> Tensor:
        """Returns the distance, a float64 scalar that is the same on every process.

        Raises:
            UserError: fewer than two generated images were counted.
        """
        fakes = int(self.fake_features_num_samples)
        if fakes < 2:
            raise UserError(f"FID needs at least two generated images, not {fakes}: evaluate more")
        count = min(fakes, int(self.real_features_num_samples))
        if count <= self.extractor.num_features and distributed.rank() == 0:
            warnings.warn(
                f"FID of {count} images in {self.extractor.num_features} dimensions has a singular covariance: "
                "compare it with nothing, or evaluate more images",
                stacklevel=2,
            )
        return frechet_distance(
            *_moments(self.real_features_sum, self.real_features_cov_sum, self.real_features_num_samples),
            *_moments(self.fake_features_sum, self.fake_features_cov_sum, self.fake_features_num_samples),
            root1=self._root,
        )

    def _sums(self, images: ImageSet, batch_size: int, between: Callable[[], None]) -> dict[str, Tensor]:
        own = np.array_split(np.arange(len(images)), distributed.world_size())[distributed.rank()]
        dim = self.extractor.num_features
        total = torch.zeros(dim, dtype=torch.float64, device=self.device)
        products = torch.zeros(dim, dim, dtype=torch.float64, device=self.device)
        for start in range(0, len(own), batch_size):
            if start < len(images) // distributed.world_size():
                between()
            batch = images.read(own[start : start + batch_size]).to(self.device)
            features = self.extractor(batch).double()
            total += features.sum(0)
            products += features.T @ features
        count = torch.tensor(len(own), device=self.device)
        return {
            state: distributed.all_reduce_sum(value)
            for state, value in zip(self.STATISTICS, (total, products, count), strict=True)
        }


def _moments(total: Tensor, products: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean (D,) and unbiased covariance (D, D) from the sums of x and of x xᵀ."""
    mean = total / count
    return mean, (products - count * torch.outer(mean, mean)) / (count - 1)


def _read(path: Path, dim: int, device: torch.device) -> dict[str, Tensor] | None:
    """Returns the sums in a file, or None if they are not there, or not those of features of this dimension."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        sums = load_file(path, device=str(device))
    except (OSError, SafetensorError):
        return None
    shapes = zip(FrechetDistance.STATISTICS, ((dim,), (dim, dim), ()), strict=True)
    if {name: (tuple(value.shape), value.dtype) for name, value in sums.items()} != {
        name: (shape, torch.float64 if shape else torch.int64) for name, shape in shapes
    }:
        return None
    return sums if all(bool(value.isfinite().all()) for value in sums.values()) else None


def _write(path: Path, sums: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    # Not by `save_file`, whose error on a full disk names no reason.
    with atomic_write(path) as temporary:
        temporary.write_bytes(save({state: value.cpu().contiguous() for state, value in sums.items()}))
