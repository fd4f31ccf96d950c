import pytest
import torch

from gen_experiments.metrics import overlap_deviation
from gen_experiments.metrics.neighbours import overlap
from gen_experiments.metrics.overlap_deviation import overlap_deviations


def drawn(count, seed, scale=1.0):
    return scale * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1024, 7])
def test_the_jackknife_by_the_scores_of_the_subsamples_themselves(monkeypatch, chunk):
    monkeypatch.setattr(overlap_deviation, "CHUNK", chunk)
    generated, real = drawn(50, 0, 0.8), drawn(60, 1)
    source, found = torch.Generator().manual_seed(3), []
    for _ in range(20):
        scores = overlap(generated[torch.randperm(50, generator=source)[:45]], real)
        found.append([scores.recall, scores.coverage])
    expected = (torch.tensor(found, dtype=torch.float64).var(0) * 45 / 5).sqrt()
    assert (expected > 0.01).all()
    assert overlap_deviations(generated, real, 20, seed=3) == pytest.approx(expected.tolist(), rel=1e-9)


def test_it_is_the_deviation_of_samples_or_somewhat_more():
    real, samples = drawn(150, 0), [drawn(100, seed, 0.7) for seed in range(1, 121)]
    scores = torch.tensor([[found.recall, found.coverage] for found in (overlap(rows, real) for rows in samples)])
    estimates = torch.tensor([overlap_deviations(rows, real, 60) for rows in samples[:20]])
    ratios = estimates.square().mean(0).sqrt() / scores.std(0)
    assert (ratios > 0.9).all()
    assert (ratios < 2).all()
