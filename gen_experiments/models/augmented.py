"""The augmentation of what a discriminator sees, and its strength."""

import torch
from torch import Tensor, nn

from gen_experiments import distributed, randomness
from gen_experiments.errors import UserError
from gen_experiments.losses.base import AdversarialLoss
from gen_experiments.models.strength import AdaptiveStrength
from gen_experiments.networks.augment import Augmentation
from gen_experiments.randomness import Stream
from gen_experiments.schedules import Constant, Schedule, as_schedule, check_schedules


class Augmented(nn.Module):
    """Augments real and generated images alike, with the current strength.

    Its random numbers come from a stream of their own: it does not change what else a run draws.

    Args:
        augmentation: the augmentation; None for none.
        strength: p: a number in [0, 1], a function of images seen, or adaptive.
        loss: what the discriminator minimises.

    Raises:
        UserError: p is no probability, or adaptive under a loss without a boundary between real and generated.
    """

    def __init__(
        self, augmentation: Augmentation | None, strength: float | Schedule | AdaptiveStrength, loss: AdversarialLoss
    ) -> None:
        super().__init__()
        if isinstance(strength, AdaptiveStrength):
            if loss.boundary is None:
                raise UserError(
                    f"AdaptiveStrength reads the sign of D(real), which says nothing under {type(loss).__name__}: "
                    "make augmentation_strength a number or a schedule"
                )
        else:
            check_schedules("[0, 1]", augmentation_strength=strength)
        self.augmentation = augmentation
        self.strength = strength if isinstance(strength, AdaptiveStrength) else as_schedule(strength)
        self.boundary = loss.boundary
        self.p: float | Tensor = 0.0

    def warn_of_no_effect(self) -> None:
        """Warns of a strength, other than the default, of an augmentation that is missing."""
        given = not isinstance(self.strength, Constant) or self.strength.value != 1
        if self.augmentation is None and given:
            distributed.warn_once(
                "augmentation_strength has no effect without an augmentation: set augmentation, such as DiffAugment"
            )

    def set_strength(self, images_seen: int) -> None:
        """Sets p to its value after `images_seen` real images."""
        self.p = self.strength(images_seen)

    def draws(self, rows: int, device: torch.device, iteration: int) -> tuple[Tensor | None, Tensor | None]:
        """Returns the random numbers of this process's `rows` images in an iteration's two steps.

        Returns:
            For each step (rows, 2, draws), for the real and for the generated images; None without an augmentation.
        """
        if self.augmentation is None:
            return None, None
        rng = randomness.generator(device, randomness.run_seed(), Stream.AUGMENTATION, iteration)
        draws = randomness.rand_rows(rows, 4, self.augmentation.num_draws, rng=rng)
        return draws[:, :2], draws[:, 2:]

    def forward(self, images: Tensor, draws: Tensor | None) -> Tensor:
        """Returns (B, C, H, W) images, augmented by (B, draws) random numbers; unchanged for None."""
        if self.augmentation is None or draws is None:
            return images
        return self.augmentation(images, self.p, draws)

    def update(self, real: Tensor, iteration: int) -> None:
        """Updates an adaptive strength by logits (B,) or (B, n) of real images."""
        if isinstance(self.strength, AdaptiveStrength) and self.boundary is not None:
            self.strength.update(real - self.boundary, iteration)

    def logs(self) -> dict[str, Tensor | float]:
        """Returns the values to log."""
        return {} if self.augmentation is None else {"augmentation_p": self.p}
