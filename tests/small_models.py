"""A tiny GAN, a tiny VQ-VAE, a tiny classifier, and what is needed to watch them train."""

import copy
import functools

import torch
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader

from gen_experiments.images import Batch, ImageSpec, to_float
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.losses.reconstruction import MSE
from gen_experiments.metrics.classifier_net import ClassifierNet
from gen_experiments.models.classifier import Classifier
from gen_experiments.models.gan import GAN
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.autoencoder import PlainDecoder, PlainEncoder
from gen_experiments.networks.discriminators import PlainDiscriminator
from gen_experiments.networks.generators import PlainGenerator
from gen_experiments.quantizers.ema import EMAQuantizer

SPEC = ImageSpec(channels=1, size=8)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


# One that a checkpoint can describe.
ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1.0)


def gan(**options):
    torch.manual_seed(0)
    parts = {
        "generator": lambda image: PlainGenerator(image, latent_dim=4, hidden=8),
        "discriminator": lambda image: PlainDiscriminator(image, hidden=8),
        "loss": NonSaturating(),
        "optimizer_g": adam,
        "optimizer_d": adam,
    }
    return GAN(image=SPEC, **{**parts, **options})


def vqvae(**options):
    torch.manual_seed(0)
    parts = {
        "encoder": lambda image, dim: PlainEncoder(image, dim, hidden=8),
        "decoder": lambda image, dim: PlainDecoder(image, dim, hidden=8),
        "quantizer": EMAQuantizer(8, 4),
        "reconstruction": MSE(),
        "optimizer": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    }
    return VQVAE(image=SPEC, **{**parts, **options})


def write_classifier(path, channels=3, size=16):
    """Writes the checkpoint of a classifier with random weights and norms that do something; returns its network."""
    torch.manual_seed(3)
    model = Classifier(ImageSpec(channels, size, 5), functools.partial(ClassifierNet, width=4, dim=8), ADAM)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    torch.save({"hyper_parameters": model.hyper_parameters(), "state_dict": model.state_dict()}, path)
    return model.network.eval()


class Logged(Callback):
    """What was logged, after every iteration."""

    def __init__(self):
        self.logged = []

    def on_train_batch_end(self, trainer, *_):
        self.logged.append({name: value.item() for name, value in trainer.callback_metrics.items()})


class History(Callback):
    """The weights of both networks, and what was counted, after every iteration."""

    def __init__(self):
        self.generator, self.discriminator, self.steps, self.rates = [], [], [], []
        self.logged, self.betas = [], []

    def on_train_batch_end(self, trainer, module, *_):
        self.generator.append(copy.deepcopy(module.generator.state_dict()))
        self.discriminator.append(copy.deepcopy(module.discriminator.state_dict()))
        self.steps.append(trainer.global_step)
        groups = [group for optimizer in module.optimizers() for group in optimizer.param_groups]
        self.rates.append([group["lr"] for group in groups])
        self.betas.append([group.get("betas") for group in groups])
        self.logged.append({name: value.item() for name, value in trainer.callback_metrics.items()})


IMAGES = torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def quiet_trainer(watch, steps, tmp_path, **options):
    """A trainer that writes nothing, under the eyes of a callback."""
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )


def fit(model, watch, steps, tmp_path, ckpt_path=None, images=IMAGES, **options):
    """Fits `model` on batches of 4 images, 10 an epoch, under the eyes of a callback."""
    batches = [Batch(to_float(images[i : i + 4]), None) for i in range(0, 40, 4)]
    trainer = quiet_trainer(watch, steps, tmp_path, **options)
    trainer.fit(model, DataLoader(batches, batch_size=None), ckpt_path=ckpt_path)
    return trainer


def train(model, steps, tmp_path, **options):
    """Fits a GAN."""
    history = History()
    return fit(model, history, steps, tmp_path, **options), history


def changed(a, b):
    return any(not torch.equal(a[name], b[name]) for name in a)
