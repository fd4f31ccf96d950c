"""How much recall and coverage vary between samples, without resamples: repeated images would spoil neighbours."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from gen_experiments.metrics.neighbours import CHUNK, radii

KEPT = 0.9  # share of the generated images in a subsample


class Deviations(NamedTuple):
    """Standard deviations over samples of as many generated images, for fixed real images."""

    recall: float
    coverage: float


def overlap_deviations(
    generated: Tensor,
    real: Tensor,
    repeats: int,
    neighbours: int = 3,
    wide_neighbours: int = 5,
    seed: int = 0,
    steps: Callable[[int], Iterable[object]] = range,
) -> Deviations:
    """Returns the deviations by the delete-d jackknife (Shao and Wu 1989, https://doi.org/10.1214/aos/1176347263).

    A resample with replacement has equal images, whose balls have no radius. Therefore subsamples of m = 0.9 N images
    are drawn without replacement, and the variance of their scores is multiplied by m/(N − m). What j images do
    together is counted about j times (Efron and Stein 1981, https://doi.org/10.1214/aos/1176345462), so that intervals
    are rather too wide than too narrow, and by far too wide where nearly all real images are found.

    Args:
        generated: (N, D) features, N > 4k.
        real: (M, D) features.
        repeats: subsamples.
        neighbours: k of recall.
        wide_neighbours: k of coverage.
        seed: of the draws.
        steps: iterates over a number of steps and may show the progress.
    """
    centre = real.double().mean(0)
    generated, real = generated.double() - centre, real.double() - centre
    (wide,) = radii(real, (wide_neighbours,))
    looked_at = 4 * neighbours  # fewer than k of 12 are kept in one of 10⁸ subsamples
    nearest, recalling, covering = [], [], []
    for start in range(0, len(generated), CHUNK):
        part = generated[start : start + CHUNK]
        own = torch.cdist(part, generated).topk(1 + looked_at, largest=False)
        nearest.append(own.indices[:, 1:])
        distances = torch.cdist(part, real)
        # A real image lies in a ball of k neighbours where fewer than k of the others are nearer.
        nearer = torch.searchsorted(own.values[:, 1:].contiguous(), distances)
        recalling.append(_pairs(nearer < looked_at, start, nearer))
        covering.append(_pairs(distances < wide, start))
    others, recalls, covers = torch.cat(nearest), torch.cat(recalling, 1), torch.cat(covering, 1)
    rng, count = torch.Generator().manual_seed(seed), len(generated)
    kept = round(KEPT * count)
    subsamples = []
    for _ in steps(repeats):
        chosen = torch.zeros(count, dtype=torch.int64)
        chosen[torch.randperm(count, generator=rng)[:kept]] = 1
        before = torch.cat([torch.zeros(count, 1, dtype=torch.int64), chosen[others].cumsum(1)], 1)
        inside = chosen[recalls[0]].bool() & (before[recalls[0], recalls[2]] < neighbours)
        subsamples.append(
            [_share(recalls[1][inside], len(real)), _share(covers[1][chosen[covers[0]].bool()], len(real))]
        )
    variances = torch.tensor(subsamples, dtype=torch.float64).var(0) * kept / (count - kept)
    return Deviations(*variances.sqrt().tolist())


def _pairs(which: Tensor, start: int, values: Tensor | None = None) -> Tensor:
    """Returns the numbers of generated and real images of the pairs, and their values: (2 or 3, pairs) int64."""
    rows, columns = which.nonzero(as_tuple=True)
    return torch.stack([rows + start, columns, *([] if values is None else [values[rows, columns]])]).cpu()


def _share(numbers: Tensor, count: int) -> float:
    hit = torch.zeros(count, dtype=torch.bool)
    hit[numbers] = True
    return float(hit.double().mean())
