"""The two operations that cost: the nearest code of every latent, and the sum of the latents of every code."""

import torch
from torch import Tensor

CHUNK = 4096  # rows of the distance matrix that exist at a time


@torch.no_grad()
def nearest(z: Tensor, codes: Tensor) -> Tensor:
    """The index of the code with the smallest Euclidean distance to each latent; of equals, the first.

    argmin ‖z − e‖² = argmax (z·e − ½‖e‖²) is one matrix product with a bias, always in float32: rounding to fewer bits,
    TF32 included, picks other codes.

    Args:
        z: (N, D).
        codes: (K, D).

    Returns:
        (N,) int64.
    """
    z, codes = z.detach().float(), codes.detach().float()
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(z.device.type, enabled=False):
            bias, columns = -0.5 * codes.square().sum(1), codes.T
            return torch.cat([torch.addmm(bias, rows, columns).argmax(1) for rows in z.split(CHUNK)])
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32


def sums_by_code(z: Tensor, indices: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """How many latents each code has, and their sum: (N, D), (N,) -> (K,), (K, D) float32."""
    counts = torch.bincount(indices, minlength=num_codes).to(z.dtype)
    return counts, z.new_zeros(num_codes, z.shape[1]).index_add_(0, indices, z)
