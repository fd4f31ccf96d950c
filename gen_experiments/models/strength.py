"""How strongly a discriminator's images are augmented, when overfitting is to say it."""

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.errors import check_interval
from gen_experiments.precision import KeepsPrecision
from gen_experiments.recorded import Recorded


class AdaptiveStrength(Recorded, KeepsPrecision):
    """ADA (https://arxiv.org/abs/2006.06676): the strength p rises while the discriminator is too sure of real images.

    r = E[sign D(real)] over the last `every` iterations and all processes; p then moves by (images since) / `images`
    upwards if r > `target`, else downwards, within [0, 1]; the authors' code lets it rise beyond 1, and so come down
    from there later. The iteration that moves p still has the old one. Its state is in buffers: in the checkpoint, and
    the same on all processes.

    Args:
        target: the r that is aimed at, in (-1, 1).
        images: real images in which p can go from 0 to 1; > 0.
        every: iterations between two moves; >= 1.

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
        self.register_buffer("sums", torch.zeros(2))  # of the signs, and of how many there were

    def forward(self, images: float) -> Tensor:
        """Returns p, however many images were seen: so that it can stand where a schedule does."""
        return self.p

    @torch.no_grad()
    def update(self, real: Tensor, iteration: int) -> None:
        """Counts logits (B,) or (B, n) of real images, 0 for undecided, and on every `every`-th iteration moves p."""
        signs = real.sign().reshape(len(real), -1).mean(1).sum()
        self.sums += distributed.all_reduce_sum(torch.stack([signs, torch.full_like(signs, len(real))]))
        if (iteration + 1) % self.every == 0:
            step = torch.sign(self.sums[0] / self.sums[1] - self.target) * self.sums[1] / self.images
            self.p.add_(step).clamp_(0, 1)
            self.sums.zero_()
