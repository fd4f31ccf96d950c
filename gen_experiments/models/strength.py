"""How strongly a discriminator's images are augmented: as a schedule says, or as much as overfitting asks for."""

import torch
from torch import Tensor, nn

from gen_experiments import distributed
from gen_experiments.errors import UserError


class AdaptiveStrength(nn.Module):
    """ADA (https://arxiv.org/abs/2006.06676): the strength p rises while the discriminator is too sure of real images.

    r = E[sign D(real)] over the last `every` iterations and all processes; p then moves by (images since) / `images`
    upwards if r > `target`, else downwards, within [0, 1]. Part of the checkpoint.

    Args:
        target: the r that is aimed at.
        images: real images in which p can go from 0 to 1; > 0.
        every: iterations between two moves; >= 1.

    Attributes:
        p: the strength, a scalar.

    Raises:
        UserError: a number out of range.
    """

    p: Tensor
    signs: Tensor
    counts: Tensor

    def __init__(self, target: float = 0.6, images: int = 500_000, every: int = 4) -> None:
        super().__init__()
        if images <= 0 or every < 1:
            raise UserError(f"adaptive augmentation needs images > 0 and every >= 1, not {images} and {every}")
        self.target, self.images, self.every = target, images, every
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("counts", torch.zeros(()))

    @torch.no_grad()
    def update(self, real: Tensor, iteration: int) -> None:
        """Counts a batch of logits (B,) of real images and, every `every`-th iteration, moves p."""
        self.signs += real.sign().sum()
        self.counts += real.numel()
        if (iteration + 1) % self.every == 0:
            signs, counts = distributed.all_reduce_sum(torch.stack([self.signs, self.counts]))
            step = torch.sign(signs / counts - self.target) * counts / self.images
            self.p.copy_((self.p + step).clamp(0, 1))
            self.signs.zero_()
            self.counts.zero_()
