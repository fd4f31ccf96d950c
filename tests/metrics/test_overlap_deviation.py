import numpy as np
import pytest
import torch
from scipy.stats import poisson

from gen_experiments.metrics import overlap_deviation
from gen_experiments.metrics.neighbours import overlap
from gen_experiments.metrics.overlap_deviation import mixing_distribution, overlap_deviations


def drawn(count, seed, scale=1.0):
    return scale * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def finders(generated, real):
    """Returns which generated images have a real one in their ball, and in which real image's ball they lie: (N, M)."""
    between, own = torch.cdist(generated, real), torch.cdist(generated, generated)
    recall = between <= own.sort(1).values[:, 3:4]
    return recall.numpy(), (between < torch.cdist(real, real).sort(1).values[:, 5]).numpy()


def share_counted(counts, weights):
    """Returns E(exp(−λ) − exp(−2λ)) / E(λ exp(−λ)): chances to be found by none, of N and 2N images, and by one."""
    rates, shares = (found.numpy() for found in mixing_distribution(torch.as_tensor(counts), weights))
    none, one = (shares @ poisson.pmf(found, rates) for found in (0, 1))
    return (none - shares @ poisson.pmf(0, 2 * rates)) / one


@pytest.mark.parametrize(("chunk", "scale"), [(1024, 0.8), (7, 0.4)])
def test_the_jackknife_by_the_scores_without_each_image(monkeypatch, chunk, scale):
    monkeypatch.setattr(overlap_deviation, "CHUNK", chunk)
    generated, real = drawn(50, 0, scale), drawn(60, 1)
    scores, changes = overlap(generated, real), []
    for left_out in range(50):
        others = overlap(torch.cat([generated[:left_out], generated[left_out + 1 :]]), real)
        changes.append([60 * (scores.recall - others.recall), 60 * (scores.coverage - others.coverage)])
    assert min(change for change, _ in changes) < -0.5  # a ball grew
    by_balls, in_balls = finders(generated, real)
    sets = {column: in_balls[:, column].tobytes() for column in range(60)}
    alike = [sum(other == one for other in sets.values()) for one in sets.values()]
    assert max(alike) > 1
    shares = [
        share_counted(by_balls.sum(0), torch.ones(60, dtype=torch.float64)),
        share_counted(in_balls.sum(0), torch.tensor(alike, dtype=torch.float64)),
    ]
    expected = [
        (share * (column**2).sum() - column.sum() ** 2 / 50) ** 0.5 / 60
        for share, column in zip(shares, np.array(changes).T, strict=True)
    ]
    assert min(expected) > 0.005
    assert overlap_deviations(generated, real) == pytest.approx(expected, rel=1e-6)


def test_an_equal_image_is_another_one():
    generated, real = drawn(40, 0, 0.8), drawn(60, 1)
    generated = torch.cat([generated, generated])
    assert (torch.cdist(generated, generated) == 0).sum() > 80
    near = generated + 1e-9 * drawn(80, 2)
    assert overlap_deviations(generated, real) == pytest.approx(overlap_deviations(near, real), rel=1e-6)


def test_nothing_that_is_found_by_one_image_alone_leaves_no_deviation():
    assert overlap_deviations(drawn(20, 0) + 1000, drawn(30, 1)) == (0, 0)


def samples_of(real, near):
    for seed in range(1, 201):
        rows = real[torch.randint(len(real), (150,), generator=torch.Generator().manual_seed(seed))]
        yield rows + 0.2 * drawn(150, seed) if near else drawn(150, seed, 0.7)


@pytest.mark.parametrize(("near", "least"), [(False, 0.5), (True, 0.9)])
def test_it_is_the_deviation_of_samples(near, least):
    real = drawn(150, 0)
    samples = list(samples_of(real, near))
    scores = torch.tensor([[score.recall, score.coverage] for score in (overlap(rows, real) for rows in samples)])
    assert (scores.mean(0) > least).all()
    estimates = torch.tensor([overlap_deviations(rows, real) for rows in samples[:60]])
    ratios = estimates.square().mean(0).sqrt() / scores.std(0)
    assert (ratios > 0.85).all()
    assert (ratios < 1.25).all()


def test_the_mixing_distribution_is_the_most_likely_one():
    counts, weights = (
        torch.arange(30),
        torch.from_numpy(0.3 * poisson.pmf(range(30), 0.4) + 0.7 * poisson.pmf(range(30), 7)),
    )
    rates, shares = (found.numpy() for found in mixing_distribution(counts, 5 * weights))
    assert shares.sum() == pytest.approx(1)
    none = [shares @ np.exp(-times * rates) for times in (1, 2)]
    assert none == pytest.approx(
        [0.3 * np.exp(-0.4) + 0.7 * np.exp(-7), 0.3 * np.exp(-0.8) + 0.7 * np.exp(-14)], rel=0.06
    )
    # No other mean would make the counts more likely (Lindsay 1983, https://doi.org/10.1214/aos/1176346059).
    likelihoods = poisson.pmf(np.arange(30)[:, None], rates)
    assert (weights.numpy() / (likelihoods @ shares) @ likelihoods).max() < 1.01
