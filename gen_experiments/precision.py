"""Modules under `trainer.precision`: some keep float32, others compute in the precision of their weights.

`bf16-true`, `16-true` and `64-true` convert the weights of a model, while images, noise and random numbers are float32
under every precision. Autocast (`bf16-mixed`, `16-mixed`) converts no weights and is left to itself.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class CastsInputs(nn.Module):
    """A module that converts its inputs to the precision of its weights."""

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Calls `forward` with floating-point tensors in the dtype of the first weight, unless autocast is on."""
        return super().__call__(*map(self.as_weights, inputs), **options)

    def as_weights(self, value: Any) -> Any:
        """Returns an input of another method than `forward` as `__call__` converts those of `forward`."""
        weight = next(self.parameters(), None)
        converts = isinstance(value, Tensor) and value.is_floating_point()
        if weight is None or not converts or torch.is_autocast_enabled(weight.device.type):
            return value
        return value.to(weight.dtype)


class KeepsPrecision(nn.Module):
    """A module whose weights and buffers stay in the dtype in which they were made, whatever the trainer's precision.

    The changes of averages, counts and codebooks in a step are too small for bfloat16.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "KeepsPrecision":
        def moved(tensor: Tensor) -> Tensor:
            converted = fn(tensor)
            return converted if converted.dtype == tensor.dtype else tensor.to(converted.device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self


def compiler_options(device: torch.device, precision: str) -> dict[str, bool]:
    """Returns the options of torch's compiler for networks on `device` under `trainer.precision`.

    On CPUs with AMX PyTorch 2.14 computes x + conv(ReLU(conv(x))) wrongly in bfloat16, up to NaN, where the compiler
    brings convolutions to channels last; without that it is right, and slower than without the compiler.
    """
    return {"layout_optimization": False} if device.type == "cpu" and "32" not in precision else {}


def at_least_float32(tensor: Tensor) -> Tensor:
    """Returns a floating-point tensor in float32, or in float64 where it is float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
