"""Pure functions of trained models, as they are handed to programs that know nothing of this package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gen_experiments.images import ImageSpec


@dataclass(frozen=True)
class PureFunction:
    """Tensors to tensors in evaluation mode, without state and randomness; the first axis of each is the batch.

    Attributes:
        compute: takes the inputs by their places, and returns a tensor or a tuple of them.
        parts: the modules whose weights it reads.
        inputs: an example of each input, of three rows, by its name.
        outputs: the names of the outputs in their order.
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
    """A model, or a part of one, that says which of its functions other programs can compute."""

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns them by their names, which are those of files."""
