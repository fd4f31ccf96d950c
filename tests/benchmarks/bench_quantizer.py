"""A training step of a codebook: ours, vector-quantize-pytorch's, the usual port's, beside the bare matrix product.

    python tests/benchmarks/bench_quantizer.py [--rounds 5] [--sizes 16384x512x64 16384x16384x256]

Forward, backward and moving averages of N latents of D channels and K codes. Each of the others takes turns with ours,
in one run on the threads that OMP_NUM_THREADS gives: pair by pair, because a contestant that gives gigabytes back to
the system slows whoever comes after it. Prints both medians, the median and the range of the turns' ratios, and the
memory that a step takes beyond latents and codebook, measured in a process of its own.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from gen_experiments.quantizers.ema import EMAQuantizer


def ours(z, num_codes):
    # As in the library by default, no code is revived.
    quantizer = EMAQuantizer(num_codes, z.shape[1], kmeans_start=False, revive_below=0.0)
    quantizer.codebook.copy_(codes(z, num_codes))

    def step():
        quantized = quantizer(z)
        (quantized.values.mean() + quantized.loss).backward()

    return step


def library(z, num_codes):
    from vector_quantize_pytorch import VectorQuantize

    quantizer = VectorQuantize(
        z.shape[1], num_codes, decay=0.99, commitment_weight=0.25, rotation_trick=False, accept_image_fmap=True
    )
    quantizer.codebook = codes(z, num_codes)

    def step():
        values, _, loss = quantizer(z)
        (values.mean() + loss.sum()).backward()

    return step


def port(z, num_codes):
    """As in most repositories: the matrix of distances, one-hot codes, products with them."""
    table = codes(z, num_codes)
    hits, sums = torch.ones(num_codes), table.clone()

    def step():
        grid = z.permute(0, 2, 3, 1).contiguous()
        rows = grid.view(-1, z.shape[1])
        one_hot = F.one_hot(torch.cdist(rows.detach(), table).argmin(1), num_codes).float()
        values = (one_hot @ table).view_as(grid)
        hits.mul_(0.99).add_(one_hot.sum(0), alpha=0.01)
        sums.mul_(0.99).add_(one_hot.T @ rows.detach(), alpha=0.01)
        smoothed = (hits + 1e-5) / (hits.sum() + num_codes * 1e-5) * hits.sum()
        table.copy_(sums / smoothed[:, None])
        loss = 0.25 * F.mse_loss(grid, values)
        (grid + (values - grid).detach()).permute(0, 3, 1, 2).contiguous().mean().add(loss).backward()

    return step


def product(z, num_codes):
    """The matrix product alone: what no exact search can do without."""
    rows = z.detach().movedim(1, -1).flatten(0, -2)
    table = codes(z, num_codes).T
    result = torch.empty(rows.shape[0], num_codes)
    return lambda: torch.mm(rows, table, out=result)


CONTESTANTS = {"ours": ours, "library": library, "port": port, "product": product}


def codes(z, num_codes):
    return torch.randn(num_codes, z.shape[1], generator=torch.Generator().manual_seed(1))


def latents(size):
    """N latents as images of 8x8, and K."""
    rows, num_codes, dim = map(int, size.split("x"))
    z = torch.randn(rows // 64, dim, 8, 8, generator=torch.Generator().manual_seed(0))
    return z.requires_grad_(), num_codes


def extra_memory(name, size):
    """Prints the megabytes that a step takes at its peak above what was held before it."""
    step = CONTESTANTS[name](*latents(size))
    small = CONTESTANTS[name](*latents("64x8x4"))
    small()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    print((_status("VmHWM") - before) / 1024)


def _status(field):
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def compare(size, rounds):
    z, num_codes = latents(size)
    print(f"\nN x K x D = {size}, {rounds} rounds, {torch.get_num_threads()} threads")
    print(f"ours takes {memory('ours', size):.0f} MB")
    for name in ("library", "port", "product"):
        pair = [CONTESTANTS["ours"](z, num_codes), CONTESTANTS[name](z, num_codes)]
        seconds(z, pair)
        turns = [seconds(z, pair) for _ in range(rounds)]
        own, other = (1000 * statistics.median(each) for each in zip(*turns, strict=True))
        ratios = sorted(theirs / mine for mine, theirs in turns)
        print(
            f"ours {own:7.1f} ms, {name:7} {other:7.1f} ms: {statistics.median(ratios):5.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}) times ours, {memory(name, size):5.0f} MB"
        )


def seconds(z, steps):
    """What each of `steps` takes, one after the other."""
    taken = []
    for step in steps:
        z.grad = None
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return taken


def memory(name, size):
    call = [sys.executable, __file__, "--memory", name, "--sizes", size]
    return float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=["16384x512x64", "16384x16384x256"])
    parser.add_argument("--memory", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        extra_memory(arguments.memory, arguments.sizes[0])
    else:
        for size in arguments.sizes:
            compare(size, arguments.rounds)
