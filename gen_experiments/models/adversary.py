"""The discriminator that turns a VQ-VAE into a VQGAN, and the weight of its loss."""

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.errors import UserError, check_interval
from gen_experiments.losses.adversarial import Hinge
from gen_experiments.losses.base import AdversarialLoss, Penalty
from gen_experiments.networks.base import DiscriminatorFactory
from gen_experiments.precision import at_least_float32
from gen_experiments.training.optimizers import OptimizerFactory

MAX_WEIGHT = 1e4
# The absolute values of a gradient at the pixels are scaled to this sum: a weight's gradient is then at most this sum
# times the largest input of its layer, which float16 can hold.
ABSOLUTE_SUM = 256.0


class Adversary(Recorded):
    """What VQGAN (https://arxiv.org/abs/2012.09841) adds to a VQ-VAE.

    Args:
        discriminator: images to logits, such as PatchDiscriminator.
        optimizer: makes the discriminator's optimizer.
        loss: what discriminator and decoder minimise; None is the hinge loss. No loss of pairs.
        weight: factor of the decoder's adversarial loss.
        adaptive: multiply the weight by the ratio of the gradients of reconstruction and adversarial loss at the
            decoder's last layer (the paper's λ), so that both pull equally at `weight` 1.
        start: real images seen before the first batch with an adversarial loss: the `disc_start` of the authors' code,
            which counts steps, times the images of a batch.
        ramp: images over which the weight then rises linearly from 0; 0 for none.
        penalties: terms on the discriminator, such as R1.

    Raises:
        UserError: a number is negative, or the loss compares pairs.
    """

    def __init__(
        self,
        discriminator: DiscriminatorFactory,
        optimizer: OptimizerFactory,
        loss: AdversarialLoss | None = None,
        weight: float = 0.8,
        adaptive: bool = True,
        start: int = 0,
        ramp: int = 0,
        penalties: list[Penalty] | None = None,
    ) -> None:
        check_interval("[0, inf)", weight=weight, start=start, ramp=ramp)
        self.discriminator, self.optimizer, self.loss = discriminator, optimizer, loss or Hinge()
        if self.loss.paired:
            raise UserError(f"{type(self.loss).__name__} compares pairs of images: choose another adversary.loss")
        self.weight, self.adaptive, self.start, self.ramp = weight, adaptive, start, ramp
        self.penalties = penalties or []

    def strength(self, images_seen: int) -> float:
        """Returns the weight after `images_seen` images; 0 before the start."""
        if images_seen < self.start:
            return 0.0
        return self.weight * (min((images_seen - self.start) / self.ramp, 1.0) if self.ramp else 1.0)


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, images: Tensor, last_weight: Tensor) -> Tensor:
    """Returns λ = ‖∇ reconstruction‖ / (‖∇ adversarial‖ + 1e-6) at a layer's weight, in [0, 1e4] (VQGAN, equation 7).

    The gradients are those of the mean losses over all processes, so that λ is the same on each. On their way they are
    enlarged: those of a mean over many pixels are too small for float16, and no gradient scaler has seen them yet.

    Args:
        reconstruction: scalar loss.
        adversarial: scalar loss.
        images: what both losses judge, and the decoder has made.
        last_weight: the weight of the decoder's last layer.

    Returns:
        A scalar without gradient.
    """
    norms = []
    for loss in (reconstruction, adversarial):
        (at_pixels,) = torch.autograd.grad(len(images) * loss, images, retain_graph=True)
        factor = ABSOLUTE_SUM / at_pixels.abs().sum().clamp(min=1e-30)
        (gradient,) = torch.autograd.grad(images, last_weight, factor * at_pixels, retain_graph=True)
        gradient = at_least_float32(gradient) / (factor * len(images))
        norms.append((distributed.all_reduce_sum(gradient) / distributed.world_size()).norm())
    weight: Tensor = (norms[0] / (norms[1] + 1e-6)).clamp(0, MAX_WEIGHT)
    return weight
