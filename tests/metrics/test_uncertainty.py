import numpy as np
import pytest
import scipy.stats
import torch

import independent
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.frechet import Moments, frechet_distance
from gen_experiments.metrics.uncertainty import (
    bootstrap_interval,
    frechet_deviation,
    frechet_infinity,
    wilson_interval,
)


def drawn(count, seed, dim=4, spread=1.0):
    return spread * torch.from_numpy(np.random.default_rng(seed).normal(size=(count, dim)))


@pytest.fixture(scope="module")
def digits():
    """Features of the embedded digits, and of 21,564 that were moved and made noisy: a world to draw samples from."""
    pixels = torch.as_tensor(np.asarray(independent.digits(32)[0]))
    network, source, world = DigitsFeatures(), torch.Generator().manual_seed(1), []
    for _ in range(12):
        across, down = torch.randint(-3, 4, (2,), generator=source).tolist()
        moved = torch.roll(pixels, (across, down), (2, 3)).float()
        noisy = moved + 20 * torch.randn(moved.shape, generator=source)
        world.append(network(noisy.clamp(0, 255).to(torch.uint8)))
    return Moments.of_features(network(pixels)), torch.cat(world).double()


def samples(world, count, repeats):
    for number in range(repeats):
        source = torch.Generator().manual_seed(10_000 + number)
        yield number, world[torch.randint(len(world), (count,), generator=source)]


def test_the_bootstrap_agrees_with_scipy():
    values = drawn(20, 0, 1)[:, 0].exp()  # skewed, so that a percentile interval is another
    ours = bootstrap_interval(float(values.mean()), lambda rows: float(values[rows].mean()), 20, 20_000)
    theirs = scipy.stats.bootstrap((values.numpy(),), np.mean, n_resamples=20_000, method="basic", rng=0)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=0.02)


def test_of_39_resamples_the_smallest_and_the_largest_are_the_quantiles():
    resampled = iter(torch.randperm(39, generator=torch.Generator().manual_seed(0)).tolist())
    assert bootstrap_interval(30.0, lambda rows: float(next(resampled)), 5, 39) == pytest.approx((22, 60))


@pytest.mark.long
def test_bootstrap_intervals_of_fid_cover_the_value_of_a_very_large_sample(digits):
    reference, world = digits
    truth = float(frechet_distance(reference, Moments.of_features(world)))
    covered = 0
    for number, rows in samples(world, 2000, 200):
        value = float(frechet_distance(reference, Moments.of_features(rows)))
        low, high = bootstrap_interval(
            value,
            lambda chosen, rows=rows: float(frechet_distance(reference, Moments.of_features(rows[chosen]))),
            len(rows),
            199,
            seed=number,
        )
        covered += low <= truth <= high
    assert 0.93 <= covered / 200 <= 0.97


@pytest.mark.long
def test_fid_infinity_is_without_bias_and_its_deviation_right(digits):
    reference, world = digits
    truth = float(frechet_distance(reference, Moments.of_features(world)))
    plain, found = [], []
    for _, rows in samples(world, 2000, 200):
        plain.append(float(frechet_distance(reference, Moments.of_features(rows))))
        found.append(frechet_infinity(reference, rows))
    means, deviations = (torch.tensor(each, dtype=torch.float64) for each in zip(*found, strict=True))
    noise = float(means.std()) / 200**0.5
    assert abs(float(means.mean()) - truth) < 3 * noise < torch.tensor(plain).mean() - truth
    assert 0.93 <= float(((means - truth).abs() <= 1.96 * deviations).double().mean()) <= 0.97


def test_the_deviation_of_one_dimension_by_hand():
    """FID of N(m, s²) to N(0, 1) is m² + (s − 1)²: its derivatives are 2m and 1 − 1/s of the second moment."""
    features = 0.5 + drawn(500, 1, 1, spread=2.0)
    reference = Moments(torch.zeros(1).double(), torch.eye(1).double())
    mean, spread = float(features.mean()), float(features.std())
    centred = features[:, 0] - mean
    influence = 2 * mean * centred + (1 - 1 / spread) * centred.square()
    assert frechet_deviation(reference, features) == pytest.approx(float(influence.std()) / 500**0.5, rel=1e-9)


def test_a_feature_that_never_varies_adds_no_deviation():
    features, reference = drawn(500, 1, 3, spread=2.0), drawn(400, 2, 3)
    dead = [torch.cat([rows, torch.zeros_like(rows[:, :1])], 1) for rows in (features, reference)]
    expected = frechet_deviation(Moments.of_features(reference), features)
    assert frechet_deviation(Moments.of_features(dead[1]), dead[0]) == pytest.approx(expected, rel=1e-6)


def test_fid_infinity_is_the_end_of_a_line_over_inverse_counts():
    real, features = drawn(300, 0), drawn(59, 1, spread=1.5)
    order = torch.randperm(59, generator=torch.Generator().manual_seed(5))
    inverse, means = [], []
    for parts in (1, 2, 3, 4, 5):
        size = 59 // parts  # of equal parts; the last images are left out
        rows = [features[order[start : start + size]].numpy() for start in range(0, parts * size, size)]
        distances = [independent.frechet(each, real) for each in rows]
        inverse.append(1 / size)
        means.append(np.mean(distances))
    _, intercept = np.polyfit(inverse, means, 1)
    assert frechet_infinity(Moments.of_features(real), features, seed=5).mean == pytest.approx(intercept, rel=1e-6)


def test_fid_infinity_of_too_few_images_is_refused():
    reference = Moments.of_features(drawn(300, 0))
    assert frechet_infinity(reference, drawn(20, 1)).mean < 10
    with pytest.raises(UserError, match="needs 20 images, not 19"):
        frechet_infinity(reference, drawn(19, 1))


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (81, 263, 0.25529, 0.36617)],
)
def test_wilson_by_the_tables(count, total, low, high):
    """The last row is Newcombe's example (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C857::AID-SIM777%3E3.0.CO;2-E)."""
    assert wilson_interval(count, total) == pytest.approx((low, high), abs=1e-4)
