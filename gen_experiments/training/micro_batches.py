"""Micro-batches: a batch split for gradient accumulation, together with the random numbers of its images."""

from dataclasses import dataclass

from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.images import Batch


@dataclass(frozen=True)
class MicroBatch:
    """The inputs of one pass through both networks.

    Attributes:
        images: (B, C, H, W) real images.
        labels: (B,) int64, or None.
        noise: (B, latent_dim), of the generated images.
        draws: (B, 2, draws) random numbers of the augmentation of the real and of the generated images, or None.
    """

    images: Tensor
    labels: Tensor | None
    noise: Tensor
    draws: Tensor | None


def split(batch: Batch, noise: Tensor, draws: Tensor | None, count: int) -> list[MicroBatch]:
    """Returns `count` micro-batches of equal size, with their noise and their random numbers.

    Raises:
        UserError: `count` does not divide the batch.
    """
    if len(batch.images) % count:
        raise UserError(f"model.accumulate={count} must divide the {len(batch.images)} images of a device's batch")
    none = [None] * count
    labels = none if batch.labels is None else batch.labels.chunk(count)
    draws_of = none if draws is None else draws.chunk(count)
    return [
        MicroBatch(*part) for part in zip(batch.images.chunk(count), labels, noise.chunk(count), draws_of, strict=True)
    ]
