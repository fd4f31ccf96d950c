"""Distances between images and their reconstructions."""

from abc import ABC, abstractmethod

from torch import Tensor

from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.errors import check_interval
from gen_experiments.precision import at_least_float32

EPSILON = 1e-8  # HINet's; an image without an error has 80 dB


class ReconstructionLoss(Recorded, ABC):
    """A differentiable distance between images and their reconstructions.

    Attributes:
        weight: the factor.
    """

    def __init__(self, weight: float = 1.0) -> None:
        """Sets the attributes.

        Raises:
            UserError: a negative weight.
        """
        check_interval("[0, inf)", weight=weight)
        self.weight = weight

    @abstractmethod
    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the weighted scalar distance of two (B, C, H, W) batches in [-1, 1]."""


class MSE(ReconstructionLoss):
    """weight · mean (x̂ − x)² over all elements; pixels in [-1, 1], so four times that of pixels in [0, 1].

    Args:
        weight: its factor; >= 0.
    """

    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the weighted mean squared error."""
        return self.weight * (reconstruction - images).square().mean()


class L1(ReconstructionLoss):
    """weight · mean |x̂ − x| over all elements; pixels in [-1, 1], so twice that of pixels in [0, 1].

    Args:
        weight: its factor; >= 0.
    """

    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the weighted mean absolute error."""
        return self.weight * (reconstruction - images).abs().mean()


class NegativePSNR(ReconstructionLoss):
    """The loss of HINet (https://arxiv.org/abs/2105.06086): minus the PSNR in dB, averaged over the images.

    weight · mean of 10 log₁₀(MSE + 1e-8), with each image's own MSE of pixels on a [0, 1] scale. An image that is
    nearly right counts as much as one that is far off: in `MSE` and `L1` the most damaged images outweigh the others.

    Args:
        weight: its factor; >= 0.
    """

    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the weighted mean of the images' negative PSNR."""
        errors = at_least_float32(reconstruction - images).square().flatten(1).mean(1) / 4
        return self.weight * 10 * (errors + EPSILON).log10().mean()
