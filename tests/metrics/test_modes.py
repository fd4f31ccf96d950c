import math

import pytest
import torch

import independent
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.modes import ALARM, missed
from gen_experiments.metrics.neighbours import overlap


def drawn(count, seed, dim=3):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def share(generated, real):
    return float(missed(generated, real).double().mean())


@pytest.fixture(scope="module")
def digits():
    pixels, labels = independent.digits(32)
    return DigitsFeatures()(pixels), torch.as_tensor(labels)


def test_neighbourhoods_by_their_definition():
    generated, real = drawn(60, 0) + torch.tensor([1.0, 0, 0]), drawn(90, 1)
    votes = [0] * 90
    for row in generated.tolist():
        votes[min(range(90), key=lambda j: math.dist(row, real[j].tolist()))] += 1
    count = 30  # of 20 expected images
    expected = []
    for own in real.tolist():
        around = sorted(range(90), key=lambda j: math.dist(own, real[j].tolist()))[:count]
        expected.append(sum(votes[j] for j in around) < 60 * count / 90 / 4)
    assert missed(generated, real).tolist() == expected
    assert 0 < sum(expected) < 90


def test_samples_without_half_of_the_classes_are_noticed_whatever_their_spread(digits):
    features, labels = digits
    source = torch.Generator().manual_seed(0)
    for _ in range(10):
        order = torch.randperm(len(features), generator=source)
        shown = torch.randperm(10, generator=source)[:5]
        made, real = order[:900], order[900:]
        pool = features[made[torch.isin(labels[made], shown)]]
        generated = pool[torch.randint(len(pool), (900,), generator=source)]
        assert generated.T.cov().trace() > 0.5 * features[real].T.cov().trace()
        assert share(generated, features[real]) > ALARM


def test_real_images_raise_no_alarm(digits):
    features, _ = digits
    source = torch.Generator().manual_seed(1)
    for count in (900, 200, 100):
        for _ in range(10):
            order = torch.randperm(len(features), generator=source)
            assert share(features[order[:count]], features[order[count:]]) < 0.05


def test_images_that_look_bad_are_not_taken_for_missing_ones(digits):
    features, _ = digits
    bad = features[:900] + 0.5 * torch.randn(900, 64, generator=torch.Generator().manual_seed(2))
    assert overlap(bad, features[900:]).coverage < 0.05
    assert share(bad, features[900:]) < 0.05


def test_of_too_few_images_nothing_is_said():
    assert share(drawn(5, 0), drawn(40, 1) + 9) == 0
