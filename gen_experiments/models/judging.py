"""The images that a discriminator tells apart, and its loss on them: that of its logits, and its penalties."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gen_experiments.contracts import in_words, require_scalar
from gen_experiments.errors import UserError
from gen_experiments.losses.base import AdversarialLoss, Penalty

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bout:
    """A discriminator, and the real and generated images that it is to tell apart.

    Attributes:
        logits: maps images to logits, at least in float32.
        real: (B, C, H, W) real images.
        made: (B, C, H, W) generated images, with gradients.
        shown: the generated images that the discriminator learns from, without gradients; by default `made`.
        beside: (B, C, H, W) images that it sees with both kinds, in additional first channels; None for none.
    """

    logits: Logits
    real: Tensor
    made: Tensor
    shown: Tensor | None = None
    beside: Tensor | None = None


@dataclass(frozen=True)
class Judged:
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

    def detached(self) -> "Judged":
        """Returns the same without gradients."""
        return Judged(self.loss.detach(), self.real.detach(), self.fake.detach(), self.penalties)


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


def judged(
    loss: AdversarialLoss,
    logits: Sequence[Logits],
    real: Tensor,
    generated: Tensor,
    penalties: Iterable[Penalty],
    rng: torch.Generator,
    factor: float = 1.0,
) -> Judged:
    """Computes a discriminator's logits and loss.

    Args:
        loss: what the discriminator minimises.
        logits: two functions from images to logits, at least in float32: for real and for generated images. Penalties
            use the function for real images.
        real: (B, C, H, W) real images.
        generated: (B, C, H, W) generated images, detached.
        penalties: the penalties that are due.
        rng: for the penalties.
        factor: on all penalties.
    """
    of_real, of_generated = logits
    real_logits, fake_logits = of_real(real), of_generated(generated)
    for logits_of, images in ((real_logits, real), (fake_logits, generated)):
        if logits_of.ndim not in (1, 2) or len(logits_of) != len(images):
            raise UserError(
                f"the discriminator returned {in_words(logits_of)} for {len(images)} images: return ({len(images)},) "
                f"logits, or ({len(images)}, n) for n patches"
            )
    total, logged = loss.discriminator(real_logits, fake_logits), {}
    require_scalar(total, f"the result of {type(loss).__name__}.discriminator")
    for penalty in penalties:
        value = penalty(of_real, real, generated, rng)
        require_scalar(value, f"the result of {type(penalty).__name__}.forward")
        value = factor * value
        logged[f"penalty_{type(penalty).__name__.lower()}"] = value.detach() / penalty.every
        total = total + value
    return Judged(total, real_logits, fake_logits, logged)
