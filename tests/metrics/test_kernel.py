import math

import numpy as np
import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.metrics import kernel as kernel_metrics
from gen_experiments.metrics.kernel import inception_score, kid, kid_deviation


def drawn(count, seed, dim=5):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_kid_of_all_images_by_its_definition():
    generated, real = drawn(12, 0) + 0.5, drawn(12, 1)

    def kernel(x, y):
        return (float(x.double() @ y.double()) / 5 + 1) ** 3

    pairs = [(i, j) for i in range(12) for j in range(12)]
    within = [sum(kernel(rows[i], rows[j]) for i, j in pairs if i != j) / (12 * 11) for rows in (generated, real)]
    between = sum(kernel(generated[i], real[j]) for i, j in pairs) / 144
    found = kid(generated, real, subsets=3, size=12)
    assert found.mean == pytest.approx(sum(within) - 2 * between, rel=1e-5)
    assert found.deviation == pytest.approx(0, abs=1e-6)


def test_kid_deviates_over_subsets():
    found = kid(drawn(60, 0), drawn(60, 1), subsets=20, size=10)
    assert found.deviation > 1e-3


def test_subsets_and_splits_are_those_of_torch_fidelity():
    """Its numbers are published with the seed that it has where none is named."""
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    theirs = kid_features_to_metric(drawn(60, 0), drawn(60, 1), kid_subsets=20, kid_subset_size=10, verbose=False)
    assert kid(drawn(60, 0), drawn(60, 1), subsets=20, size=10) == tuple(theirs.values())
    assert inception_score(drawn(60, 0), 4) == tuple(isc_features_to_metric(drawn(60, 0), 4).values())


def test_kid_needs_a_subset_of_images():
    for sides in ((drawn(10, 0), drawn(2000, 1)), (drawn(2000, 1), drawn(10, 0))):
        with pytest.raises(UserError, match="subsets of 1000 needs as many images, not 10"):
            kid(*sides)


def test_the_inception_score_by_hand():
    # Half the images are surely of one class, half of another: exp(log 2).
    logits = torch.tensor([[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]]).repeat(5, 1)
    found = inception_score(logits, splits=1)
    assert found.mean == pytest.approx(2, rel=1e-5)
    # p = (.5, .25, .25) twice and its mirror image once: by the formula.
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]))
    marginal = [1.25 / 3, 1 / 3, 0.25]
    divergence = (
        sum(2 * p * math.log(p / q) for p, q in zip((0.5, 0.25, 0.25), marginal, strict=True))
        + sum(p * math.log(p / q) for p, q in zip((0.25, 0.5, 0.25), marginal, strict=True))
    ) / 3
    assert inception_score(logits, splits=1).mean == pytest.approx(math.exp(divergence), rel=1e-5)


def test_the_inception_score_needs_an_image_a_split():
    with pytest.raises(UserError, match="over 10 splits needs as many images, not 9"):
        inception_score(drawn(9, 0))


@pytest.mark.parametrize("chunk", [1024, 4])
def test_the_deviation_of_kid_by_its_definition(monkeypatch, chunk):
    monkeypatch.setattr(kernel_metrics, "CHUNK", chunk)
    generated, real = drawn(9, 0).double(), drawn(12, 1).double()

    def kernel(x, y):
        return (float(x @ y) / 5 + 1) ** 3

    means = [sum(kernel(x, y) for y in real) / 12 for x in generated]
    pairs = {
        (i, j): kernel(generated[i], generated[j]) - means[i] - means[j] for i in range(9) for j in range(9) if i != j
    }
    of_images = np.array([np.mean([pairs[i, j] for j in range(9) if j != i]) for i in range(9)])
    variance = 4 * of_images.var(ddof=1) / 9 - 2 * np.var(list(pairs.values())) / 72
    assert kid_deviation(generated, real) == pytest.approx(variance**0.5, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1.3])  # of the same distribution KID varies by pairs, else by single images
def test_the_deviation_of_kid_is_that_of_samples(scale):
    real = drawn(60, 0)
    samples = [scale * drawn(60, seed) for seed in range(1, 301)]
    values = np.array([kid(rows, real, 1, 60).mean for rows in samples])
    variances = [kid_deviation(rows, real) ** 2 for rows in samples]
    assert np.mean(variances) == pytest.approx(values.var(ddof=1), rel=0.25)
