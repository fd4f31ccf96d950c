import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import independent
from gen_experiments.errors import UserError
from gen_experiments.evaluation import scores
from gen_experiments.evaluation.feature_set import ClassLabels, FeatureSet
from gen_experiments.evaluation.intervals import add_intervals
from gen_experiments.evaluation.records import record_of
from gen_experiments.evaluation.scores import check_counts, computable, score
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.frechet import Moments
from gen_experiments.metrics.kernel import kid_deviation


def collected(features, paired=False):
    return FeatureSet(Moments.of_features(features), features, "", paired)


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
    with pytest.raises(UserError, match="not for pairs with the reference"):
        score(collected(remade, paired=True), collected(real), DigitsFeatures(), ["fid_infinity"])


@pytest.mark.parametrize(("name", "least"), [("is", 10), ("precision", 6), ("coverage", 6)])
def test_a_metric_is_computed_from_its_least_number_of_images_on(sides, name, least):
    real, remade = sides
    assert name not in computable(collected(remade[: least - 1]), collected(real), DigitsFeatures())
    assert name in computable(collected(remade[:least]), collected(real), DigitsFeatures())
    if name != "is":
        assert name not in computable(collected(remade), collected(real[: least - 1]), DigitsFeatures())
    check_counts([name], least, least - (name == "is"))  # an Inception score has no reference
    with pytest.raises(UserError, match=f"{name} needs {least} images, not {least - 1}: leave it out"):
        check_counts([name], least - 1, None)


def test_mind_of_fewer_real_images_is_resampled_over_as_many(sides):
    real, remade = sides
    found = score(collected(remade), collected(real[:50]), DigitsFeatures(), ["mind"])
    add_intervals(found, len(remade), 20)
    low, high = found["mind"].interval
    assert low < high


ALL = ["fid", "kid", "is", "precision", "recall", "density", "coverage", "mind"]


def test_every_metric_of_samples_has_an_interval(sides, monkeypatch):
    monkeypatch.setattr(scores, "DIRECTIONS", 50)
    monkeypatch.setattr(scores, "KID_SUBSETS", 10)
    real, _ = sides
    source = torch.Generator().manual_seed(1)
    generated = 3.1 * torch.randn(300, 64, generator=source) + 0.3
    found = score(collected(generated), collected(real), DigitsFeatures(), ALL)
    add_intervals(found, 300, 60)
    for name, each in found.items():
        low, high = each.interval
        assert low < high, name
        if name not in ("fid", "mind", "is"):  # these are of few images too large or too small
            assert low <= each.value <= high, name
    assert found["recall"].interval.high <= 1
    assert found["mind"].resampled == 300


def test_the_interval_of_is_is_about_that_of_infinitely_many_images():
    """Of labels that are certain IS is the exponential of their entropy: 10 here, of parts of 40 images less."""
    network = DigitsFeatures()
    features, labels = torch.zeros(1000, 64), torch.arange(1000) % 10
    pixels, _ = independent.digits(32)
    known = 5 * network(pixels)  # so that labels are certain
    for label in range(10):
        logits = network.classify(known).softmax(1)[:, label]
        features[labels == label] = known[logits.argmax()]
    chosen = torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:400]
    found = score(collected(features[chosen]), collected(features), network, ["is"])
    add_intervals(found, 400, 99)
    shares = network.classify(features).double().softmax(1)
    expected = float((shares * (shares / shares.mean(0)).log()).sum(1).mean().exp())
    assert expected == pytest.approx(10, abs=0.1)
    low, high = found["is"].interval
    assert found["is"].value < low < expected < high
    assert found["is"].value < 9.2


def test_the_interval_of_is_is_the_basic_bootstraps_of_all_images_at_once():
    """Not of the ten parts over which the number is a mean: these make it smaller, here by more than 0.5."""
    network, count = DigitsFeatures(), 200
    sample = network(independent.digits(32)[0])[:count]
    shares = network.classify(sample).double().softmax(1).numpy()

    def by_definition(rows):
        return np.exp((rows * np.log(rows / rows.mean(0))).sum(1).mean())

    source = np.random.default_rng(0)
    found = score(collected(sample), collected(sample), network, ["is"])
    assert found["is"].settings == {"splits": 10}
    add_intervals(found, count, 1000)
    resampled = [by_definition(shares[source.integers(0, count, count)]) for _ in range(1000)]
    expected = 2 * by_definition(shares) - np.quantile(resampled, [0.975, 0.025])
    assert found["is"].interval == pytest.approx(expected, abs=0.03)
    assert found["is"].value < by_definition(shares) - 0.5


def test_reconstructions_have_intervals_only_where_one_is_known(sides, monkeypatch):
    monkeypatch.setattr(scores, "KID_SUBSETS", 2)
    real, remade = sides
    names = ["kid", "precision", "recall", "density", "coverage"]
    found = score(collected(remade, paired=True), collected(real), DigitsFeatures(), names)
    add_intervals(found, 400, 60)
    assert not [name for name, each in found.items() if each.interval]


def test_the_interval_of_kid_is_that_of_images_and_subsets_and_may_begin_below_zero(monkeypatch):
    monkeypatch.setattr(scores, "KID_SUBSETS", 4)
    monkeypatch.setattr(scores, "KID_SIZE", 50)
    generated, real = torch.randn(2, 300, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    found = score(collected(generated), collected(real), DigitsFeatures(), ["kid"])
    add_intervals(found, 300, 60)
    low, high = found["kid"].interval
    assert low < 0
    half = 1.959964 * math.hypot(kid_deviation(generated, real), found["kid"].deviation / 2)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-9)
    assert (high + low) / 2 == pytest.approx(found["kid"].value, rel=1e-9)


def test_classes_are_compared_only_by_equal_names():
    rows, numbers = torch.randn(400, 4, generator=torch.Generator().manual_seed(0)), torch.arange(400) % 2
    sides = [replace(collected(rows), labels=ClassLabels(numbers, names)) for names in (("a", "b"), ("a", "c"))]
    assert set(score(sides[0], sides[0], DigitsFeatures(), ["missed"])) == {"missed", "class_missed"}
    assert set(score(sides[0], sides[1], DigitsFeatures(), ["missed"])) == {"missed"}


def test_a_record_says_with_how_many_threads_it_was_computed():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert record_of({}, {})["protocol"]["threads"] == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_share_stays_within_zero_and_one():
    real = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    generated = torch.randn(600, 4, generator=torch.Generator().manual_seed(1))
    found = score(collected(generated), collected(real), DigitsFeatures(), ["coverage", "recall"])
    add_intervals(found, 600, 60)
    assert 0.95 < found["coverage"].value < 1
    assert 0.9 < found["coverage"].interval.low < found["coverage"].interval.high == 1
    whole = score(collected(real + 1e-6), collected(real), DigitsFeatures(), ["coverage"])
    add_intervals(whole, 400, 60)
    assert whole["coverage"].value == 1
    assert whole["coverage"].interval is None
