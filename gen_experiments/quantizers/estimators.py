"""How a gradient passes the quantization, which has none of its own."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F


def straight_through(z: Tensor, codes: Tensor) -> Tensor:
    """Z + sg(e − z): the value of the code, the gradient of the identity (https://arxiv.org/abs/1308.3432).

    Args:
        z: (N, D) latents.
        codes: (N, D) their codes.
    """
    return z + (codes - z).detach()


def rotation(z: Tensor, codes: Tensor) -> Tensor:
    """Turns and scales z onto its code, by a transformation that is held constant (https://arxiv.org/abs/2410.06424).

    With û = z/‖z‖, q̂ = e/‖e‖ and w = (û + q̂)/‖û + q̂‖: (‖e‖/‖z‖) · [z − 2w(wᵀz) + 2q̂(ûᵀz)]. The gradient keeps its angle
    to the code.

    Args:
        z: (N, D) latents.
        codes: (N, D) their codes.
    """
    with torch.no_grad():
        z_norm = z.norm(dim=1, keepdim=True).clamp_min(1e-6)
        code_norm = codes.norm(dim=1, keepdim=True).clamp_min(1e-6)
        u, q = z / z_norm, codes / code_norm
        w = F.normalize(u + q, dim=1, eps=1e-6)
    turned = z - 2 * w * (w * z).sum(1, keepdim=True) + 2 * q * (u * z).sum(1, keepdim=True)
    return code_norm / z_norm * turned


class Estimator(ABC):
    """(N, D) latents and their (N, D) codes -> (N, D) with the codes' values and a gradient w.r.t. the latents."""

    @abstractmethod
    def __call__(self, z: Tensor, codes: Tensor) -> Tensor:
        """The codes, with a gradient."""


class StraightThrough(Estimator):
    """See `straight_through`."""

    def __call__(self, z: Tensor, codes: Tensor) -> Tensor:
        """The codes, with the gradient of the identity."""
        return straight_through(z, codes)


class Rotation(Estimator):
    """See `rotation`."""

    def __call__(self, z: Tensor, codes: Tensor) -> Tensor:
        """The codes, with the gradient of the rotation onto them."""
        return rotation(z, codes)
