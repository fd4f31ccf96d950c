import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.evaluation.collected import Collected
from gen_experiments.evaluation.scores import add_intervals, score
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.frechet import Moments


def collected(features, paired=False):
    return Collected(Moments.of_features(features), features, "", paired)


@pytest.fixture
def sides():
    """Features of images, and of reconstructions that are near to them."""
    source = torch.Generator().manual_seed(0)
    real = 3 * torch.randn(400, 64, generator=source)
    return real, 0.95 * real + 0.1


def test_reconstructions_are_resampled_with_their_originals(sides):
    """Torn pairs differ by the noise of two samples, which is far more than the reconstructions do."""
    real, remade = sides
    extractor = DigitsFeatures()
    found = score(collected(remade, paired=True), collected(real), extractor, ["fid", "mind"])
    add_intervals(found, 400, 99)
    for each in found.values():
        low, high = each.interval
        assert 0 < low < each.value
        assert high < 1.5 * each.value
    torn = score(collected(remade), collected(real), extractor, ["fid"])
    add_intervals(torn, 400, 99)
    assert torn["fid"].value == found["fid"].value
    assert torn["fid"].interval.high < 0


def test_fid_infinity_is_for_samples(sides):
    real, remade = sides
    with pytest.raises(UserError, match="not for reconstructions"):
        score(collected(remade, paired=True), collected(real), DigitsFeatures(), ["fid_infinity"])
