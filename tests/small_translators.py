"""Networks of one number for models that translate, and a training on one pair that a test can follow by hand."""

import torch
from lightning.pytorch import Callback
from torch import nn
from torch.utils.data import DataLoader

from gen_experiments.images import Batch, ImageSpec
from gen_experiments.networks.base import Discriminator, StagedTranslator, Translator
from small_models import quiet_trainer

SPEC = ImageSpec(channels=1, size=2)


class Scale(Translator):
    """images · w."""

    def __init__(self, image, weight=0.5):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images):
        return images * self.weight


class Waves(StagedTranslator):
    """sin(w · image), in two stages."""

    feature_channels = (1, 1)

    def __init__(self, image):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))

    def features(self, images, stages):
        return [each for stage, each in enumerate((images, self.weight * images)) if stage in stages]

    def forward(self, images):
        return torch.sin(self.weight * images)


class Means(Discriminator):
    """The channels' means by their weights."""

    def __init__(self, image, weights=(0.4, 0.8)):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights[: image.channels]))

    def forward(self, images, labels=None):
        return images.mean((2, 3)) @ self.weights


class Watch(Callback):
    def __init__(self):
        self.steps, self.logged = [], []

    def on_train_batch_end(self, trainer, module, *_):
        self.steps.append(trainer.global_step)
        self.logged.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def fit(model, tmp_path, steps=1, a=2.0, b=3.0):
    """Trains on one source of the value `a` and one image of `b`."""
    batch = Batch(torch.full((1, 1, 2, 2), b), None, source_images=torch.full((1, 1, 2, 2), a))
    watch = Watch()
    trainer = quiet_trainer(watch, steps, tmp_path, log_every_n_steps=1)
    trainer.fit(model, DataLoader([batch] * steps, batch_size=None))
    return watch
