"""The nearest code of every latent: the one operation of a codebook that costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# Scores held at a time, in elements: 16 MB of them, so that the largest is sought while they are in cache.
CHUNK = 2**22


@torch.no_grad()
def nearest(z: Tensor, codes: Tensor) -> Tensor:
    """The code nearest to each row, by largest z·e − ½‖e‖²: one GEMM in chunks, always in full float32.

    Args:
        z: (N, D) float32.
        codes: (K, D) float32.

    Returns:
        (N,) int64 in [0, K).
    """
    rows = max(1, CHUNK // codes.shape[0])
    found = torch.empty(z.shape[0], dtype=torch.int64, device=z.device)
    scores = z.new_empty((min(rows, z.shape[0]), codes.shape[0]))
    with torch.autocast(z.device.type, enabled=False), _full_float32():
        bias = codes.square().sum(1).mul_(-0.5)
        for chunk, result in zip(torch.split(z, rows), torch.split(found, rows), strict=True):
            torch.argmax(torch.addmm(bias, chunk, codes.t(), out=scores[: len(chunk)]), 1, out=result)
    return found


@contextmanager
def _full_float32() -> Iterator[None]:
    """Keeps matrix products out of TF32 and bfloat16, which merge codes that lie close together."""
    cuda: Any = torch.backends.cuda
    cpu: Any = torch.backends.mkldnn
    backends = (cuda.matmul, cpu.matmul)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
