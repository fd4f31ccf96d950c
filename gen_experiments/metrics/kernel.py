"""KID and the inception score, by torch-fidelity's own code over features that were computed here."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.metrics.neighbours import CHUNK

SEED = 2020  # of the draws, as torch-fidelity has it


class Estimate(NamedTuple):
    """A mean over subsets and the standard deviation of these."""

    mean: float
    deviation: float


def kid(generated: Tensor, real: Tensor, subsets: int = 100, size: int = 1000) -> Estimate:
    """Returns the kernel distance (https://arxiv.org/abs/1801.01401): the unbiased MMD² of (xᵀy/D + 1)³.

    Args:
        generated: (N, D) features.
        real: (M, D) features.
        subsets: pairs of subsets drawn, each without replacement.
        size: images in a subset.

    Raises:
        UserError: there are fewer images than a subset has.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    if min(len(generated), len(real)) < size:
        raise UserError(f"KID over subsets of {size} needs as many images, not {min(len(generated), len(real))}")
    estimates = kid_features_to_metric(
        generated, real, kid_subsets=subsets, kid_subset_size=size, rng_seed=SEED, verbose=False
    )
    return Estimate(estimates["kernel_inception_distance_mean"], estimates["kernel_inception_distance_std"])


def kid_deviation(generated: Tensor, real: Tensor) -> float:
    """Returns the standard deviation of the unbiased MMD² over samples of N generated images, for fixed real images.

    For fixed real images the MMD² is, up to a constant, the U-statistic of h(x, x') = k(x, x') − b(x) − b(x'), where
    b(x) is the mean of k(x, y) over real y. Its variance 4(N − 2)ζ₁/N(N − 1) + 2ζ₂/N(N − 1) (Hoeffding 1948, equation
    5.13, https://doi.org/10.1214/aoms/1177730196) is estimated by the variances of each image's mean of h and of h.

    Args:
        generated: (N, D) features, N > 2.
        real: (M, D) features.
    """
    rows, others, count = generated.double(), real.double(), len(generated)

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        values: Tensor = (first @ second.T / first.shape[1] + 1) ** 3
        return values

    to_real = torch.cat([kernel(part, others).mean(1) for part in rows.split(CHUNK)])
    means, squares = [], 0.0
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        pairs = kernel(rows[part], rows) - to_real[part, None] - to_real
        pairs[range(len(pairs)), range(start, start + len(pairs))] = 0  # no image is its own pair
        means.append(pairs.sum(1) / (count - 1))
        squares += float(pairs.square().sum())
    of_images = torch.cat(means)
    of_pairs = squares / (count * (count - 1)) - float(of_images.mean()) ** 2
    least = 2 * of_pairs / (count * (count - 1))  # of ζ₁ = 0
    # The means of h have the variance ζ₁ + ζ₂/N, about; half of the second term is wanted.
    return math.sqrt(max(4 * float(of_images.var()) / count - least, least))


def inception_score(logits: Tensor, splits: int = 10) -> Estimate:
    """Returns exp E KL(p(y|x) ‖ p(y)) over splits of the images (https://arxiv.org/abs/1606.03498).

    Args:
        logits: (N, classes) of the generated images.
        splits: parts of the images, drawn at random, over which mean and deviation are taken.

    Raises:
        UserError: there are fewer images than splits.
    """
    from torch_fidelity.metric_isc import isc_features_to_metric

    if len(logits) < splits:
        raise UserError(f"the inception score over {splits} splits needs as many images, not {len(logits)}")
    estimates = isc_features_to_metric(logits.cpu(), splits, rng_seed=SEED)
    return Estimate(estimates["inception_score_mean"], estimates["inception_score_std"])
