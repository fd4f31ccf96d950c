"""Pure functions of trained models, for programs that do not use this package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gen_experiments.images import ImageSpec


@dataclass(frozen=True)
class PureFunction:
    """A function of tensors in evaluation mode, without state or randomness; every first axis is the batch.

    Attributes:
        compute: takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
        parts: the modules whose weights it reads.
        inputs: an example of each input, with three rows, by its name.
        outputs: the names of the outputs, in order.
    """

    compute: Callable[..., Tensor | tuple[Tensor, ...]]
    parts: tuple[nn.Module, ...]
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]


def example_images(image: ImageSpec) -> Tensor:
    """Returns three random images, (3, C, H, W) in [-1, 1], as an example of an input."""
    return 2 * torch.rand(3, *image.shape, generator=torch.Generator().manual_seed(0)) - 1


@runtime_checkable
class HasPureFunctions(Protocol):
    """A model, or a part of a model, with functions that other programs can compute."""

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns the functions by name; the name is also the stem of the exported file."""
