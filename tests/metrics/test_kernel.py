import math

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.metrics.kernel import inception_score, kid


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


def test_kid_needs_a_subset_of_images():
    with pytest.raises(UserError, match="subsets of 1000 needs as many images, not 10"):
        kid(drawn(10, 0), drawn(2000, 1))


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
