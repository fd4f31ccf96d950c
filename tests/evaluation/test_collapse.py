"""A generator whose classes have collapsed is noticed at its first validation, and no other one is."""

import numpy as np
import pytest
import torch
from limited_generators import LABELS, PIXELS, validated

import independent
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import Digits
from gen_experiments.evaluation.class_variety import ClassVariety
from gen_experiments.metrics.features import DigitsFeatures


def test_one_picture_for_each_class_is_a_collapse():
    scores, said = validated([1] * 10)
    assert scores["val/class_variety"] == pytest.approx(0, abs=1e-6)
    assert len(said) == 1


def test_the_collapsed_class_is_named():
    scores, said = validated([100, 100, 100, 1, *[100] * 6], seed=3)
    assert scores["val/class_variety"] < 1e-6
    assert said[0].startswith("the samples of class 3 have collapsed")


def test_samples_as_varied_as_the_data_raise_no_alarm():
    scores, said = validated([100] * 10)
    assert 0.6 < scores["val/class_variety"] <= 1.1
    assert not said


@pytest.mark.parametrize("options", [{"images_seen": 9_999}, {"collapsed": 0.0}])
def test_no_alarm_before_anything_was_learned_or_where_it_is_turned_off(options):
    scores, said = validated([1] * 10, **options)
    assert scores["val/class_variety"] < 1e-6
    assert not said


def test_the_share_is_that_of_numpy():
    data = ImageDataModule(Digits(), size=32)
    train, network = data.split("train"), DigitsFeatures()
    variety = ClassVariety(network, data.image.class_labels)
    variety.reset(train, 100, torch.device("cpu"))
    features = torch.randn(300, 64, dtype=torch.float64)
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 9, 300))  # none of class 9
    labels[:9] = 9
    variety.update(features[:200], labels[:200])
    variety.update(features[200:], labels[200:])
    chosen = independent.held_out(len(PIXELS))["train"]
    real, numbers = network(PIXELS[chosen]).double().numpy(), LABELS[chosen].numpy()
    shares = [
        np.cov(features[labels == k].numpy(), rowvar=False).trace() / np.cov(real[numbers == k], rowvar=False).trace()
        for k in range(9)
    ]
    share, name = variety.compute()
    assert float(share) == pytest.approx(min(shares), rel=1e-6)
    assert name == str(int(np.argmin(shares)))


def test_nine_samples_of_a_class_are_not_judged_and_the_reference_is_that_of_now():
    data, network = ImageDataModule(Digits(), size=32), DigitsFeatures()
    variety = ClassVariety(network, data.image.class_labels)
    source = torch.Generator().manual_seed(0)
    samples = torch.cat([torch.zeros(9, 64), torch.randn(10, 64, generator=source)])
    for split in ("train", "val"):
        variety.reset(data.split(split), 100, torch.device("cpu"))
        variety.update(samples, torch.tensor([0] * 9 + [1] * 10))
        chosen = independent.held_out(len(PIXELS))[split]
        real = network(PIXELS[chosen][LABELS[chosen] == 1]).double().numpy()
        expected = np.cov(samples[9:].double().numpy(), rowvar=False).trace() / np.cov(real, rowvar=False).trace()
        share, name = variety.compute()
        assert name == "1"
        assert float(share) == pytest.approx(expected, rel=1e-5)


def test_data_without_labels_judges_nothing():
    class Unlabelled:
        fingerprint = "u"

        def labels(self, indices):
            return None

    variety = ClassVariety(DigitsFeatures(), ("a", "b"))
    variety.reset(Unlabelled(), 100, torch.device("cpu"))
    variety.update(torch.randn(40, 64), torch.arange(40) % 2)
    assert variety.compute() is None
