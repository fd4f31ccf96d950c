"""The loss of a discriminator on real and generated images: that of its logits, and its penalties."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gen_experiments.contracts import in_words, require_scalar
from gen_experiments.errors import UserError
from gen_experiments.losses.base import AdversarialLoss, ImagesToLogits, Penalty
from gen_experiments.precision import at_least_float32


@dataclass(frozen=True)
class DiscriminatorLoss:
    """A discriminator's loss and logits.

    Attributes:
        loss: scalar, with the penalties.
        real: logits of the real images.
        fake: logits of the generated images.
        penalties: by their logged names, each divided by its interval, without gradient.
    """

    loss: Tensor
    real: Tensor
    fake: Tensor
    penalties: dict[str, Tensor]

    def detached(self) -> "DiscriminatorLoss":
        """Returns the same without gradients."""
        return DiscriminatorLoss(self.loss.detach(), self.real.detach(), self.fake.detach(), self.penalties)


def discriminator_logits(discriminator: nn.Module, labels: Tensor | None, images: Tensor) -> Tensor:
    """Returns a discriminator's logits (B,) or (B, n), at least in float32: losses would be rounded to 8 bits."""
    logits: Tensor = discriminator(images, labels)
    return at_least_float32(logits)


def discriminator_loss(
    loss: AdversarialLoss,
    logits: tuple[ImagesToLogits, ImagesToLogits],
    real: Tensor,
    fake: Tensor,
    penalties: Iterable[Penalty],
    rng: torch.Generator,
    factor: float = 1.0,
) -> DiscriminatorLoss:
    """Computes a discriminator's logits and loss.

    Args:
        loss: what the discriminator minimises.
        logits: of real and of generated images; they may differ in the augmentation. Penalties use those of real ones.
        real: (B, C, H, W) real images.
        fake: (B, C, H, W) generated images, detached.
        penalties: the penalties that are due.
        rng: for the penalties.
        factor: on all penalties.

    Raises:
        UserError: the discriminator, the loss or a penalty returned another shape.
    """
    logits_of_real, logits_of_fake = logits
    real_logits, fake_logits = logits_of_real(real), logits_of_fake(fake)
    for returned, images in ((real_logits, real), (fake_logits, fake)):
        if returned.ndim not in (1, 2) or len(returned) != len(images):
            raise UserError(
                f"the discriminator returned {in_words(returned)} for {len(images)} images: return ({len(images)},) "
                f"logits, or ({len(images)}, n) for n patches"
            )
    total, logged = loss.discriminator(real_logits, fake_logits), {}
    require_scalar(total, f"the result of {type(loss).__name__}.discriminator")
    for penalty in penalties:
        value = penalty(logits_of_real, real, fake, rng)
        require_scalar(value, f"the result of {type(penalty).__name__}.forward")
        value = factor * value
        logged[f"penalty_{type(penalty).__name__.lower()}"] = value.detach() / penalty.every
        total = total + value
    return DiscriminatorLoss(total, real_logits, fake_logits, logged)


def due_penalties(penalties: nn.ModuleList, iteration: int) -> list[Penalty]:
    """Returns the penalties that are due in an iteration."""
    return [part for part in penalties if isinstance(part, Penalty) and iteration % part.every == 0]


def require_first_order(penalties: Iterable[Penalty]) -> None:
    """Makes sure that penalties can be computed with a compiled discriminator.

    Raises:
        UserError: a penalty is on the discriminator's gradients.
    """
    second_order = [type(penalty).__name__ for penalty in penalties if penalty.second_order]
    if second_order:
        raise UserError(
            f"{second_order[0]} needs gradients of a discriminator's gradients, which no compiled one gives: "
            "set model.compile_discriminator=false (model.compile compiles the generator)"
        )


def logit_statistics(real: Tensor, fake: Tensor, boundary: float | None) -> dict[str, Tensor]:
    """Returns what shows whether generator and discriminator are in balance: mean logits, their gap, and the accuracy.

    Args:
        real: logits of real images, (B,) or (B, n).
        fake: logits of generated images, of the same shape.
        boundary: larger logits mean real; None counts the pairs whose real image has the larger logit.
    """
    correct = real > fake if boundary is None else torch.cat([real > boundary, fake < boundary])
    logit_real, logit_fake = real.mean(), fake.mean()
    return {
        "logit_real": logit_real,
        "logit_fake": logit_fake,
        "logit_gap": logit_real - logit_fake,
        "sign_accuracy": correct.float().mean(),
    }
