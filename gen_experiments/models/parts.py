"""A batch cut into parts that are trained on one after the other, each with the random numbers that are its own."""

from dataclasses import dataclass

from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.images import Batch


@dataclass(frozen=True)
class Part:
    """What one pass through both networks needs.

    Attributes:
        images: (B, C, H, W) real images.
        labels: (B,) int64, or None.
        noise: (B, latent_dim), from which as many are generated.
        drawn: (B, 2, draws) random numbers of the augmentation of the real and of the generated images, or None.
    """

    images: Tensor
    labels: Tensor | None
    noise: Tensor
    drawn: Tensor | None


def cut(batch: Batch, noise: Tensor, drawn: Tensor | None, parts: int) -> list[Part]:
    """`parts` equal parts of a batch and of what was drawn for it.

    Raises:
        UserError: the batch cannot be cut so.
    """
    if len(batch.images) % parts:
        raise UserError(f"model.accumulate={parts} must divide the {len(batch.images)} images of a device's batch")
    nothing = [None] * parts
    labels = nothing if batch.labels is None else batch.labels.chunk(parts)
    numbers = nothing if drawn is None else drawn.chunk(parts)
    return [Part(*each) for each in zip(batch.images.chunk(parts), labels, noise.chunk(parts), numbers, strict=True)]
