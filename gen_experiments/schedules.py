"""Values as pure functions of the number of images seen: learning rates, half-lives, weights, strengths.

A schedule has no state, so a resumed run finds it where it was.
"""

import math
from abc import ABC, abstractmethod

from gen_experiments.errors import UserError


class Schedule(ABC):
    """A value for every number of real images that training has seen."""

    @abstractmethod
    def __call__(self, images: float) -> float:
        """The value after `images` >= 0 images."""


class Constant(Schedule):
    """The same value always.

    Args:
        value: that value.
    """

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def __call__(self, images: float) -> float:
        """The value, whatever `images` is."""
        return self.value


def as_schedule(value: float | Schedule) -> Schedule:
    """A schedule as it is, and a number as one that stays."""
    return value if isinstance(value, Schedule) else Constant(value)


class Cosine(Schedule):
    """Half a cosine from `start` to `end`: v(n) = start + ½(1 − cos(πn/N))(end − start), constant after N images.

    R3GAN (https://arxiv.org/abs/2501.05441) moves every one of its hyperparameters so.

    Args:
        start: the value at 0 images.
        end: the value from `images` on.
        images: N, the length in images; > 0.
        warmup: images over which the value first rises linearly from 0; 0 for none.
    """

    def __init__(self, start: float, end: float, images: int, warmup: int = 0) -> None:
        _check_length(images, warmup)
        self.start, self.end, self.images, self.warmup = start, end, images, warmup

    def __call__(self, images: float) -> float:
        """The value after `images` images."""
        progress = min(images / self.images, 1.0)
        value = self.start + 0.5 * (1.0 - math.cos(math.pi * progress)) * (self.end - self.start)
        return value * _warm(images, self.warmup)


class Linear(Schedule):
    """A straight line from `start` to `end` over `images` images, constant afterwards.

    Args:
        start: the value at 0 images.
        end: the value from `images` on.
        images: the length in images; > 0.
        warmup: images over which the value first rises linearly from 0; 0 for none.
    """

    def __init__(self, start: float, end: float, images: int, warmup: int = 0) -> None:
        _check_length(images, warmup)
        self.start, self.end, self.images, self.warmup = start, end, images, warmup

    def __call__(self, images: float) -> float:
        """The value after `images` images."""
        progress = min(images / self.images, 1.0)
        return (self.start + progress * (self.end - self.start)) * _warm(images, self.warmup)


def _warm(images: float, warmup: int) -> float:
    return min(images / warmup, 1.0) if warmup else 1.0


def _check_length(images: int, warmup: int) -> None:
    if images <= 0 or warmup < 0:
        raise UserError(f"a schedule lasts images > 0 with a warmup >= 0, not images={images}, warmup={warmup}")
