"""The Fréchet distance between distributions of images (FID): that of two Gaussians in the features of a network."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from gen_experiments import distributed
from gen_experiments.errors import UserError


def symmetric_root(matrix: Tensor) -> Tensor:
    """Returns the symmetric square root of a symmetric (D, D) matrix; negative eigenvalues, by rounding, become 0."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


@dataclass
class Moments:
    """The first two moments of N feature vectors, on the CPU.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64, divided by N − 1.
        count: N; None if unknown, as for some files of statistics.
    """

    mean: Tensor
    covariance: Tensor
    count: int | None = None

    @classmethod
    def of_sums(cls, total: Tensor, products: Tensor, count: Tensor) -> "Moments":
        """Returns the moments from the sums of x (D,) and of x xᵀ (D, D), float64, over `count` vectors."""
        mean = total / count
        covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
        return cls(mean.cpu(), covariance.cpu(), int(count))

    @classmethod
    def of_features(cls, features: Tensor) -> "Moments":
        """Returns the moments of (N, D) features.

        Raises:
            UserError: there are fewer than two.
        """
        _check_count(len(features))
        rows = features.double()
        return cls(rows.mean(0).cpu(), rows.T.cov().reshape(rows.shape[1], -1).cpu(), len(rows))

    def of_all(self) -> "Moments":
        """Returns the moments with a covariance divided by N.

        Raises:
            UserError: the count is not known.
        """
        if self.count is None:
            raise UserError("statistics without a count cannot be divided by n: leave out --covariance, or name images")
        return Moments(self.mean, self.covariance * ((self.count - 1) / self.count), self.count)

    @cached_property
    def root(self) -> Tensor:
        """The symmetric root of the covariance."""
        return symmetric_root(self.covariance)

    @cached_property
    def factor(self) -> tuple[NDArray[np.float64], bool]:
        """A (D, rank) matrix F with F Fᵀ = Σ, and whether it is lower triangular.

        It is the Cholesky factor or, of a singular covariance, the one with pivots.
        """
        from scipy.linalg.lapack import dpotrf, dpstrf

        matrix = self.covariance.numpy().T  # symmetric, and in LAPACK's order without being rewritten
        triangle, failure = dpotrf(matrix, lower=True)
        if not failure:
            return triangle, True
        triangle, pivots, rank, _ = dpstrf(matrix, lower=True)
        factor = np.empty((len(matrix), rank))
        factor[pivots - 1] = np.tril(triangle)[:, :rank]
        return factor, False


def frechet_distance(first: Moments, second: Moments) -> Tensor:
    """Returns ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of two Gaussians (https://arxiv.org/abs/1706.08500).

    The trace of the root is Σ √λ over the eigenvalues λ of the symmetric Fᵀ Σ₂ F, where F Fᵀ = Σ₁. That is faster than
    the root of the product, and rounding cannot make it complex.

    Args:
        first: the reference, whose factor F is kept for further comparisons.
        second: moments of as many dimensions.

    Returns:
        float64 scalar; NaN for moments that are not finite.
    """
    separation: Tensor = (first.mean - second.mean).square().sum()
    return separation + first.covariance.trace() + second.covariance.trace() - 2 * _trace_of_root(first, second)


def _trace_of_root(first: Moments, second: Moments) -> float:
    from scipy.linalg.lapack import dsygst

    (factor, triangular), other = first.factor, second.covariance.numpy().T
    if triangular:  # half of a symmetric product with a triangle: a quarter of the work
        product, _ = dsygst(other, factor, itype=2, lower=True)
    else:
        product = factor.T @ other @ factor
    if not np.isfinite(product).all():
        return float("nan")
    return float(torch.linalg.eigvalsh(torch.from_numpy(product)).clamp_min(0).sqrt().sum())


def warn_of_few(first: Moments, second: Moments) -> None:
    """Warns, once for all processes, of a distance between fewer images than features have dimensions."""
    counts = [moments.count for moments in (first, second) if moments.count is not None]
    dim = len(first.mean)
    if counts and min(counts) <= dim:
        distributed.warn_once(
            f"FID of {min(counts)} images in {dim} dimensions has a singular covariance: "
            "compare it with nothing, or evaluate more images"
        )


class FeatureSums(Metric):
    """The sums for `Moments`, in float64 and over all processes, updated batch by batch.

    Args:
        dim: D, the length of a feature vector.
    """

    full_state_update = False
    total: Tensor
    products: Tensor
    count: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.add_state("total", torch.zeros(dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, features: Tensor) -> None:
        """Adds (N, D) features."""
        rows = features.double()
        self.total += rows.sum(0)
        self.products += rows.T @ rows
        self.count += len(rows)

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the sums of x (D,) and of x xᵀ (D, D), and the count, the same on every process."""
        return self.total, self.products, self.count

    def moments(self) -> Moments:
        """Returns the moments of all that was added, the same on every process.

        Raises:
            UserError: fewer than two images were added, and their features have a dimension.
        """
        total, products, count = self.compute()
        if self.dim:  # where pixels alone are compared, one image is enough
            _check_count(int(count))
        # torchmetrics squeezes tensors of one element.
        return Moments.of_sums(total.reshape(self.dim), products.reshape(self.dim, self.dim), count)


def _check_count(count: int) -> None:
    if count < 2:
        raise UserError(f"FID needs at least two images of each kind, not {count}: evaluate more")
