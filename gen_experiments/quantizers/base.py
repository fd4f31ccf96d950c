"""The contract of every quantizer: continuous latents in, codes and their latents out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gen_experiments.precision import CastsInputs, KeepsPrecision
from gen_experiments.recorded import Recorded

MOST_CODES = 2**24


@dataclass(frozen=True)
class Quantized:
    """The codes of a batch of latents.

    Attributes:
        values: (B, D, h, w), the quantized latents; their gradient reaches the encoder.
        indices: (B, h, w) int64 in [0, codebook_size); (B, depth, h, w) if depth > 1; (B, L), one grid after the other,
            if the grids differ.
        loss: scalar, the quantizer's term of the training loss; 0 for none.
    """

    values: Tensor
    indices: Tensor
    loss: Tensor


class Quantizer(Recorded, CastsInputs, KeepsPrecision, ABC):
    """Maps latents to a finite set of codes and back, in float32 whatever the precision of the networks around it.

    Attributes:
        dim: D, the channels of the latents.
        codebook_size: the number of different indices.
        depth: indices per latent; > 1 for a quantizer of several levels, the coarsest first.
    """

    dim: int
    codebook_size: int
    depth: int = 1

    @abstractmethod
    def forward(self, z: Tensor) -> Quantized:
        """Quantizes (B, D, h, w) latents.

        In training mode this may update the codebook (averages, starts, revivals), equally on all processes; in
        evaluation mode it changes nothing.
        """

    @abstractmethod
    def decode(self, indices: Tensor) -> Tensor:
        """Returns the latents of given codes: (B, h, w) int64 -> (B, D, h, w), equal to `values` of the forward pass.

        Where depth > 1: (B, n, h, w) with 1 <= n <= depth, the first n levels.
        """

    def decode_grid(self, indices: Tensor, height: int, width: int) -> Tensor:
        """Returns the same for latents of height x width, which the shape of the indices need not show."""
        return self.decode(indices)

    def grids(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Returns the grids of the indices, in order, for latents of height x width."""
        return ((height, width),) * self.depth


class CountsSteps(nn.Module):
    """Adds to a quantizer a count of its training batches, which is part of the state_dict.

    Attributes:
        steps: training batches seen.
    """

    steps: int = 0

    def get_extra_state(self) -> Tensor:
        """Returns the steps as a tensor on the CPU."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the steps."""
        self.steps = int(state)
