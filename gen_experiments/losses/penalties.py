"""Penalties on the discriminator's gradient w.r.t. single images, always in float32 and outside autocast."""

from collections.abc import Callable

import torch
from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.losses.base import Penalty
from gen_experiments.randomness import rand_rows


class R1(Penalty):
    """weight / 2 · mean ‖∇ₓD(x)‖² at real images x (https://arxiv.org/abs/1801.04406).

    Args:
        weight: γ.
        every: the interval in iterations; > 0.
    """

    def __init__(self, weight: float = 1.0, every: int = 1) -> None:
        self.weight, self.every = weight, _checked(every)

    def __call__(
        self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, source: torch.Generator
    ) -> Tensor:
        """The penalty at `real`; `fake` and `source` are not used."""
        return 0.5 * self.weight * self.every * squared_gradient_norms(discriminator, real).mean()


class GradientPenalty(Penalty):
    """weight · mean (‖∇D(x̂)‖ − 1)², x̂ uniform between a real and a generated image: WGAN-GP.

    x̂ = εx + (1 − ε)G(z), one ε for each image (https://arxiv.org/abs/1704.00028).

    Args:
        weight: λ.
        every: the interval in iterations; > 0.
    """

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        self.weight, self.every = weight, _checked(every)

    def __call__(
        self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, source: torch.Generator
    ) -> Tensor:
        """The penalty between `real` and `fake`, of equal shape."""
        mix = rand_rows(len(real), 1, 1, 1, source=source)
        norms = _norms(squared_gradient_norms(discriminator, mix * real + (1 - mix) * fake))
        return self.weight * self.every * (norms - 1).square().mean()


def squared_gradient_norms(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """‖∇D(x)‖², summed over C, H and W, for each of the (B, C, H, W) images: (B,), differentiable once more.

    The logit of an image is taken to depend on that image alone.
    """
    images = images.detach().to(torch.promote_types(images.dtype, torch.float32)).requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def _norms(squares: Tensor) -> Tensor:
    # The root's slope is infinite at 0, and 0 · ∞ would be NaN.
    return (squares + 1e-12).sqrt()


def _checked(every: int) -> int:
    if every < 1:
        raise UserError(f"a penalty's interval `every` is a number of iterations >= 1, not {every}")
    return every
