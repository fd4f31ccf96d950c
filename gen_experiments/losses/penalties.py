"""Penalties on the discriminator's gradient w.r.t. single images, in its weights' precision under any autocast."""

import torch
from torch import Tensor

from gen_experiments.errors import check_interval
from gen_experiments.losses.base import ImagesToLogits, Penalty
from gen_experiments.randomness import rand_rows, randn_rows


class R1(Penalty):
    """weight / 2 · mean ‖∇D(x)‖² at real images x (https://arxiv.org/abs/1801.04406).

    Args:
        weight: γ.
        every: the interval in iterations; > 0.
    """

    def forward(self, discriminator: ImagesToLogits, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the penalty at `real`; `fake` and `rng` are not used."""
        return 0.5 * self.weight * self.every * squared_gradient_norms(discriminator, real).mean()


class R2(Penalty):
    """weight / 2 · mean ‖∇D(G(z))‖² at generated images (https://arxiv.org/abs/1801.04406).

    Args:
        weight: γ.
        every: the interval in iterations; > 0.
    """

    def forward(self, discriminator: ImagesToLogits, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the penalty at `fake`; `real` and `rng` are not used."""
        return 0.5 * self.weight * self.every * squared_gradient_norms(discriminator, fake).mean()


class GradientPenalty(Penalty):
    """weight · mean (‖∇D(x̂)‖ − 1)², x̂ uniform between a real and a generated image: WGAN-GP.

    x̂ = εx + (1 − ε)G(z), one ε for each image (https://arxiv.org/abs/1704.00028).

    Args:
        weight: λ.
        every: the interval in iterations; > 0.
    """

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        super().__init__(weight, every)

    def forward(self, discriminator: ImagesToLogits, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the penalty between `real` and `fake`, of equal shape."""
        mix = rand_rows(len(real), 1, 1, 1, rng=rng)
        return self.weight * self.every * _distance_to_one(discriminator, mix * real + (1 - mix) * fake)


class DRAGAN(Penalty):
    """weight · mean (‖∇D(x + δ)‖ − 1)², δ ~ N(0, deviation²), around real images (https://arxiv.org/abs/1705.07215).

    Args:
        weight: λ.
        every: the interval in iterations; > 0.
        deviation: that of the noise on pixels in [-1, 1]; >= 0. A quarter is about half the deviation of usual images.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, weight: float = 10.0, every: int = 1, deviation: float = 0.25) -> None:
        super().__init__(weight, every)
        check_interval("[0, inf)", deviation=deviation)
        self.deviation = deviation

    def forward(self, discriminator: ImagesToLogits, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the penalty around `real`; `fake` is not used."""
        noise = self.deviation * randn_rows(*real.shape, rng=rng)
        return self.weight * self.every * _distance_to_one(discriminator, real + noise)


def squared_gradient_norms(discriminator: ImagesToLogits, images: Tensor) -> Tensor:
    """Returns ‖∇D(x)‖², summed over C, H and W, of each of (B, C, H, W) images: (B,), differentiable once more.

    The logit of an image is taken to depend on that image alone.
    """
    images = images.detach().to(torch.promote_types(images.dtype, torch.float32)).requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def _distance_to_one(discriminator: ImagesToLogits, images: Tensor) -> Tensor:
    # The root's slope is infinite at 0, and 0 · ∞ would be NaN.
    norms = (squared_gradient_norms(discriminator, images) + 1e-12).sqrt()
    return (norms - 1).square().mean()
