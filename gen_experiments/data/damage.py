"""Damage of pictures that a model learns to restore, drawn anew for each image and epoch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gen_experiments import randomness
from gen_experiments.checkpoints.arguments import Recorded, arguments_of
from gen_experiments.errors import UserError, check_interval
from gen_experiments.randomness import Stream


class Damage(Recorded, ABC):
    """A kind of damage, of random strength.

    A strength is given as [least, most] and drawn uniformly between them for each image.

    Attributes:
        strength: the name of the argument for the strength; None for a kind without strength.
        of_colours: whether it takes only grey and RGB images.
    """

    strength: ClassVar[str | None] = None
    of_colours: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Damages images, each by random numbers of its seed alone (`randomness.uniform_of`).

        Args:
            images: (B, C, H, W) float32 in [-1, 1].
            seeds: (B,) int64.

        Returns:
            The same shape; values outside [-1, 1] are clamped afterwards.
        """

    def fixed(self) -> list["Damage"]:
        """Returns this kind at its least and at its greatest strength; itself if it has no strength."""
        if self.strength is None:
            return [self]
        ends = dict.fromkeys(getattr(self, self.strength))
        return [type(self)(**arguments_of(self) | {self.strength: (end, end)}) for end in ends]


class OneOf(Damage):
    """One of several kinds, chosen at random for each image.

    Args:
        parts: the kinds; at least one.

    Raises:
        UserError: there is no kind.
    """

    def __init__(self, parts: list[Damage]) -> None:
        if not parts:
            raise UserError("OneOf needs at least one kind of damage in parts")
        self.parts = parts

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Damages every image by the kind that is drawn for it."""
        chosen = (randomness.uniform_of(randomness.seeds_of(seeds, Stream.CHOICE)) * len(self.parts)).long()
        result = images
        for number, part in enumerate(self.parts):
            result = torch.where((chosen == number)[:, None, None, None], damage_images(images, [part], seeds), result)
        return result

    def fixed(self) -> list[Damage]:
        """Returns the fixed kinds of all parts."""
        return [kind for part in self.parts for kind in part.fixed()]


def damage_images(images: Tensor, parts: Sequence[Damage], seeds: Tensor) -> Tensor:
    """Returns (B, C, H, W) images in [-1, 1] after all kinds of damage in turn, by (B,) int64 seeds.

    Raises:
        UserError: a kind of damage to colours, and images of neither 1 nor 3 channels.
    """
    for number, part in enumerate(parts):
        if part.of_colours and images.shape[1] not in (1, 3):
            raise UserError(
                f"{type(part).__name__} is for images of 1 or 3 channels, not {images.shape[1]}: leave it out"
            )
        images = part(images, randomness.seeds_of(seeds, Stream.PART, number)).clamp(-1, 1)
    return images


def check_range(interval: str, **ranges: tuple[float, float]) -> None:
    """Refuses strengths outside an interval (`errors.check_interval`), and [least, most] with least > most.

    Raises:
        UserError: the first such strength.
    """
    for name, (least, most) in ranges.items():
        check_interval(interval, **{name: least})
        check_interval(interval, **{name: most})
        if least > most:
            raise UserError(f"{name} must be [least, most], not [{least:g}, {most:g}]")


def draw_strength(strength: tuple[float, float], uniform: Tensor) -> Tensor:
    """Returns strengths between the two for (B,) numbers in [0, 1), as (B, 1, 1, 1)."""
    return (strength[0] + (strength[1] - strength[0]) * uniform)[:, None, None, None]
