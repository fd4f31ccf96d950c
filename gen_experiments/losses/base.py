"""The contracts of the adversarial losses and penalties."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor


class AdversarialLoss(ABC):
    """What a discriminator and a generator minimise, as functions of the discriminator's logits (B,), high for real.

    Attributes:
        paired: whether the generator's loss compares fakes with reals, so that it needs the logits of both.
    """

    paired: ClassVar[bool] = False

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's scalar loss from its logits of real and of generated images."""

    @abstractmethod
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """The generator's scalar loss; `real` is None unless the loss is `paired`."""


class Penalty(ABC):
    """A term on the discriminator's gradients or logits, added to its loss on every `every`-th iteration.

    Attributes:
        weight: its factor.
        every: the interval in iterations; the value is multiplied by it, so that the mean strength stays the same (lazy
            regularisation, StyleGAN2, https://arxiv.org/abs/1912.04958, appendix B).
    """

    weight: float
    every: int

    @abstractmethod
    def __call__(
        self, discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, source: torch.Generator
    ) -> Tensor:
        """The weighted penalty, a scalar that can be differentiated w.r.t. the discriminator's parameters.

        Args:
            discriminator: images (B, C, H, W) -> logits (B,).
            real: real images.
            fake: generated images, detached.
            source: where its random numbers come from (`randomness.rand_rows`).
        """
