"""Counts how often the 95% intervals of `evaluate --bootstrap` hold the value of a very large sample.

    python tests/benchmarks/cover_intervals.py --repeats 200 --count 1000

Features of moved and noisy embedded digits, smoothed so that no two are equal, are drawn again and again and scored
against those of embedded digits ("far"), or drawn about the latter ("near"), by the code behind the command. The true
value is that of 100 times as many features; of recall and coverage, which depend on the count, the mean of the samples.
To be done in minutes KID has 20 subsets of 300 images, MIND 100 directions.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import independent
from gen_experiments.evaluation import scores
from gen_experiments.evaluation.feature_set import FeatureSet
from gen_experiments.evaluation.intervals import add_intervals
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.frechet import Moments
from gen_experiments.metrics.kernel import inception_score
from gen_experiments.metrics.neighbours import overlap

METRICS = ("fid", "kid", "is", "precision", "recall", "density", "coverage", "mind")
OF_THE_COUNT = ("recall", "coverage")
SMOOTHING = 0.1


def digits() -> tuple[Tensor, Tensor]:
    """Returns features of the embedded digits, and of as many again, moved and noisy, twelve times."""
    pixels = torch.as_tensor(np.asarray(independent.digits(32)[0]))
    network, source, moved = DigitsFeatures(), torch.Generator().manual_seed(1), []
    for _ in range(12):
        across, down = torch.randint(-3, 4, (2,), generator=source).tolist()
        images = torch.roll(pixels, (across, down), (2, 3)).float()
        images += 20 * torch.randn(images.shape, generator=source)
        moved.append(network(images.clamp(0, 255).to(torch.uint8)))
    return network(pixels), torch.cat(moved)


def draws(world: Tensor, count: int, repeats: range) -> Iterator[FeatureSet]:
    """Yields samples of a smoothed world."""
    noise = (
        SMOOTHING * torch.linalg.cholesky(world.double().T.cov() + 1e-9 * torch.eye(world.shape[1]).double()).float()
    )
    for number in repeats:
        source = torch.Generator().manual_seed(number)
        rows = world[torch.randint(len(world), (count,), generator=source)]
        rows = rows + torch.randn(rows.shape, generator=source) @ noise.T
        yield FeatureSet(Moments.of_features(rows), rows)


def truths(
    world: Tensor, real: FeatureSet, network: DigitsFeatures, count: int, metrics: list[str]
) -> dict[str, float]:
    """Returns the chosen numbers of a sample of 100 times as many images against the same real ones."""
    (large,) = draws(world, 100 * count, range(10**6, 10**6 + 1))
    assert large.features is not None
    assert real.features is not None
    # Each real image as often: so MIND compares all images with all that it compares of a sample, and KID is as it was.
    many = FeatureSet(real.moments, real.features.repeat(100, 1))
    known = {"fid": scores.score(large, real, network, ["fid"])["fid"].value} if "fid" in metrics else {}
    if {"precision", "density"} & set(metrics):  # means over the images, and so over parts, whose distances are few
        parts = [overlap(part, real.features) for part in large.features.split(count)]
        known["precision"] = float(np.mean([part.precision for part in parts]))
        known["density"] = float(np.mean([part.density for part in parts]))
    if "mind" in metrics:
        known["mind"] = scores.score(large, many, network, ["mind"])["mind"].value
    if "is" in metrics:
        known["is"] = inception_score(network.classify(large.features), 1).mean
    if "kid" in metrics:
        known["kid"] = unbiased(large.features.double(), real.features.double())
    return known


def unbiased(first: Tensor, second: Tensor) -> float:
    """Returns the unbiased MMD² of all images, by third moments: Σ (xᵀy/D + 1)³ is their inner product."""

    def moment(rows: Tensor) -> Tensor:
        ones = torch.cat([rows / rows.shape[1] ** 0.5, torch.ones_like(rows[:, :1])], 1)
        parts = [part.T @ (part[:, :, None] * part[:, None]).flatten(1) for part in ones.split(1000)]
        return torch.stack(parts).sum(0)

    def own(rows: Tensor) -> float:
        equal = float(((rows.square().sum(1) / rows.shape[1] + 1) ** 3).sum())
        return (float(moment(rows).square().sum()) - equal) / (len(rows) * (len(rows) - 1))

    between = float((moment(first) * moment(second)).sum()) / (len(first) * len(second))
    return own(first) + own(second) - 2 * between


def main(repeats: int, count: int, bootstrap: int, metrics: list[str]) -> None:
    """Prints a line for each metric of both worlds."""
    scores.KID_SUBSETS, scores.KID_SIZE, scores.DIRECTIONS = 20, 300, 100
    embedded, moved = digits()
    network = DigitsFeatures()
    chosen = torch.randperm(len(embedded), generator=torch.Generator().manual_seed(5))[:count]
    real = FeatureSet(Moments.of_features(embedded[chosen]), embedded[chosen])
    for name, world in (("far", moved), ("near", embedded[chosen])):
        began = time.perf_counter()
        known = truths(world, real, network, count, metrics)
        found: dict[str, list[tuple[float, float, float]]] = {metric: [] for metric in metrics}
        for sample in draws(world, count, range(repeats)):
            scored = scores.score(sample, real, network, metrics)
            add_intervals(scored, count, bootstrap)
            for metric, each in scored.items():
                assert each.interval is not None
                found[metric].append((each.value, *each.interval))
        print(f"{name}: {count} images against {count}, {repeats} repeats, {time.perf_counter() - began:.0f} s")
        for metric, rows in found.items():
            values, lows, highs = np.array(rows).T
            truth = values.mean() if metric in OF_THE_COUNT else known[metric]
            held = (lows <= truth) & (truth <= highs)
            print(
                f"  {metric}: held in {held.mean():.1%} of the samples, too low in {(highs < truth).mean():.1%}, "
                f"too high in {(lows > truth).mean():.1%}; truth {truth:.4g}, mean {values.mean():.4g}, "
                f"deviation {values.std(ddof=1):.3g}, half of the mean width {(highs - lows).mean() / 2:.3g}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--count", type=int, default=1000, help="images of either kind")
    parser.add_argument("--bootstrap", type=int, default=100)
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=list(METRICS))
    options = parser.parse_args()
    main(options.repeats, options.count, options.bootstrap, options.metrics)
