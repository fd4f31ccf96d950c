"""The search for the code nearest to each latent: the expensive operation of a codebook."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

# Latents and codes of one matrix product: few enough that its 8 MB of scores are still in cache when the largest is
# sought, and enough that reading both takes little time beside the product.
ROWS, COLUMNS = 1024, 2048
# The rows of both factors are padded to a multiple of this length: others leave a remainder to slower code.
ALIGNMENT = 8
# Codes of a block: first the block with the largest score is found, by amax, then the code in it, by argmax. Only amax
# is vectorized.
BLOCK = 64


@torch.no_grad()
def nearest(z: Tensor, codes: Tensor) -> Tensor:
    """Returns the code nearest to each row, by largest (z−m)·(e−m) − ½‖e−m‖², always in full float32.

    m is the mean of the codes: far from the origin rounding would hide the differences of z·e between neighbouring
    codes. On GPUs with Triton one fused kernel is used, everywhere else a GEMM in chunks.

    Args:
        z: (N, D) float32.
        codes: (K, D) float32.

    Returns:
        (N,) int64 in [0, K); of equally near codes the first.
    """
    if torch.compiler.is_exporting():
        return _exportable(z, codes)
    if not len(z):  # of a process without images
        return torch.empty(0, dtype=torch.int64, device=z.device)
    fused = fused_search(z.device, z.shape[1]) if z.is_cuda else None
    if fused is None:
        return chunked_nearest(z, codes)
    centre = codes.mean(0)
    return fused(z - centre, codes - centre)


def _exportable(z: Tensor, codes: Tensor) -> Tensor:
    """Returns the same as one product, which every program can compute for any number of rows."""
    centre = codes.mean(0)
    centred = codes - centre
    return ((z - centre) @ centred.T - 0.5 * centred.square().sum(1)).argmax(1)


@cache
def fused_search(device: torch.device, width: int) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Returns the fused kernel, tried once on `device` with latents of `width` channels; None where it does not run.

    Without Triton there is none; a warning says why an installed one does not run.
    """
    try:
        from gen_experiments.quantizers.nearest_triton import fused_nearest
    except ImportError:
        return None
    probe = torch.zeros(1, width, device=device)
    try:
        fused_nearest(probe, probe)
    # Triton says in many ways that it lacks a C compiler, Python's headers or a new enough card.
    except Exception as error:
        warnings.warn(
            f"nearest codes are sought without the fused kernel, which fails on {device}: {error}", stacklevel=2
        )
        return None
    return fused_nearest


@torch.no_grad()
def chunked_nearest(z: Tensor, codes: Tensor) -> Tensor:
    """Does what `nearest` does on any device: a GEMM in chunks, reduced while they are in cache."""
    (count, width), num_codes = z.shape, codes.shape[0]
    block = min(BLOCK, num_codes)
    # A column of ones adds the bias within the product, and zeros follow it; the codes that fill up the last block are
    # infinitely far.
    aligned = width + 1 + -(width + 1) % ALIGNMENT
    table = codes.new_zeros(num_codes + -num_codes % block, aligned)
    parts = table.split(COLUMNS)
    rows = z.new_zeros(min(ROWS, count), aligned)
    rows[:, width] = 1.0
    scores = z.new_empty(len(rows) * len(parts[0]))
    indices = []
    with torch.autocast(z.device.type, enabled=False), _full_float32():
        centre = codes.mean(0)
        centred = torch.sub(codes, centre, out=table[:num_codes, :width])
        table[:num_codes, width] = -0.5 * torch.linalg.vecdot(centred, centred)
        table[num_codes:, width] = -torch.inf
        for chunk in z.split(ROWS):
            latents = rows[: len(chunk)]
            torch.sub(chunk, centre, out=latents[:, :width])
            best, index = chunk.new_full((len(chunk),), -torch.inf), chunk.new_zeros(len(chunk), dtype=torch.int64)
            for number, part in enumerate(parts):
                out_rows = scores[: len(chunk) * len(part)].view(len(chunk), len(part))
                largest, where = _largest(torch.mm(latents, part.t(), out=out_rows), block)
                # Of equal scores the earlier part's stays.
                index = torch.where(largest > best, number * COLUMNS + where, index)
                best = torch.maximum(largest, best)
            indices.append(index)
    # A latent that is not finite may have found a code that only fills up the last block.
    return torch.cat(indices).clamp_(max=num_codes - 1)


def _largest(scores: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Returns the largest score in each row of (n, K), and its column, (n,) and (n,) int64; `block` divides K."""
    blocks = scores.view(scores.shape[0], -1, block)
    largest, best = blocks.amax(2).max(1)
    number = torch.arange(0, blocks.shape[0] * blocks.shape[1], blocks.shape[1], device=scores.device) + best
    return largest, best * block + blocks.flatten(0, 1).index_select(0, number).argmax(1)


@contextmanager
def _full_float32() -> Iterator[None]:
    """Keeps matrix products out of TF32 and bfloat16, which merge codes that lie close together."""
    cuda: Any = torch.backends.cuda
    cpu: Any = torch.backends.mkldnn
    if not hasattr(cpu, "matmul"):  # PyTorch before 2.9 has one setting for all devices
        setting = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(setting)
        return
    backends = (cuda.matmul, cpu.matmul)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
