"""What a discriminator is shown, and what it loses on a batch: the loss of its logits, and its penalties."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError
from gen_experiments.losses.base import AdversarialLoss, Penalty

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bout:
    """What a discriminator is to tell apart.

    Attributes:
        logits: of what the discriminator sees, at least in float32.
        real: (B, C, H, W) real images.
        made: (B, C, H, W) images that a generator made, with gradients.
        shown: those that the discriminator learns from, by default the same; gradients do not pass.
        beside: (B, C, H, W) images that it sees with either, in further channels before theirs; None for none.
    """

    logits: Logits
    real: Tensor
    made: Tensor
    shown: Tensor | None = None
    beside: Tensor | None = None


@dataclass(frozen=True)
class Judged:
    """A discriminator's judgement of real and of generated images.

    Attributes:
        loss: scalar, with the penalties.
        real: its logits of the real images.
        fake: its logits of the generated ones.
        penalties: by the name that is logged, each as if it were due in every iteration, without gradient.
    """

    loss: Tensor
    real: Tensor
    fake: Tensor
    penalties: dict[str, Tensor]

    def detached(self) -> "Judged":
        """Returns the same without gradients."""
        return Judged(self.loss.detach(), self.real.detach(), self.fake.detach(), self.penalties)


def due_penalties(penalties: nn.ModuleList, iteration: int) -> list[Penalty]:
    """Returns the penalties whose turn it is."""
    return [part for part in penalties if isinstance(part, Penalty) and iteration % part.every == 0]


def require_first_order(penalties: Iterable[Penalty]) -> None:
    """Makes sure that penalties can be computed of a compiled discriminator.

    Raises:
        UserError: one is on its gradients.
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
    source: torch.Generator,
    factor: float = 1.0,
) -> Judged:
    """Judges images.

    Args:
        loss: what the discriminator minimises.
        logits: images to logits, at least in float32: those of the real images, and of the generated ones. Penalties
            get the first.
        real: (B, C, H, W) real images.
        generated: (B, C, H, W) generated images, detached.
        penalties: those that are due.
        source: where their random numbers come from.
        factor: on all penalties.
    """
    of_real, of_generated = logits
    real_logits, fake_logits = of_real(real), of_generated(generated)
    total, logged = loss.discriminator(real_logits, fake_logits), {}
    for penalty in penalties:
        value = factor * penalty(of_real, real, generated, source)
        logged[f"penalty_{type(penalty).__name__.lower()}"] = value.detach() / penalty.every
        total = total + value
    return Judged(total, real_logits, fake_logits, logged)
