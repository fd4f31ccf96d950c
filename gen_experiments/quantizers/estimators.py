"""Gradient estimators: values that equal the codes and have a gradient for the latents."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, linalg

from gen_experiments.checkpoints.arguments import Recorded


def straight_through(z: Tensor, codes: Tensor) -> Tensor:
    """Returns the codes, with the gradient of the identity (https://arxiv.org/abs/1308.3432).

    Args:
        z: (..., D) latents.
        codes: (..., D), their codes.

    Returns:
        (..., D), equal to `codes`; its gradient is z's.
    """
    values: Tensor = _Identity.apply(z, codes)
    return values


def rotate(z: Tensor, codes: Tensor) -> Tensor:
    """Returns the codes as the latents, rotated and scaled onto them (rotation trick, https://arxiv.org/abs/2410.06424).

    With û = z/‖z‖, q̂ = e/‖e‖ and w = (û+q̂)/‖û+q̂‖ the value is (‖e‖/‖z‖)·[z − 2w(wᵀz) + 2q̂(ûᵀz)], in which the
    factor and the vectors û, q̂, w are constants: the angle of gradient and code is that of gradient and latent.

    Args:
        z: (..., D) latents.
        codes: (..., D), their codes.

    Returns:
        (..., D), equal to `codes`; its gradient reaches z by the transposed rotation.
    """
    constant, codes = z.detach(), codes.detach()
    length, target = _norm(constant), _norm(codes)
    start, end = constant / length, codes / target
    middle = start + end
    middle = middle / _norm(middle)
    reflected = z - 2 * middle * (middle * z).sum(-1, keepdim=True)
    turned = (target / length) * (reflected + 2 * end * (start * z).sum(-1, keepdim=True))
    # The rotation is exact up to rounding; codes are exact.
    return codes + (turned - turned.detach())


class Estimator(Recorded, ABC):
    """A gradient estimator, to be injected into a quantizer."""

    @abstractmethod
    def __call__(self, z: Tensor, codes: Tensor) -> Tensor:
        """Maps (..., D) latents and their codes -> (..., D) values that equal the codes and have a gradient for z."""


class StraightThrough(Estimator):
    """The gradient of the values is the gradient of the latents (https://arxiv.org/abs/1308.3432)."""

    def __call__(self, z: Tensor, codes: Tensor) -> Tensor:
        """Applies `straight_through`."""
        return straight_through(z, codes)


class RotationTrick(Estimator):
    """The gradient turns with the rotation from code to latent (https://arxiv.org/abs/2410.06424)."""

    def __call__(self, z: Tensor, codes: Tensor) -> Tensor:
        """Applies `rotate`."""
        return rotate(z, codes)


class _Identity(torch.autograd.Function):
    """Returns `codes`, and passes the gradient to `z` unchanged."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, codes: Tensor) -> Tensor:
        return codes.view_as(codes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.clamp(min=1e-6)
