"""A generator whose classes have collapsed is noticed at its first validation, and no other one is."""

import functools
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

import independent
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import Digits
from gen_experiments.evaluation.collapse import ClassVariety
from gen_experiments.images import to_float
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.models.gan import GAN
from gen_experiments.networks.base import Generator
from gen_experiments.networks.discriminators import PlainDiscriminator

ADAM = functools.partial(torch.optim.Adam, lr=2e-4)
PIXELS, LABELS = independent.digits(32)


class Recalls(Generator):
    """Shows a real digit of the label that is asked for, of which it knows so many."""

    latent_dim = 1

    def __init__(self, image, known):
        super().__init__()
        self.num_classes = image.num_classes
        self.weight = nn.Parameter(torch.zeros(1))
        self.known = known

    def first_weight(self):
        return self.weight

    def forward(self, noise, labels=None):
        chosen = [
            PIXELS[label == LABELS][int(abs(value) * 1e6) % self.known[int(label)]]
            for value, label in zip(noise[:, 0], labels, strict=True)
        ]
        return to_float(torch.stack(chosen)) + 0 * self.weight


class ShowsHalf(Recalls):
    """Shows digits from 0 to 4 for those from 5 to 9, too."""

    def forward(self, noise, labels=None):
        return super().forward(noise, labels % 5)


def validated(known, images_seen=10_000, generator=Recalls, **options):
    """Returns what the validation of such a generator logs, and its warnings of a collapse."""
    data = ImageDataModule(Digits(), size=32, batch_size=32)
    model = GAN(
        data.image,
        lambda image: generator(image, known),
        functools.partial(PlainDiscriminator, hidden=4, conditional=True),
        NonSaturating(),
        ADAM,
        ADAM,
    )
    model.images_seen = images_seen
    evaluation = Evaluation(DigitsFeatures(), samples=400, batch_size=150, **options)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[evaluation],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (scores,) = trainer.validate(model, data, verbose=False)
    said = ("have collapsed", "modes are missing")
    return scores, [str(each.message) for each in caught if any(words in str(each.message) for words in said)]


def test_one_picture_for_each_class_is_a_collapse():
    scores, said = validated([1] * 10)
    assert scores["val/class_variety"] == pytest.approx(0, abs=1e-6)
    assert len(said) == 1


def test_the_collapsed_class_is_named():
    scores, said = validated([100, 100, 100, 1, *[100] * 6])
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


def test_missing_modes_are_noticed_where_every_class_is_varied():
    scores, said = validated([100] * 10, generator=ShowsHalf, metrics=("fid", "missed"))
    assert scores["val/variety"] > 0.5
    assert scores["val/class_variety"] > 0.5
    assert scores["val/missed"] > 0.25
    assert len(said) == 1
    assert "of the reference is hardly generated: modes are missing" in said[0]
    for options in ({"collapsed": 0.0}, {"images_seen": 9_999}):
        assert not validated([100] * 10, generator=ShowsHalf, metrics=("fid", "missed"), **options)[1]
    scores, said = validated([100] * 10, metrics=("fid", "missed"))
    assert scores["val/missed"] < 0.05
    assert not said


def test_the_share_is_that_of_numpy():
    data = ImageDataModule(Digits(), size=32)
    train, network = data.split("train"), DigitsFeatures()
    variety = ClassVariety(network, data.image.class_labels)
    variety.start(train, 100, torch.device("cpu"))
    features = torch.randn(300, 64, dtype=torch.float64)
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 9, 300))  # none of class 9
    labels[:9] = 9
    variety.count(features[:200], labels[:200])
    variety.count(features[200:], labels[200:])
    chosen = independent.held_out(len(PIXELS))["train"]
    real, numbers = network(PIXELS[chosen]).double().numpy(), LABELS[chosen].numpy()
    shares = [
        np.cov(features[labels == k].numpy(), rowvar=False).trace() / np.cov(real[numbers == k], rowvar=False).trace()
        for k in range(9)
    ]
    share, name = variety.least()
    assert float(share) == pytest.approx(min(shares), rel=1e-6)
    assert name == str(int(np.argmin(shares)))


def test_data_without_labels_judges_nothing():
    class Unlabelled:
        fingerprint = "u"

        def labels(self, indices):
            return None

    variety = ClassVariety(DigitsFeatures(), ("a", "b"))
    variety.start(Unlabelled(), 100, torch.device("cpu"))
    variety.count(torch.randn(40, 64), torch.arange(40) % 2)
    assert variety.least() is None
