"""Whether generated images are copies of training images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gen_experiments.metrics.neighbours import nearest

ALPHA = 0.025  # rate of false alarms


class Copies(NamedTuple):
    """The result of a `CopyTest`.

    Attributes:
        near: (N,) bool, the generated images that lie nearer to a training image than nearly all unseen ones do.
        expected: the share of unseen images that is expected to lie as near.
        nearer: the p-value of `nearer_p_value`; None if there are too few images for any alarm.
        farther: the p-value of `farther_p_value`.
    """

    near: Tensor
    expected: float
    nearer: float | None
    farther: float


class CopyTest:
    """Tests whether generated images are copies of training images, by the distances of unseen images to these.

    Args:
        trained_on: (K, D) features of the training images.
        held_out: (M, D) features of real images that were not trained on.
        share: the share of the distances that count as small; in (0, 1).

    Attributes:
        held_out: (M,) distances of the unseen images to their nearest training images, on the CPU.
    """

    def __init__(self, trained_on: Tensor, held_out: Tensor, share: float) -> None:
        self._trained_on, self._share = trained_on, share
        self.held_out = self.nearest(held_out)[0]

    def nearest(self, generated: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the distances of (N, D) features to their nearest training images, and these: (N,), on the CPU."""
        distances, rows = nearest(generated, self._trained_on)
        return distances.cpu(), rows.cpu()

    def of(self, distances: Tensor) -> Copies:
        """Returns the result for (N,) distances of generated images, as `nearest` returns them."""
        near, expected = near_copies(distances, self.held_out, self._share)
        nearer = nearer_p_value(distances, self.held_out, self._share)
        return Copies(near, expected, nearer, farther_p_value(distances, self.held_out))


def near_copies(generated: Tensor, held_out: Tensor, share: float) -> tuple[Tensor, float]:
    """Returns which generated images lie nearer to a training image than all but a share of the held-out images do.

    Held-out images show how near unseen images lie to training images (https://arxiv.org/abs/2004.05675 compares with
    them). The threshold is the j-th smallest of their M distances, j = ⌊share·(M + 1)⌋ and at least 1: whatever the
    distribution of distances, a share j/(M + 1) of unseen images is expected below it.

    Args:
        generated: (N,) distances of generated images to their nearest training images.
        held_out: (M,) the same for real images that were not trained on.
        share: in (0, 1).

    Returns:
        (N,) bool, and the expected share of unseen images.
    """
    count = len(held_out)
    rank = max(1, int(share * (count + 1)))
    return generated < held_out.kthvalue(rank).values, rank / (count + 1)


def nearer_p_value(generated: Tensor, held_out: Tensor, share: float) -> float | None:
    """Returns the probability that unseen images would have as many of the smallest distances as generated images.

    If generated images relate to the training images like held-out ones, all M + N distances are exchangeable, and the
    number of generated images among the k smallest is hypergeometric: the test is exact. k is share·(M + N), or the
    smallest larger k at which k generated images would be an alarm at 2.5%. Equal distances count in favour of
    generated images.

    Args:
        generated: (N,) distances of generated images to their nearest training images.
        held_out: (M,) the same for real images that were not trained on.
        share: in (0, 1).

    Returns:
        In (0, 1]; small values are an alarm. None if there are too few images for any alarm.
    """
    from scipy.stats import hypergeom

    total = len(generated) + len(held_out)
    counts = np.arange(1, min(len(generated), total - 1) + 1)
    enough = counts[hypergeom.sf(counts - 1, total, len(generated), counts) <= ALPHA]
    if not len(enough):
        return None
    smallest = max(int(enough[0]), round(share * total))
    return _tail(generated, held_out, smallest)


def farther_p_value(generated: Tensor, held_out: Tensor) -> float:
    """Returns the probability that unseen images would have as many of the larger half of all distances.

    With small values generated images do not resemble the data, and the absence of copies means nothing.
    """
    return _tail(-generated, -held_out, (len(generated) + len(held_out)) // 2)


def _tail(generated: Tensor, held_out: Tensor, smallest: int) -> float:
    from scipy.stats import hypergeom

    both = torch.cat([held_out, generated])
    first = both.argsort(stable=True)[:smallest]
    observed = int((first >= len(held_out)).sum())
    return float(hypergeom.sf(observed - 1, len(both), len(generated), smallest))
