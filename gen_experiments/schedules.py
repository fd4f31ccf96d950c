"""Values as pure functions of the number of images seen: learning rates, half-lives, weights, strengths.

A schedule has no state, so that a resumed run continues it. Without a length of its own it lasts as long as the run.

Within an iteration a schedule is evaluated at the images seen before the batch (`ImageModel.images_before`), as papers'
code evaluates it at the steps made so far: the first iteration is at 0. After an optimizer's step, for instance for
moving averages, it is evaluated at the images seen before all batches of that step.
"""

import math
from abc import ABC, abstractmethod

from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.errors import UserError, check_interval


class Schedule(Recorded, ABC):
    """A value for every number of real images that training has seen."""

    @abstractmethod
    def __call__(self, images: float) -> float:
        """Returns the value after `images` >= 0 images."""

    @property
    def ends(self) -> tuple[float, ...]:
        """Values between which all others lie; only the first value where a schedule of one's own does not say more."""
        return (self(0),)


class Constant(Schedule):
    """A constant value.

    Args:
        value: the value; finite.

    Raises:
        UserError: the value is not finite.
    """

    def __init__(self, value: float = 1.0) -> None:
        check_interval("(-inf, inf)", value=value)
        self.value = value

    def __call__(self, images: float) -> float:
        """Returns the value, whatever `images` is."""
        return self.value


class WarmingUp(Schedule):
    """min(value, share · images): rises linearly with the images seen up to a value.

    StyleGAN2's ramp-up of the half-life of averaged weights (https://github.com/NVlabs/stylegan2-ada-pytorch,
    `ema_rampup`), whose share is 0.05.

    Args:
        value: the value from `value / share` images on.
        share: the slope; > 0.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, value: float, share: float = 0.05) -> None:
        check_interval("(-inf, inf)", value=value)
        check_interval("(0, inf)", share=share)
        self.value, self.share = value, share

    def __call__(self, images: float) -> float:
        """Returns the value after `images` images."""
        return min(self.value, self.share * images)

    @property
    def ends(self) -> tuple[float, ...]:
        """The first and the last value."""
        return self(0), self.value


def as_schedule(value: float | Schedule) -> Schedule:
    """Returns a schedule unchanged, and a number as a constant schedule."""
    return value if isinstance(value, Schedule) else Constant(value)


def check_schedules(interval: str, **schedules: float | Schedule | None) -> None:
    """Refuses schedules, or numbers in their place, that leave an interval; None is no schedule.

    Args:
        interval: as for `errors.check_interval`.
        schedules: by the names of the user's options.

    Raises:
        UserError: the first value that lies outside, with its option and the interval.
    """
    for name, schedule in schedules.items():
        if schedule is not None:
            for value in schedule.ends if isinstance(schedule, Schedule) else (schedule,):
                check_interval(interval, **{name: value})


class Ramp(Schedule):
    """From `start` to `end` over `images` images, constant afterwards.

    Args:
        start: the value at 0 images.
        end: the value from `images` on.
        images: N, the length in images; > 0. None lasts as long as the run.
        warmup: images over which the value first rises linearly from 0; 0 for none.
        hold: the share of the length for which the value stays at `start`; pix2pix and CycleGAN hold for a half.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, start: float, end: float, images: int | None = None, warmup: int = 0, hold: float = 0.0) -> None:
        check_interval("(-inf, inf)", start=start, end=end)
        check_interval("[0, inf)", warmup=warmup)
        check_interval("[0, 1)", hold=hold)
        if images is not None:
            check_interval("(0, inf)", images=images)
        self.start, self.end, self.images, self.warmup, self.hold = start, end, images, warmup, hold

    def __call__(self, images: float) -> float:
        """Returns the value after `images` images.

        Raises:
            UserError: no length was given, and the run has none.
        """
        gone = min(images / (self.images or _run_length()), 1.0)
        share = self._share(max(gone - self.hold, 0.0) / (1 - self.hold))
        warm = min(images / self.warmup, 1.0) if self.warmup else 1.0
        return (self.start + share * (self.end - self.start)) * warm

    @property
    def ends(self) -> tuple[float, ...]:
        """The value that it starts with after a warm-up, and the last one."""
        return self.start, self.end

    @abstractmethod
    def _share(self, progress: float) -> float:
        """Maps the share of the images that were seen -> the share of the way from start to end; both in [0, 1]."""


class Cosine(Ramp):
    """Half a cosine from `start` to `end`: v(n) = start + ½(1 − cos(πn/N))(end − start), constant after N images.

    R3GAN (https://arxiv.org/abs/2501.05441) changes all its scheduled hyperparameters in this way.
    """

    def _share(self, progress: float) -> float:
        return 0.5 * (1.0 - math.cos(math.pi * progress))


class Linear(Ramp):
    """A straight line from `start` to `end` over N images, constant afterwards."""

    def _share(self, progress: float) -> float:
        return progress


def set_run_length(images: float) -> None:
    """Sets how many real images this process's run sees in total, from its first step on; infinity for no end."""
    global _run_images
    _run_images = images


# Outside of training a schedule is at its start.
_run_images: float | None = None


def _run_length() -> float:
    if _run_images == math.inf:
        raise UserError(
            "a schedule without `images` lasts as long as the run, and this run has no end: "
            "set trainer.max_steps, trainer.max_epochs or the schedule's images"
        )
    return _run_images or math.inf
