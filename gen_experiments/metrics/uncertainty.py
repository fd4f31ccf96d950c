"""Error bars: how far a score of finitely many images lies from that of infinitely many."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.metrics.frechet import Moments, frechet_distance
from gen_experiments.metrics.kernel import Estimate

PARTS = 5
Z = 1.959964  # 95% of a normal distribution lie within so many deviations
ROWS_PER_DIMENSION = 2.44  # 5,000 images in Inception's 2,048 dimensions: the smallest count of arXiv 1911.07023


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def bootstrap_interval(
    value: float,
    statistic: Callable[[Tensor], float],
    count: int,
    repeats: int,
    seed: int = 0,
    steps: Callable[[int], Iterable[object]] = range,
) -> Interval:
    """Returns the basic bootstrap's 95% interval [2t − q₀.₉₇₅, 2t − q₀.₀₂₅] (Davison and Hinkley 1997, equation 5.6).

    The quantiles q are those of the statistic over resamples, drawn with replacement. A resample relates to the sample
    as the sample to the population, and repeats the statistic's bias. The interval is therefore about the value without
    its bias; for the Fréchet distance, which is too large for few images, it lies below the value.

    Args:
        value: t, the statistic of the sample.
        statistic: its value for (count,) int64 indices.
        count: of the sample.
        repeats: number of resamples; 39 or more, so that there are quantiles of 2.5%.
        seed: of the draws.
        steps: iterates over a number of steps and may show the progress.
    """
    rng = torch.Generator().manual_seed(seed)
    values = [statistic(torch.randint(count, (count,), generator=rng)) for _ in steps(repeats)]
    low, high = np.quantile(values, [0.025, 0.975], method="weibull")  # of the order (repeats + 1)α
    return Interval(2 * value - float(high), 2 * value - float(low))


def normal_interval(value: float, deviation: float) -> Interval:
    """Returns the 95% interval of a number with normal errors."""
    return Interval(value - Z * deviation, value + Z * deviation)


def wilson_interval(count: int, total: int) -> Interval:
    """Returns Wilson's 95% confidence interval of a proportion (https://doi.org/10.1080/01621459.1927.10502953).

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), p = count / total, n = total.
    """
    p, square = count / total, Z * Z / total
    centre, half = p + square / 2, Z * math.sqrt(p * (1 - p) / total + square / (4 * total))
    return Interval((centre - half) / (1 + square), (centre + half) / (1 + square))


def frechet_deviation(reference: Moments, features: Tensor) -> float:
    """Returns the standard deviation of the Fréchet distance over samples of N images, to first order in 1/√N.

    The distance changes by the mean of ψ(x) = 2(μ − μᵣ)ᵀ(x − μ) + (x − μ)ᵀ(I − T)(x − μ) over the images, where
    T = Σᵣ^½ (Σᵣ^½ Σ Σᵣ^½)^−½ Σᵣ^½ transports one Gaussian to the other; its deviation is that of ψ over √N.

    Args:
        reference: moments without error.
        features: (N, D) of the sample, N > D.
    """
    rows = features.double().cpu()
    moments = Moments.of_features(rows)
    values, vectors = torch.linalg.eigh(reference.root @ moments.covariance @ reference.root)
    floor = values[-1] * torch.finfo(torch.float64).eps * len(values)
    inverse_root = (vectors * values.clamp_min(floor).rsqrt()) @ vectors.T
    transport = reference.root @ inverse_root @ reference.root
    centred = rows - moments.mean
    influence = 2 * centred @ (moments.mean - reference.mean)
    influence += (centred * (centred - centred @ transport)).sum(1)
    return float(influence.std() / len(rows) ** 0.5)


def images_for_infinity(dim: int) -> int:
    """Returns how many images `frechet_infinity` needs at least, by their features of `dim` dimensions."""
    return 2 * math.ceil(ROWS_PER_DIMENSION * dim)


def frechet_infinity(reference: Moments, features: Tensor, seed: int = 0) -> Estimate:
    """Returns the Fréchet distance of infinitely many images, by a line over 1/N (https://arxiv.org/abs/1911.07023).

    The sample is divided into k = 1 ... 5 disjoint parts; the mean distance of the parts is the point at N/k, so that
    each point uses all images. Parts with fewer than 2.44 images per dimension are left out.

    Args:
        reference: moments without error.
        features: (N, D) of the sample.
        seed: of the division.

    Returns:
        The line's value at 1/N = 0, and the deviation of `frechet_deviation`.

    Raises:
        UserError: not even two parts are large enough.
    """
    count, dim = features.shape
    parts = [k for k in range(1, PARTS + 1) if count // k >= ROWS_PER_DIMENSION * dim]
    if len(parts) < 2:
        raise UserError(f"FID∞ in {dim} dimensions needs {images_for_infinity(dim)} images, not {count}: evaluate more")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    means = []
    for k in parts:
        pieces = order[: count // k * k].chunk(k)
        values = [frechet_distance(reference, Moments.of_features(features[piece])) for piece in pieces]
        means.append(torch.stack(values).mean())
    inverse_counts = torch.tensor([1 / (count // k) for k in parts], dtype=torch.float64)
    line = torch.stack([torch.ones_like(inverse_counts), inverse_counts], 1)
    intercept = torch.linalg.lstsq(line, torch.stack(means)[:, None]).solution[0, 0]
    return Estimate(float(intercept), frechet_deviation(reference, features))
