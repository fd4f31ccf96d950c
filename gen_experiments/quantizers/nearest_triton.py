"""The nearest code of every latent in one pass of the GPU: products and the smallest distance fused, in Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Codes and channels of one product: as large as leaves the sums of a program in registers, in 48 KB of shared memory.
CODES = 64
CHANNELS = 16


@torch.no_grad()
def fused_nearest(z: Tensor, codes: Tensor, precision: str = "ieee") -> Tensor:
    """Returns the code nearest to each row, by smallest ½‖e‖² − z·e, of which no matrix is ever held.

    Each program keeps the smallest distance so far and its code for a block of rows while it walks over all codes, so
    that beyond the result only the K half squared norms are allocated. The tests run it under Triton's interpreter and
    compile it for GPUs; they have not timed it on one.

    Args:
        z: (N, D) float32 on a CUDA device.
        codes: (K, D) float32 on the same device.
        precision: of the products: `ieee`, full float32, or `tf32x3`, on tensor cores, where each factor is split into
            two TF32 numbers and the product of the two smaller parts is dropped: before rounding of the sum, z·e is off
            by at most 3·2⁻²²·Σ|z_d||e_d|, so that the code found may be one further away by no more than twice that.

    Returns:
        (N,) int64 in [0, K); of equally near codes the first. Where no distance is a number below infinity, 0.
    """
    z, codes = z.contiguous(), codes.contiguous()
    indices = torch.empty(z.shape[0], dtype=torch.int64, device=z.device)
    rows = _rows(z.shape[0])
    with torch.cuda.device_of(z):
        _search[(triton.cdiv(z.shape[0], rows),)](
            z,
            codes,
            0.5 * codes.square().sum(1),
            indices,
            z.shape[0],
            codes.shape[0],
            width=z.shape[1],
            row_block=rows,
            code_block=CODES,
            channel_block=CHANNELS,
            precision=precision,
            num_warps=4,
            enable_fp_fusion=True,
        )
    return indices


def _rows(count: int) -> int:
    """Returns the rows of one program: more, for fewer reads of the codes, where there are programs enough."""
    return 128 if count >= 2**15 else 64


# A last batch that is shorter compiles nothing new.
@triton.jit(do_not_specialize=["num_rows", "num_codes"])  # type: ignore[untyped-decorator]
def _search(
    z: tl.tensor,
    codes: tl.tensor,
    half_norms: tl.tensor,
    found: tl.tensor,
    num_rows: tl.tensor,
    num_codes: tl.tensor,
    width: tl.constexpr,
    row_block: tl.constexpr,
    code_block: tl.constexpr,
    channel_block: tl.constexpr,
    precision: tl.constexpr,
) -> None:
    """Writes to `found` the nearest code of one block of rows."""
    # Elements are counted in 64 bits: N·D and K·D may exceed 2³¹.
    row = tl.program_id(0).to(tl.int64) * row_block + tl.arange(0, row_block)
    smallest = tl.full((row_block,), float("inf"), tl.float32)
    index = tl.zeros((row_block,), tl.int32)
    for first in tl.range(0, num_codes, code_block):
        code = first + tl.arange(0, code_block)
        product = tl.zeros((row_block, code_block), tl.float32)
        for start in tl.range(0, width, channel_block):
            channel = start + tl.arange(0, channel_block)
            latents = tl.load(
                z + row[:, None] * width + channel[None, :],
                mask=(row < num_rows)[:, None] & (channel < width)[None, :],
                other=0.0,
            )
            columns = tl.load(
                codes + code.to(tl.int64)[None, :] * width + channel[:, None],
                mask=(channel < width)[:, None] & (code < num_codes)[None, :],
                other=0.0,
            )
            product = tl.dot(latents, columns, product, input_precision=precision)
        # Codes beyond the last are infinitely far, and so is what is no number: neither is below `smallest`.
        norms = tl.load(half_norms + code, mask=code < num_codes, other=float("inf"))
        distance = norms[None, :] - product
        distance = tl.where(distance < float("inf"), distance, float("inf"))
        least, where = tl.min(distance, axis=1, return_indices=True, return_indices_tie_break_left=True)
        index = tl.where(least < smallest, first + where, index)
        smallest = tl.minimum(smallest, least)
    tl.store(found + row, index.to(tl.int64), mask=row < num_rows)
