"""LeCam: keeps the discriminator's logits near their moving averages on the other kind of images."""

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.errors import check_interval
from gen_experiments.losses.base import ImagesToLogits, Penalty
from gen_experiments.precision import at_least_float32


class LeCam(Penalty):
    """weight · (mean ⌊D(x) − α_F⌋₊² + mean ⌊α_R − D(G(z))⌋₊²), for little data (https://arxiv.org/abs/2104.03310).

    ⌊·⌋₊ is max(0, ·). It stands in the authors' code and not in the paper's equation 6; it is the default because the
    published results are those of the code.

    α_R and α_F are moving averages of the logits of real and of generated images, over all processes and corrected for
    their start at zero. They are state: saved and restored.

    Args:
        weight: λ.
        every: the interval in iterations; > 0.
        decay: of the averages, per call; in [0, 1).
        clipped: whether differences are clipped at 0; false is the paper's equation.

    Raises:
        UserError: a number out of range.
    """

    second_order = False
    averages: Tensor
    remaining: Tensor

    def __init__(self, weight: float = 0.3, every: int = 1, decay: float = 0.99, clipped: bool = True) -> None:
        super().__init__(weight, every)
        check_interval("[0, 1)", decay=decay)
        self.decay, self.clipped = decay, clipped
        self.register_buffer("averages", torch.zeros(2))
        self.register_buffer("remaining", torch.ones(()))

    def forward(self, discriminator: ImagesToLogits, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """Updates the averages and returns the penalty; `rng` is not used."""
        real_logits, fake_logits = (at_least_float32(discriminator(images)) for images in (real, fake))
        self._update(torch.stack([real_logits.mean(), fake_logits.mean()]).detach())
        averages = self.averages / (1 - self.remaining)
        differences = [real_logits - averages[1], averages[0] - fake_logits]
        if self.clipped:
            differences = [difference.relu() for difference in differences]
        return self.weight * self.every * torch.stack([d.square().mean() for d in differences]).sum()

    def _update(self, means: Tensor) -> None:
        means = distributed.all_reduce_sum(means) / distributed.world_size()
        self.averages.lerp_(means, 1 - self.decay)
        self.remaining.mul_(self.decay)
