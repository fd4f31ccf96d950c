"""The contract of every quantizer: continuous latents in, codes and their latents out."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.contracts import in_words, require_scalar, require_shape
from gen_experiments.errors import UserError
from gen_experiments.precision import CastsInputs, KeepsPrecision

MAX_CODES = 2**24
# The largest difference of `decode` and `values`, as a share of the largest value: 16 bits round to 0.4%.
CLOSE = 0.02


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

    @property
    def is_single(self) -> bool:
        """Whether there is one index for each latent."""
        return self.grids(2, 2) == ((2, 2),)


def check_quantized(quantizer: Quantizer, z: Tensor, quantized: object) -> None:
    """Refuses what `Quantizer.forward` may not return for (B, D, h, w) latents; the codes' range is not looked at.

    Raises:
        UserError: it is no `Quantized`, has a wrong shape or dtype, or would leave the encoder untrained.
    """
    name = f"{type(quantizer).__name__}.forward"
    if not isinstance(quantized, Quantized):
        raise UserError(
            f"{name} returned a {type(quantized).__name__}: return a gen_experiments.quantizers.base.Quantized"
        )
    require_shape(quantized.values, tuple(z.shape), f"the values of {name}")
    grids = quantizer.grids(z.shape[-2], z.shape[-1])
    levels = (len(grids),) if len(grids) > 1 else ()
    shape = (*levels, *grids[0]) if len(set(grids)) == 1 else (sum(map(math.prod, grids)),)
    require_shape(quantized.indices, (len(z), *shape), f"the indices of {name}")
    if quantized.indices.dtype != torch.int64:
        raise UserError(f"the indices of {name} must be int64, not {in_words(quantized.indices)}")
    require_scalar(quantized.loss, f"the loss of {name}")
    if z.requires_grad and not (quantized.values.requires_grad or quantized.loss.requires_grad):
        raise UserError(
            f"{name} returned values and a loss without gradient, so that the encoder would not be trained: "
            "pass the gradient on, as in z + (values - z).detach()"
        )


@torch.no_grad()
def check_codes(quantizer: Quantizer, z: Tensor) -> None:
    """Refuses a quantizer whose codes, in evaluation mode, lie out of range or are not decoded to its values.

    The state of the quantizer stays as it is.

    Args:
        quantizer: what to check.
        z: (B, D, h, w) latents; with NaN or infinity nothing is checked.

    Raises:
        UserError: they do, or are not.
    """
    if not z.isfinite().all():
        return  # the encoder is to blame, and the loss will say so
    modes, z = [(part, part.training) for part in quantizer.modules()], z.detach()
    try:
        quantizer.eval()
        quantized = quantizer(z)
        check_quantized(quantizer, z, quantized)
        least, most = (int(end) for end in quantized.indices.aminmax())
        name, size = type(quantizer).__name__, quantizer.codebook_size
        if least < 0 or most >= size:
            raise UserError(f"{name}.forward returned indices from {least} to {most}: they must be in [0, {size})")
        decoded = quantizer.decode_grid(quantized.indices, z.shape[-2], z.shape[-1])
        require_shape(decoded, tuple(z.shape), f"the result of {name}.decode")
        values = quantized.values.float()
        if not (decoded - values).abs().max() <= CLOSE * values.abs().max():
            raise UserError(f"{name}.decode does not return the values of {name}.forward for the same indices")
    finally:
        for part, training in modes:
            part.training = training
        # Under autocast older PyTorch (https://github.com/pytorch/pytorch/issues/158232) keeps the weights that were
        # cast here, without gradients, and the training step after this check would not train them.
        torch.clear_autocast_cache()


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
