"""Which parts of the data are hardly generated, however good the images of the other parts are."""

import math

import torch
from torch import Tensor

from gen_experiments.images import evenly_spaced
from gen_experiments.metrics.memorisation import nearest

IMAGES = 2000  # of either kind, evenly spaced
PART = 0.02  # of the real images: a neighbourhood
EXPECTED = 20  # generated images in one, at least, if they were distributed as the real ones
FEW = 0.25  # of those expected
ALARM = 0.25  # of the real images


def missed(generated: Tensor, real: Tensor) -> Tensor:
    """Returns of which real images the neighbourhood is hardly generated.

    Every generated image counts for the real one that it is nearest to, however far: so images that look bad are not
    taken for missing ones, as the coverage (2002.09797) takes them. A neighbourhood is a real image with its k − 1
    nearest; of N images like the M real ones N·k/M are expected in it, and fewer than a quarter of that are few.

    Args:
        generated: (N, D) features.
        real: (M, D) features.

    Returns:
        Of at most 2,000 evenly spaced real images, bool; none where there are too few images to tell.
    """
    rows, others = (each[evenly_spaced(len(each), IMAGES)].double() for each in (generated, real))
    centre = others.mean(0)
    rows, others = rows - centre, others - centre
    count = min(max(math.ceil(PART * len(others)), math.ceil(EXPECTED * len(others) / len(rows))), len(others))
    votes = torch.bincount(nearest(rows, others)[1], minlength=len(others))
    around = torch.cdist(others, others).topk(count, largest=False).indices
    return votes[around].sum(1) < FEW * len(rows) * count / len(others)
