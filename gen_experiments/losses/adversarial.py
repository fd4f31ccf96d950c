"""Adversarial losses over logits r = D(x) of real and f = D(G(z)) of generated images."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gen_experiments.losses.base import AdversarialLoss


class NonSaturating(AdversarialLoss):
    """Binary cross-entropy on logits, the generator's labels flipped (https://arxiv.org/abs/1406.2661).

    L_D = mean softplus(−r) + mean softplus(f);  L_G = mean softplus(−f).
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns the mean of −log σ(r) plus mean of −log(1 − σ(f))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns the mean of −log σ(f)."""
        return softplus(-fake).mean()


class Saturating(NonSaturating):
    """The original minimax game (https://arxiv.org/abs/1406.2661): the generator loses what the discriminator gains.

    L_D = mean softplus(−r) + mean softplus(f);  L_G = −mean softplus(f), which is flat where D is sure of the fakes.
    """

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns the mean of log(1 − σ(f))."""
        return -softplus(fake).mean()


class LeastSquares(AdversarialLoss):
    """Least squares with targets 1 for real and 0 for generated (https://arxiv.org/abs/1611.04076, equation 9).

    L_D = ½ mean (r − 1)² + ½ mean f²;  L_G = ½ mean (f − 1)².
    """

    boundary: ClassVar[float | None] = 0.5

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns half the mean of (r − 1)² plus half the mean of f²."""
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns half the mean of (f − 1)²."""
        return 0.5 * (fake - 1).square().mean()


class Hinge(AdversarialLoss):
    """The hinge loss (https://arxiv.org/abs/1705.02894, https://arxiv.org/abs/1802.05957).

    L_D = mean max(0, 1 − r) + mean max(0, 1 + f);  L_G = −mean f.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns the mean of max(0, 1 − r) plus mean of max(0, 1 + f)."""
        return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns minus the mean of f."""
        return -fake.mean()


class Wasserstein(AdversarialLoss):
    """The critic's estimate of the Wasserstein-1 distance (https://arxiv.org/abs/1701.07875).

    L_D = mean f − mean r;  L_G = −mean f. The critic must be Lipschitz, for instance by `GradientPenalty`.
    """

    boundary: ClassVar[float | None] = None

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns the mean of f minus mean of r."""
        return fake.mean() - real.mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns minus the mean of f."""
        return -fake.mean()


class RelativisticPaired(AdversarialLoss):
    """Each generated image against one real image: RpGAN (https://arxiv.org/abs/1807.00734), as R3GAN uses it.

    L_D = mean softplus(−(r − f));  L_G = mean softplus(−(f − r)); see https://arxiv.org/abs/2501.05441. Both need the
    same number of real and of generated images.
    """

    paired: ClassVar[bool] = True
    boundary: ClassVar[float | None] = None

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns the mean of −log σ(r − f)."""
        return softplus(fake - real).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns the mean of −log σ(f − r)."""
        assert real is not None
        return softplus(real - fake).mean()
