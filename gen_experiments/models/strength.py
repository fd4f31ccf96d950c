"""A strength of augmentation that adapts to the discriminator's overfitting."""

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.errors import check_interval
from gen_experiments.precision import KeepsPrecision


class AdaptiveStrength(Recorded, KeepsPrecision):
    """ADA (https://arxiv.org/abs/2006.06676): the strength p rises while the discriminator is too sure of real images.

    r = E[sign D(real)] over the last `every` iterations and all processes. Then p moves by (images since) / `images`:
    up if r > `target`, else down, within [0, 1]. (The authors' code lets p rise beyond 1, from where it needs longer to
    come down.) A new p holds from the next iteration on. The state is in buffers: in the checkpoint, and equal on all
    processes.

    Args:
        target: the wanted r, in (-1, 1).
        images: real images in which p can rise from 0 to 1; > 0.
        every: iterations between two changes; >= 1.

    Attributes:
        p: the strength, a scalar.

    Raises:
        UserError: a number out of range.
    """

    p: Tensor
    sums: Tensor

    def __init__(self, target: float = 0.6, images: int = 500_000, every: int = 4) -> None:
        super().__init__()
        check_interval("(-1, 1)", target=target)
        check_interval("(0, inf)", images=images)
        check_interval("[1, inf)", every=every)
        self.target, self.images, self.every = target, images, every
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("sums", torch.zeros(2))  # the sum of the signs and their number

    def forward(self, images: float) -> Tensor:
        """Returns p for any number of images, so that it can replace a schedule."""
        return self.p

    @torch.no_grad()
    def update(self, real: Tensor, iteration: int) -> None:
        """Adds the signs of logits (B,) or (B, n) of real images, minus the boundary; changes p when due."""
        signs = real.sign().reshape(len(real), -1).mean(1).sum()
        self.sums += distributed.all_reduce_sum(torch.stack([signs, torch.full_like(signs, len(real))]))
        if (iteration + 1) % self.every == 0:
            step = torch.sign(self.sums[0] / self.sums[1] - self.target) * self.sums[1] / self.images
            self.p.add_(step).clamp_(0, 1)
            self.sums.zero_()
