"""KID and the inception score, by torch-fidelity's own code over features that were computed here."""

from typing import NamedTuple

from torch import Tensor

from gen_experiments.errors import UserError


class Estimate(NamedTuple):
    """A mean over subsets and the standard deviation of these."""

    mean: float
    deviation: float


def kid(generated: Tensor, real: Tensor, subsets: int = 100, size: int = 1000, seed: int = 2020) -> Estimate:
    """Returns the kernel distance (https://arxiv.org/abs/1801.01401): the unbiased MMD² of (xᵀy/D + 1)³.

    Args:
        generated: (N, D) features.
        real: (M, D) features.
        subsets: pairs of subsets drawn, each without replacement.
        size: images in a subset.
        seed: of the draws.

    Raises:
        UserError: there are fewer images than a subset has.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    if min(len(generated), len(real)) < size:
        raise UserError(f"KID over subsets of {size} needs as many images, not {min(len(generated), len(real))}")
    found = kid_features_to_metric(
        generated, real, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False
    )
    return Estimate(found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"])


def inception_score(logits: Tensor, splits: int = 10, seed: int = 2020) -> Estimate:
    """Returns exp E KL(p(y|x) ‖ p(y)) over splits of the images (https://arxiv.org/abs/1606.03498).

    Args:
        logits: (N, classes) of the generated images.
        splits: parts of the images, drawn by `seed`, over which mean and deviation are taken.
        seed: of the draw.

    Raises:
        UserError: there are fewer images than splits.
    """
    from torch_fidelity.metric_isc import isc_features_to_metric

    if len(logits) < splits:
        raise UserError(f"the inception score over {splits} splits needs as many images, not {len(logits)}")
    found = isc_features_to_metric(logits.cpu(), splits, rng_seed=seed)
    return Estimate(found["inception_score_mean"], found["inception_score_std"])
