"""The base classes of adversarial losses and penalties."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.errors import check_interval
from gen_experiments.precision import KeepsPrecision

ImagesToLogits = Callable[[Tensor], Tensor]  # (B, C, H, W) -> (B,), or (B, n) for n patches


class AdversarialLoss(Recorded, ABC):
    """The losses of discriminator and generator, as functions of the discriminator's logits, high for real.

    Logits are (B,), or (B, n) for a discriminator of patches; losses are means over all of them.

    Attributes:
        paired: whether the generator's loss also needs the logits of real images.
        boundary: the logit above which an image is judged real; None if only differences count.
    """

    paired: ClassVar[bool] = False
    boundary: ClassVar[float | None] = 0.0

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns the discriminator's scalar loss from its logits of real and of generated images."""

    @abstractmethod
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """Returns the generator's scalar loss; `real` is None unless the loss is `paired`."""


class Penalty(Recorded, KeepsPrecision, ABC):
    """A term on the discriminator's gradients or logits, added to its loss on every `every`-th iteration.

    It is a module so that a state is kept in buffers: in the checkpoint and on the right device.

    Attributes:
        weight: the factor.
        every: the interval in iterations; the value is multiplied by it, so that the mean strength stays the same (lazy
            regularisation, StyleGAN2, https://arxiv.org/abs/1912.04958, appendix B).
        second_order: whether the penalty contains a gradient of the discriminator.
    """

    second_order: ClassVar[bool] = True

    def __init__(self, weight: float = 1.0, every: int = 1) -> None:
        """Sets the attributes.

        Raises:
            UserError: a negative weight, or `every` is below 1.
        """
        super().__init__()
        check_interval("[0, inf)", weight=weight)
        check_interval("[1, inf)", every=every)
        self.weight, self.every = weight, every

    @abstractmethod
    def forward(self, discriminator: ImagesToLogits, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Returns the weighted penalty, a scalar that can be differentiated w.r.t. the discriminator's parameters.

        Args:
            discriminator: images (B, C, H, W) -> logits (B,).
            real: real images.
            fake: generated images, detached.
            rng: for `randomness.rand_rows` and the like; in the same state on every process.
        """
