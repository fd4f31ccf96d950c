"""Exponential moving average of a network's weights, with its half-life in images."""

import copy
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gen_experiments.precision import CastsInputs, KeepsPrecision
from gen_experiments.schedules import Schedule, WarmingUp, check_schedules


def half_life_schedule(half_life: float | Schedule) -> Schedule:
    """Returns the half-life as a function of images seen: a number is warmed up (`WarmingUp`), a schedule unchanged.

    Without the warm-up, the average of a run shorter than its half-life would consist mostly of the initial weights.

    Raises:
        UserError: it is negative, infinite or NaN somewhere.
    """
    check_schedules("[0, inf)", ema_half_life=half_life)
    return half_life if isinstance(half_life, Schedule) else WarmingUp(half_life)


class EMA(CastsInputs, KeepsPrecision):
    """A copy of `module` whose weights are an exponential moving average of the original's.

    The average decays by β = 0.5^(images / half-life) at each update, whatever the batch size (StyleGAN2,
    https://arxiv.org/abs/1912.04958). Buffers, such as batch norm's statistics, are copied. The state_dict holds both;
    they have no gradients.

    Args:
        module: the network to follow; its current state is copied.
        average_buffers: average floating-point buffers too, such as a codebook that is no parameter.
    """

    def __init__(self, module: nn.Module, average_buffers: bool = False) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.average_buffers = average_buffers

    def train(self, mode: bool = True) -> "EMA":
        """Stays in evaluation mode: an average is not trained."""
        return super().train(False)

    @torch.no_grad()
    def update(self, module: nn.Module, images: int, half_life: float) -> None:
        """Moves the average towards `module` after a step over `images` images.

        Args:
            module: the network followed.
            images: real images since the last update, over all processes.
            half_life: images after which a weight's share has halved; 0 copies.
        """
        decay = 0.5 ** (images / max(half_life, 1e-8))
        averages: list[Tensor] = list(self.module.parameters())
        weights: list[Tensor] = list(module.parameters())
        for average, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            if self.average_buffers and buffer.is_floating_point():
                averages.append(average)
                weights.append(buffer)
            else:
                average.copy_(buffer)
        if averages:
            same = [weight.to(average.dtype) for average, weight in zip(averages, weights, strict=True)]
            torch._foreach_lerp_(averages, same, 1.0 - decay)

    def forward(self, *args: Tensor | None) -> Tensor:
        """Calls the averaged network."""
        result: Tensor = self.module(*args)
        return result


@runtime_checkable
class HasAverages(Protocol):
    """A model with moving averages of its parts."""

    def averaged_parts(self) -> list[tuple[EMA, nn.Module]]:
        """Returns the moving averages, each with the part that it follows."""
