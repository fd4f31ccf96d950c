"""A generator whose classes have collapsed is noticed at its first validation, and no other one is."""

import functools
import json
import math
import warnings
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

import gen_experiments
import independent
from conftest import SHORT, SMALL
from gen_experiments.callbacks.alarms import warn_of_missed
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.framing import USUAL
from gen_experiments.data.sources import Digits
from gen_experiments.data.sources.base import Decoded
from gen_experiments.evaluation.class_variety import ClassVariety
from gen_experiments.images import to_float, to_uint8
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.metrics import modes
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


class Pairs(Digits):
    """Digits in classes of two kinds each: 0 and 5, 1 and 6 and so on."""

    num_classes = 5
    class_names = tuple("abcde")

    def key(self, split):
        return "pairs-of-digits"

    def decode(self, split, size, framing=USUAL):
        decoded = super().decode(split, size, framing)
        return Decoded(decoded.images, decoded.labels % 5)


class ShowsBoth(Recalls):
    """Shows one or the other kind of a class."""

    def forward(self, noise, labels=None):
        return super().forward(noise, labels + 5 * (noise[:, 0] > 0))


class ShowsEights(ShowsBoth):
    """Shows only 8s for the class of 3 and 8."""

    def forward(self, noise, labels=None):
        return super().forward(torch.where(labels[:, None] == 3, noise.abs(), noise), labels)


class ShowsHalf(Recalls):
    """Shows digits from 0 to 4 for those from 5 to 9, too."""

    def forward(self, noise, labels=None):
        return super().forward(noise, labels % 5)


def validated(known, images_seen=10_000, generator=Recalls, trained=0, source=Digits, **options):
    """Returns what the validation of such a generator logs, and its warnings of a collapse.

    Or the same of so many iterations with a validation after each.
    """
    data = ImageDataModule(source(), size=32, batch_size=32)
    model = GAN(
        data.image,
        lambda image: generator(image, known),
        functools.partial(PlainDiscriminator, hidden=4, conditional=True),
        NonSaturating(),
        ADAM,
        ADAM,
    )
    model.images_seen = images_seen
    evaluation = Evaluation(DigitsFeatures(), **{"samples": 400, "batch_size": 150} | options)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[evaluation],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        val_check_interval=1,
        max_steps=trained,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if trained:
            trainer.fit(model, data)
        else:
            trainer.validate(model, data, verbose=False)
    said = ("have collapsed", "modes are missing")
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
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


def test_a_class_whose_modes_are_missing_is_named():
    options = {"metrics": ("fid", "missed"), "samples": 1000, "source": Pairs}
    scores, said = validated([100] * 10, generator=ShowsEights, **options)
    assert scores["val/missed"] < 0.25 < scores["val/class_missed"]
    assert len(said) == 1
    assert "of the reference of class d is hardly generated by the samples of that class: modes are missing" in said[0]
    assert not validated([100] * 10, generator=ShowsEights, collapsed=0.0, **options)[1]
    scores, said = validated([100] * 10, generator=ShowsBoth, **options)
    assert scores["val/class_missed"] < 0.1
    assert not said


def test_a_model_that_goes_on_learning_misses_modes_so_far():
    _, said = validated([100] * 10, generator=ShowsHalf, trained=2, metrics=("fid", "missed"))
    assert ["is hardly generated so far: modes" in each for each in said] == [True, False]


def test_training_and_evaluate_count_what_a_class_misses_alike(experiment, capsys, monkeypatch):
    """And both as the definition has it, of the samples of the checkpoint, which after two steps look like nothing."""
    monkeypatch.setattr(modes, "strange", lambda generated, real: 0.0)
    run = Path("runs/gan/version_0")
    conditional = [f"--model.{part}.conditional=true" for part in ("generator", "discriminator")]
    options = ["--evaluation.samples=1000", "--evaluation.metrics=[fid,missed]", "--run.root=runs", "--run.name=gan"]
    assert experiment("fit", *SMALL["gan"], *conditional, *SHORT, *options, "--trainer.max_steps=2") == 0
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert experiment("evaluate", checkpoint, "--num=1000", "--metrics=[missed]", "--json=record.json") == 0
    found = json.loads(Path("record.json").read_text())["scores"]["class_missed"]
    trained = independent.column(run / "metrics.csv", "val/class_missed")
    assert np.float32(found["value"]) == np.float32(trained[-1])
    model, number = gen_experiments.load(checkpoint), int(found["class"])
    with torch.no_grad():
        made = DigitsFeatures()(to_uint8(model.sample(0, 1000)))[model.sample_labels(0, 1000) == number]
    chosen = independent.held_out(len(PIXELS))["train"]
    real = DigitsFeatures()(PIXELS[chosen])[LABELS[chosen] == number].double()
    votes = np.bincount(torch.cdist(made.double(), real).argmin(1), minlength=len(real))
    count = math.ceil(20 * max(1, len(real) / len(made)))
    around = torch.cdist(real, real).argsort(1)[:, :count].numpy()
    few = votes[around].sum(1) < len(made) * count / len(real) / 4
    assert found["value"] == pytest.approx(few.mean(), rel=1e-6)
    assert few.mean() > 0.25
    said = f"{few.mean():.0%} of the reference of class {number} is hardly generated by the samples of that class"
    assert f"{said}: modes are missing" in capsys.readouterr().out


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


def test_data_without_labels_judges_nothing():
    class Unlabelled:
        fingerprint = "u"

        def labels(self, indices):
            return None

    variety = ClassVariety(DigitsFeatures(), ("a", "b"))
    variety.reset(Unlabelled(), 100, torch.device("cpu"))
    variety.update(torch.randn(40, 64), torch.arange(40) % 2)
    assert variety.compute() is None


@pytest.mark.parametrize(("share", "seen", "warned"), [(0.25, 10_000, 0), (0.251, 10_000, 1), (0.251, 9_999, 0)])
def test_above_a_quarter_it_is_warned_of_what_a_model_misses_that_has_learned_something(share, seen, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_missed(SimpleNamespace(images_seen=seen), share)
    assert len(caught) == warned
