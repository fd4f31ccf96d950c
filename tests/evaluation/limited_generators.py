"""A generator that knows few pictures, and what its validation logs."""

import functools
import warnings

import torch
from torch import nn

import independent
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import Digits
from gen_experiments.images import to_float
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.models.gan import GAN
from gen_experiments.networks.base import Generator
from gen_experiments.networks.discriminators import PlainDiscriminator
from small_models import quiet_trainer

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
    trainer = quiet_trainer(evaluation, trained, None, num_sanity_val_steps=0, val_check_interval=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if trained:
            trainer.fit(model, data)
        else:
            trainer.validate(model, data, verbose=False)
    said = ("have collapsed", "modes are missing")
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return scores, [str(each.message) for each in caught if any(words in str(each.message) for words in said)]
