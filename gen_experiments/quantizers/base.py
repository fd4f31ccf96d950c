"""The contract of every quantizer: continuous latents in, codes and their latents out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from gen_experiments.precision import CastsInputs, KeepsPrecision
from gen_experiments.recorded import Recorded

MOST_CODES = 2**24


@dataclass(frozen=True)
class Quantized:
    """What a quantizer makes of a batch of latents.

    Attributes:
        values: (B, D, h, w), the quantized latents; their gradient reaches the encoder.
        indices: (B, h, w) int64 in [0, codebook_size); (B, depth, h, w) where depth > 1; (B, L), one grid after the
            other, where the grids differ.
        loss: scalar, what the quantizer adds to the training loss (0 for one without a loss).
    """

    values: Tensor
    indices: Tensor
    loss: Tensor


class Quantizer(Recorded, CastsInputs, KeepsPrecision, ABC):
    """Maps latents to a finite set of codes and back, in float32 whatever the precision of the networks around it.

    Attributes:
        dim: D, the channels of the latents it takes.
        codebook_size: the number of different indices.
        depth: indices that a latent takes; > 1 for a quantizer of several levels, the coarsest first.
    """

    dim: int
    codebook_size: int
    depth: int = 1

    @abstractmethod
    def forward(self, z: Tensor) -> Quantized:
        """Quantizes (B, D, h, w) latents.

        In training mode this may learn (averages, starts, revivals), in step on all processes; in evaluation it changes
        nothing.
        """

    @abstractmethod
    def decode(self, indices: Tensor) -> Tensor:
        """Returns the latents of given codes: (B, h, w) int64 -> (B, D, h, w), equal to `values` of the forward pass.

        Where depth > 1: (B, n, h, w) with 1 <= n <= depth, the first n levels.
        """

    def decode_grid(self, indices: Tensor, height: int, width: int) -> Tensor:
        """Returns the same of indices of latents of height x width, which their shape need not tell."""
        return self.decode(indices)

    def grids(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Returns the grids of the indices, in their order, of latents of height x width."""
        return ((height, width),) * self.depth
