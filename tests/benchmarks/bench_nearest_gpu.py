"""The fused search for nearest codes on a CUDA GPU, beside the chunked one and the bare matrix product.

    python tests/benchmarks/bench_nearest_gpu.py [--rounds 10] [--sizes 65536x65536x128]

N latents of D channels and K codes, in alternating turns of one run. Prints the median time, the memory at the peak
beyond latents and codes, and the 2NKD operations as a share of the card's ceiling: the rate of a large square product
in float32, or for the kernel on tensor cores a third of that in TF32, both measured in the same turns. Then, for both
kinds of product, how many latents found another code than by the chunked search, and how much further away it is.
"""

import argparse
import statistics
import sys

import torch

from gen_experiments.quantizers.nearest import chunked_nearest

# The rows of the bare product at a time, so that its result fits on smaller cards, and the side of the square ones.
ROWS = 4096
SIDE = 8192


def matmul(left, right, out, precision):
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.mm(left, right, out=out)
    torch.backends.cuda.matmul.fp32_precision = before


def product(z, codes):
    """The matrix product alone, without the search."""
    out = z.new_empty(min(ROWS, len(z)), len(codes))
    for rows in z.split(ROWS):
        matmul(rows, codes.t(), out[: len(rows)], "ieee")


def seconds(step):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def extra_memory(step):
    """Megabytes at the peak of a step beyond what was held before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def differences(z, codes, found):
    """Rows whose code is not the chunked search's, and the largest excess of ½‖z − e‖², in float64."""
    expected = chunked_nearest(z, codes)
    rows = (found != expected).nonzero().flatten()
    exact, table = z[rows].double(), codes.double()
    halves = [0.5 * (exact - table[index[rows]]).square().sum(1) for index in (found, expected)]
    excess = (halves[0] - halves[1]).max().item() if len(rows) else 0.0
    return len(rows), excess


def compare(size, rounds):
    from gen_experiments.quantizers.nearest_triton import fused_nearest

    count, num_codes, width = map(int, size.split("x"))
    generator = torch.Generator("cuda").manual_seed(0)
    z, codes = (torch.randn(n, width, device="cuda", generator=generator) for n in (count, num_codes))
    square = torch.randn(SIDE, SIDE, device="cuda", generator=generator)
    out = torch.empty_like(square)
    steps = {
        "fused ieee": lambda: fused_nearest(z, codes),
        "fused tf32x3": lambda: fused_nearest(z, codes, "tf32x3"),
        "chunked": lambda: chunked_nearest(z, codes),
        "product": lambda: product(z, codes),
    }
    ceilings = {
        precision: lambda precision=precision: matmul(square, square, out, precision) for precision in ("ieee", "tf32")
    }
    times = {name: [] for name in steps | ceilings}
    for turn in range(rounds + 1):
        for name, step in (steps | ceilings).items():
            time = seconds(step)
            if turn > 0:
                times[name].append(time)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ieee, tf32 = (2 * SIDE**3 / medians[name] for name in ceilings)
    print(f"\nN x K x D = {size}, {rounds} rounds, {torch.cuda.get_device_name()}")
    print(f"ceilings: float32 {ieee / 1e12:.1f} TFLOP/s, a third of TF32 {tf32 / 3e12:.1f} TFLOP/s")
    for name, step in steps.items():
        ceiling = tf32 / 3 if name.endswith("tf32x3") else ieee
        share = 2 * count * num_codes * width / medians[name] / ceiling
        ratio = statistics.median(a / b for a, b in zip(times[name], times["chunked"], strict=True))
        print(
            f"{name:13} {1000 * medians[name]:9.2f} ms {ratio:7.2f} x chunked "
            f"{extra_memory(step):9.1f} MB {share:7.1%} of the ceiling"
        )
    for precision in ("ieee", "tf32x3"):
        number, excess = differences(z, codes, fused_nearest(z, codes, precision))
        print(
            f"fused {precision}: {number} of {count} codes differ, by at most {excess:.1e} in half the squared distance"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--sizes", nargs="+", default=["65536x65536x128"])
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs a CUDA GPU")
    for size in arguments.sizes:
        compare(size, arguments.rounds)
